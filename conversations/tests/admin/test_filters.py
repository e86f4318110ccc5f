"""Filters of the review desk: what each finds, and what a wrong one says."""

import re
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from django.utils import timezone

from conversations.models import (
    AuditEvent,
    Snapshot,
    Unsealed,
    Usage,
    User,
)
from conversations.search import find, index
from conversations.tests.admin.desk import CALLS, CONVERSATIONS, ago, ids, made, text
from conversations.tests.calls import ask, assistant, turn, user
from conversations.tests.cast import signed_in
from conversations.tests.html import Html

pytestmark = pytest.mark.django_db
RECENT = {"lastweek", "plain", "bob", "other model", "failed", "image", "key", "azure"}


@pytest.mark.parametrize(
    ("query", "expected", "words"),
    [
        ({}, RECENT, "in the last 30 days"),
        ({"since": ""}, RECENT | {"old"}, "of all time"),
        ({"since": ago(60)}, RECENT | {"old"}, "in the last 61 days"),
        ({"since": ago(0)}, RECENT - {"lastweek"}, "today"),
        ({"since": ago(7), "until": ago(7)}, {"lastweek"}, "on "),
        ({"until": ago(7)}, {"lastweek", "old"}, "to "),
        ({"user": "bob"}, {"bob"}, "by “bob”"),
        ({"user": "Rob"}, {"bob"}, "by “Rob”"),
        ({"user": "bra"}, {"bob"}, "by “bra”"),
        ({"user": "E-77"}, {"bob"}, "by “E-77”"),
        ({"user": "zed"}, set(), "by “zed” (nobody)"),
        ({"department": "Legal"}, {"bob"}, "department Legal"),
        ({"job_title": "Counsel"}, {"bob"}, "job title Counsel"),
        (
            {"job_title": "Counsel", "department": "Sales"},
            set(),
            "job title Counsel, department Sales",
        ),
        ({"upstream": "azure"}, {"azure"}, "upstream azure"),
        ({"model": "gpt-4o"}, {"other model"}, "model gpt-4o"),
        ({"status": "failed"}, {"failed"}, "status failed"),
        ({"kind": "image"}, {"image"}, "kind image"),
        ({"source": "page"}, RECENT - {"key"}, "through the gateway’s pages"),
        ({"source": "key"}, {"key"}, "through API keys"),
        ({"source": "gw-abcdefgh"}, {"key"}, "through API key gw-abcdefgh…"),
        ({"q": "gpt-4o"}, {"other model"}, "with the words “gpt-4o”"),
        ({"q": "gpt-4o", "user": "bob"}, set(), "with the words “gpt-4o”"),
        (
            {"q": "pages m ok", "since": ago(0)},
            {"plain", "bob", "image", "azure"},
            "with the words",
        ),
    ],
)
def test_filters_of_both_lists(desk, varied, query, expected, words):
    index.index_messages(list(varied.values()))
    response = desk.get(CALLS, query)
    names = {id: name for name, id in varied.items()}
    assert {names[id] for id in ids(response)} == expected
    assert words in text(response)
    response = desk.get(CONVERSATIONS, query)
    of = dict(Snapshot.objects.values_list("conversation_id", "id"))
    assert {names[of[id]] for id in ids(response)} == expected


def test_a_conversation_of_long_ago_is_found_by_its_call_of_today(desk, alice):
    started = turn(alice, [user("hi")], "hello", opened=datetime.now(UTC) - timedelta(days=90))
    assert ids(desk.get(CONVERSATIONS)) == []
    turn(alice, [user("hi"), assistant("hello"), user("again")], "yes?")
    assert ids(desk.get(CONVERSATIONS)) == [started.conversation_id]
    assert ids(desk.get(CONVERSATIONS, {"until": ago(1), "since": ago(80)})) == []


def test_ids_are_found_on_any_day_by_their_beginning_too(desk, varied):
    call = Snapshot.objects.get(id=varied["old"])
    for q in (
        str(call.id),
        call.id.hex,
        str(call.id).upper(),
        f"id:{call.id}",
        f"id: {str(call.id)[:18]}",
        str(call.conversation_id),
    ):
        assert ids(desk.get(CALLS, {"q": q, "user": "nobody"})) == [call.id], q
        assert ids(desk.get(CONVERSATIONS, {"q": q})) == [call.conversation_id], q


@pytest.mark.parametrize(
    "query",
    [
        {"since": "yesterday"},
        {"since": "2026-02-01", "until": "2026-01-01"},
        {"since": "0001-01-01"},
        {"until": "9999-12-31"},
        {"status": "great"},
        {"kind": "x"},
        {"q": "id:xyz"},
        {"q": "id:0"},
        {"q": "id:01234567 words"},
        {"q": "user:"},
        {"q": "user: model:m"},
        {"q": "user:a user:b"},
        {"q": "-user:bob"},
        {"q": 'model:""'},
        {"q": "a\0b"},
        {"q": "x" * 201},
        {"user": "a\0"},
        {"model": "\0"},
    ],
)
def test_a_wrong_filter_says_so_and_shows_nothing(desk, call, query):
    for base in (CALLS, CONVERSATIONS):
        response = desk.get(base, query)
        assert response.status_code == 200
        assert ids(response) == []
        assert response.context["cl"].filter.errors
        assert "Correct the filter" in text(response)
        assert desk.get(f"{base}csv/", query).status_code == 302


def test_prefixes_in_the_search_box_are_another_way_into_the_fields(desk, varied):
    index.index_messages(list(varied.values()))
    names = {id: name for name, id in varied.items()}
    User.objects.filter(username="alice").update(first_name="Ada L")

    def chosen(response):
        data = response.context["cl"].filter.data
        return {name: value for name, value in data.items() if value and name != "since"}

    for q, expected, fields in (
        ("user:bob", {"bob"}, {"user": "bob"}),
        ("USER: bob about", {"bob"}, {"user": "bob", "q": "about"}),
        ('model:"gpt-4o" user:"Ada L"', {"other model"}, {"model": "gpt-4o", "user": "Ada L"}),
        ("about model:gpt-4o user:bob", set(), {"q": "about", "model": "gpt-4o", "user": "bob"}),
        ('"pages m" -ok', {"failed"}, {"q": '"pages m" -ok'}),
        ('"user:bob"', set(), {"q": '"user:bob"'}),
    ):
        response = desk.get(CALLS, {"q": q})
        assert {names[id] for id in ids(response)} == expected, q
        assert chosen(response) == fields, q
        assert {names[id] for id in ids(desk.get(CALLS, fields))} == expected, q
    response = desk.get(CALLS, {"q": "user:bob", "user": "alice"})
    assert {names[id] for id in ids(response)} == {"bob"}
    assert "by “bob”" in text(response)
    assert [field["value"] for field in Html(response).all("input", name="user")] == ["bob"]
    event = AuditEvent.objects.latest("id")
    assert (event.terms, orjson.loads(event.detail)["filter"]["user"]) == ("", "bob")


def test_a_name_that_begins_too_many_is_refused(desk, alice, call):
    User.objects.bulk_create(User(username=f"clone{i}") for i in range(101))
    assert "More than 100 people" in text(desk.get(CALLS, {"user": "clone"}))


def test_a_search_that_finds_too_much_says_so_and_is_not_exported(desk, alice, monkeypatch):
    monkeypatch.setattr(find, "CAP", 2)
    calls = made(alice, 3)
    index.index_messages(calls)
    response = desk.get(CALLS, {"q": "question"})
    assert "More than 2 match: the newest are listed, and older ones page by page." in text(
        response
    )
    assert ids(response) == calls[:0:-1]
    assert b"Download CSV" not in response.content
    assert desk.get(f"{CALLS}csv/", {"q": "question"})["location"] == f"{CALLS}?q=question"


def test_a_search_says_what_is_not_searchable_yet(desk, alice):
    Unsealed.objects.all().delete()
    index.index_messages(made(alice, 1))
    assert "not searchable yet" not in text(desk.get(CALLS, {"q": "question"}))
    for _ in range(2):
        turn(alice, [user("question new")], "yes")
    Unsealed.objects.filter(kind="snapshot").update(closed=timezone.now() - timedelta(seconds=7))
    for base in (CALLS, CONVERSATIONS):
        assert re.search(
            r"The newest 2 calls are not searchable yet: the search is \d+\.\d s behind\.",
            text(desk.get(base, {"q": "question"})),
        )
        assert "not searchable yet" not in text(desk.get(base))
        assert "not searchable yet" not in text(desk.get(base, {"q": "id:01234567"}))


def test_days_are_the_readers_own(rita, alice):
    late = datetime(2026, 3, 10, 23, 30, tzinfo=UTC)
    call = turn(alice, [user("hi")], "hello", opened=late)
    client = signed_in(rita)
    assert ids(client.get(CALLS, {"since": "2026-03-10", "until": "2026-03-10"})) == [call.id]
    User.objects.filter(pk=rita.pk).update(time_zone="Europe/Berlin")
    assert ids(client.get(CALLS, {"since": "2026-03-10", "until": "2026-03-10"})) == []
    response = client.get(CALLS, {"since": "2026-03-11", "until": "2026-03-11"})
    assert ids(response) == [call.id]
    assert "2026-03-11 00:30:00" in text(response)
    assert "Times are in Europe/Berlin" in text(response)


def test_the_values_to_choose_from_are_those_on_record(desk, rita, alice):
    Usage.objects.create(day=datetime.now(UTC).date(), owner=alice, model="rolled-up")
    User.objects.filter(pk=alice.pk).update(job_title="Clerk", department="Sales")
    User.objects.create_user("bob", job_title="Counsel", department="Legal")
    for upstream in ("azure", "openai", "azure"):
        ask(alice, [user("hi")], upstream=upstream)
    page = desk.get(CALLS)
    offered = {
        name: [value for value, _ in page.context["cl"].filter.fields[name].widget.choices]
        for name in ("upstream", "job_title", "department")
    }
    assert offered == {
        "upstream": ["", "azure", "openai"],
        "job_title": ["", "Clerk", "Counsel"],
        "department": ["", "Legal", "Sales"],
    }
    assert '<option value="rolled-up">' in page.content.decode()
    assert '<option value="gone" selected>' in desk.get(CALLS, {"model": "gone"}).content.decode()
    User.objects.filter(pk=rita.pk).update(reviews_departments=["Sales"])
    assert b"Counsel" not in desk.get(CALLS).content
