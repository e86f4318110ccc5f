"""Aliases tell people apart and say nothing of them; a request without its sender says the rest."""

import csv
import io

import orjson
import pytest
from django.contrib.auth.models import Group

from conversations.exports.table import CallTable
from conversations.models import Snapshot, User
from conversations.people import pseudonyms
from conversations.people.identity import Names, alias
from conversations.tests.calls import person, turn, user


def test_an_alias_is_words_that_can_be_said_and_always_the_same():
    known = pseudonyms.alias("key", "int:7")
    assert known == "indigo-shore-t65p7k"
    assert pseudonyms.alias("another key", "int:7") != known
    assert len({pseudonyms.alias("key", f"int:{n}") for n in range(20_000)}) == 20_000


def test_it_is_found_however_it_is_written():
    for spelling in ("indigo shore", " Indigo-Shore ", "INDIGO  SHORE"):
        assert pseudonyms.folded(spelling) == "indigo-shore"
    words = pseudonyms.FIRST + pseudonyms.SECOND
    assert (len(set(pseudonyms.FIRST)), len(set(pseudonyms.SECOND))) == (128, 128)
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)


def test_a_request_keeps_what_was_asked_and_loses_who_asked():
    asked = {
        "model": "m",
        "temperature": 0.5,
        "tools": [{"type": "function"}],
        "stop": None,
        "user": "ann@firm.example",
        "safety_identifier": "ann@firm.example",
        "metadata": {"user_id": "ann"},
        "prompt_cache_key": "ann",
        "user_security_context": {"source_ip": "192.0.2.7"},
        "employee": 17,
        "session": None,
        "messages": [
            {"role": "user", "name": "ann", "content": "I am Ann", "sender_id": 17},
            {"role": "user", "name": "ben", "content": "I am Ben"},
            {"role": "tool", "name": "lookup", "tool_call_id": "1", "content": "found"},
            "no message at all",
        ],
    }
    shown = pseudonyms.masked(asked, str.upper)
    assert {name: shown[name] for name in ("model", "temperature", "tools", "stop", "session")} == {
        name: asked[name] for name in ("model", "temperature", "tools", "stop", "session")
    }
    assert (shown["user"], shown["safety_identifier"]) == ("ANN@FIRM.EXAMPLE", "ANN@FIRM.EXAMPLE")
    assert {
        shown[name]
        for name in ("metadata", "prompt_cache_key", "user_security_context", "employee")
    } == {pseudonyms.HIDDEN}
    assert shown["messages"] == [
        {"role": "user", "name": "ANN", "content": "I am Ann", "sender_id": pseudonyms.HIDDEN},
        {"role": "user", "name": "BEN", "content": "I am Ben"},
        {"role": "tool", "name": "lookup", "tool_call_id": "1", "content": "found"},
        "no message at all",
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(("share", "title"), [(5, "Analyst"), (4, "")])
def test_a_csv_names_people_by_alias_and_job_titles_that_five_have(settings, share, title):
    rita = User.objects.create_user("rita", is_staff=True)
    rita.groups.add(Group.objects.get(name="Reviewer"))
    ann, chief = person("ann"), User.objects.create_user("chief", job_title="Chief")
    analysts = [
        User(username=f"analyst{n}", department="Finance", job_title="Analyst", password="!")
        for n in range(share - 1)
    ]
    User.objects.bulk_create(analysts)
    User.objects.filter(pk=ann.pk).update(department="Finance", job_title="Analyst")
    alone = User.objects.create_user("alone", department="Legal", job_title="Analyst")
    for owner in (ann, alone, chief):
        turn(
            owner, [user("hello") | {"name": owner.username}], "hi", params={"user": owner.username}
        )

    def rows() -> dict[str, dict[str, str]]:
        text = b"".join(CallTable(Snapshot.objects.all(), Names(rita))).decode("utf-8-sig")
        return {row["user_name"]: row for row in csv.DictReader(io.StringIO(text))}

    assert {name: row["title"] for name, row in rows().items()} == {
        "ann": "Analyst",
        "alone": "Analyst",
        "chief": "Chief",
    }
    settings.PSEUDONYMS = True
    found = rows()
    assert {name: row["title"] for name, row in found.items()} == {
        alias(ann.pk): title,
        alias(alone.pk): "",
        alias(chief.pk): "",
    }
    request = orjson.loads(found[alias(ann.pk)]["request"])
    assert (request["user"], request["messages"][0]["name"], request["messages"][0]["content"]) == (
        alias("ann"),
        alias("ann"),
        "hello",
    )
