"""The index of all that left: what it holds, and how the worker makes it anew."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings

from conversations import record
from conversations.models import Conversation, Reindexing, SearchEntry, Snapshot, Unindexed
from conversations.record import CallRequest, Outcome
from conversations.search import entries, find, index
from conversations.search.query import parse
from conversations.tests.admin.desk import CALLS, CONVERSATIONS, ids, text
from conversations.tests.calls import answer, ask, assistant, turn, user
from conversations.tests.search.texts import TEXTS, list_runs

pytestmark = pytest.mark.django_db
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up_employee",
        "description": "Finds the zephyr of a person" + " by any name" * 30,
        "parameters": {"type": "object", "properties": {"salary_band": {"type": "string"}}},
    },
}


def index_all() -> None:
    index.index_calls(list(Snapshot.objects.exclude(status="pending").values_list("id", flat=True)))


def search(words: str, **scope) -> list[UUID]:
    return [each.call for each in find.find_calls(parse(words), find.Scope(**scope)).found]


def closed(owner, kind: str, body: dict, *, reply: dict | None = None, **how) -> UUID:
    call = record.open(
        CallRequest(owner=owner.pk, kind=kind, model="m", body={"model": "m"} | body, **how)
    )
    record.close(call, Outcome(status="ok", response=reply))
    return call.id


# All that left ------------------------------------------------------------------------------------

PARAMS = {
    "a tool's description": ({"tools": [TOOL]}, "zephyr of a person"),
    "a tool's name, in parts": ({"tools": [TOOL]}, "employee"),
    "a field of a schema": ({"tools": [TOOL]}, "salary"),
    "metadata": ({"metadata": {"project": "Zephyr 9"}}, "zephyr"),
    "a key of metadata": ({"metadata": {"zephyr": "9"}}, "zephyr"),
    "an id in metadata": ({"metadata": {"id": "zephyr-9"}}, "zephyr-9"),
    "a number in metadata": ({"metadata": {"badge": 4711}}, "4711"),
    "a prediction": ({"prediction": {"type": "content", "content": "zephyr"}}, "zephyr"),
    "a schema of the answer": (
        {"response_format": {"json_schema": {"schema": {"properties": {"zephyr": {}}}}}},
        "zephyr",
    ),
    "a field that nobody knows": ({"tomorrows_field": ["zephyr"]}, "zephyr"),
    "where to stop": ({"stop": ["Zephyr:"]}, "zephyr"),
    "the user's name": ({"user": "zephyr@corp.example"}, "corp.example"),
}


@pytest.mark.parametrize(("params", "words"), PARAMS.values(), ids=PARAMS)
def test_each_string_of_a_request_is_found(desk, alice, params, words):
    call = turn(alice, [user("q")], "a", params=params)
    index_all()
    assert ids(desk.get(CALLS, {"q": words})) == [call.id]
    assert ids(desk.get(CONVERSATIONS, {"q": words})) == [call.conversation_id]


MESSAGES = {
    "a part of a text": user([{"type": "text", "text": "zephyr"}]),
    "a name": user("q") | {"name": "zephyr"},
    "an unknown field": user("q") | {"tomorrow": {"zephyr": 1}},
    "a file's name": user([{"type": "file", "file": {"filename": "zephyr.pdf", "file_id": "f"}}]),
    "arguments of a call": assistant(
        None,
        tool_calls=[
            {
                "id": "c",
                "type": "function",
                "function": {"name": "f", "arguments": '{"to": "z\\u00e9phyr"}'},
            }
        ],
    ),
    "the result of a tool": {"role": "tool", "tool_call_id": "c", "content": "zephyr"},
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_each_string_of_a_message_is_found(alice, message):
    call = turn(alice, [user("q"), message], "a")
    index_all()
    assert search("zephyr") == [call.id]


def test_calls_without_a_conversation_are_found(desk, alice):
    found = {
        "refused": record.refuse(
            CallRequest(
                owner=alice.pk, kind="chat", model="m", body={"messages": [user("zephyrone")]}
            ),
            "c",
            "no",
        ),
        "embedding": closed(alice, "embedding", {"input": ["zephyrtwo", "x"]}),
        "image": closed(
            alice,
            "image",
            {"prompt": "zephyrthree"},
            reply={"data": [{"revised_prompt": "a zephyrfour"}]},
        ),
        "title": closed(
            alice,
            "title",
            {"messages": [user("zephyrfive")]},
            reply={"choices": [{"message": {"role": "assistant", "content": "zephyrsix"}}]},
        ),
    }
    index_all()
    for number, kind in {
        "one": "refused",
        "two": "embedding",
        "three": "image",
        "four": "image",
        "five": "title",
        "six": "title",
    }.items():
        assert ids(desk.get(CALLS, {"q": f"zephyr{number}"})) == [found[kind]], number


def test_an_embedding_is_no_number_to_search_for(alice):
    vector = {"data": [{"embedding": [0.5] * 40}]}
    closed(alice, "embedding", {"input": list(range(1000, 1040)), "user": "zephyr"}, reply=vector)
    index_all()
    assert search("1001") == []
    assert len(search("zephyr")) == 1


def test_what_repeats_is_indexed_once_a_conversation(alice):
    one = turn(alice, [user("q")], "a", params={"tools": [TOOL]})
    messages = [user("q"), assistant("a", refusal=None)]
    two = turn(alice, [*messages, user("r")], "b", params={"tools": [TOOL]})
    other = {"tools": [{"type": "function", "function": {"name": "walrus"}}]}
    three = turn(
        alice,
        [*messages, user("r"), assistant("b", refusal=None), user("s")],
        "c",
        params=other,
    )
    assert one.conversation_id == two.conversation_id == three.conversation_id
    index.index_calls([one.id])
    index.index_calls([two.id, three.id])
    assert search("salary_band") == [one.id]
    assert search("walrus") == [three.id]
    index_all()  # made anew, it is the same
    assert search("salary_band") == [one.id]


def test_a_title_is_found_as_it_is_now(desk, alice):
    call = turn(alice, [user("q")], "a")
    index_all()
    Conversation.objects.get(id=call.conversation_id).rename("The Zephyr papers")
    while index.catch_up():
        pass
    assert ids(desk.get(CONVERSATIONS, {"q": "zephyr papers"})) == [call.conversation_id]
    Conversation.objects.get(id=call.conversation_id).rename("Otherwise")
    while index.catch_up():
        pass
    assert search("zephyr") == []
    assert not Unindexed.objects.exists()


# In PostgreSQL ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain_locale(django_db_setup, django_db_blocker):
    """A session of a database whose locale knows no letters but a to z."""
    with django_db_blocker.unblock():
        connection.ensure_connection()
        info = connection.connection.info
        name = f"{info.dbname}_c"[:60]
    with psycopg.connect(info.dsn, password=info.password, autocommit=True) as session:
        session.execute(f'DROP DATABASE IF EXISTS "{name}"')
        session.execute(
            f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'"
            " LOCALE_PROVIDER libc LOCALE 'C'"
        )
        with psycopg.connect(info.dsn, dbname=name, password=info.password) as other:
            yield other
        session.execute(f'DROP DATABASE "{name}"')


MISSED = "SELECT q FROM unnest(%s::text[]) q WHERE NOT %s::tsvector @@ q::tsquery"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(TEXTS)
def test_every_run_of_a_text_is_found_whatever_the_locale(plain_locale, text):
    [vector] = entries.write_vectors([text], ["$o1"])
    queries = [f"{parse(run)} & '$o1'" for run in list_runs(text)]
    for session in (plain_locale, connection.connection):
        assert session.execute(MISSED, [queries, vector]).fetchall() == []


def test_phrases_are_found_wherever_they_stand():
    words = ["the"] * 400 + [f"w{i}" for i in range(30_000)] + ["the", "end"]
    vectors = entries.write_vectors([" ".join(words)], [])
    assert len(vectors) > 2

    def is_found(phrase: str) -> bool:
        with connection.cursor() as cursor:
            sql = "SELECT bool_or(v::tsvector @@ %s::tsquery) FROM unnest(%s::text[]) v"
            cursor.execute(sql, [str(parse(f'"{phrase}"')), vectors])
            return cursor.fetchone()[0]

    starts = range(0, len(words) - 3, 7)
    phrases = [" ".join(words[start : start + 3]) for start in [*starts, len(words) - 3]]
    assert all(map(is_found, phrases[::40] + phrases[-3:]))
    assert is_found("the the w0")
    assert not is_found("end the")


# By the worker ------------------------------------------------------------------------------------


def test_older_calls_are_indexed_anew_newest_first_and_pages_say_so(desk, hers, alice, monkeypatch):
    monkeypatch.setattr(index, "AT_ONCE", 2)
    now = datetime.now(UTC)
    calls = []
    for days in (40, 30, 20, 10, 0):
        call = ask(alice, [user(f"zephyr of {days}")], opened=now - timedelta(days=days))
        answer(call, "a")
        calls.append(call.id)
    waiting = ask(alice, [user("zephyr that waits")])
    Reindexing.objects.create(below=UUID(int=2**128 - 1))
    everything = {"q": "zephyr", "since": ""}
    assert "still being added to the search" in text(desk.get(CALLS, everything))
    assert index.catch_up() == 2
    assert search("zephyr") == [calls[4]]
    assert index.catch_up() == 2
    assert ids(desk.get(CALLS, everything)) == [calls[4], calls[3], calls[2]]
    reached = f"Calls before {(now - timedelta(days=20)):%-d %B %Y} are still being added"
    assert reached in text(desk.get(CALLS, everything))
    assert "Messages before" in hers.get("/history/", {"q": "zephyr"}).content.decode()
    assert index.list_incomplete(calls) == set()  # nor is what waits called missing
    assert [index.catch_up(), index.catch_up()] == [2, 0]
    assert search("zephyr") == calls[::-1]
    assert "still being added" not in text(desk.get(CALLS, everything))
    assert waiting.id not in search("zephyr")


def test_what_lacks_an_entry_is_named(alice):
    long = turn(alice, [user(" ".join(f"w{i}" for i in range(40_000)))], "a")
    short = turn(alice, [user("q")], "a")
    empty = closed(alice, "image", {})
    calls = [long.id, short.id, empty]
    assert index.list_incomplete(calls) == set(calls)
    index_all()
    assert index.list_incomplete(calls) == set()
    SearchEntry.objects.filter(call=long.id, part=1).delete()
    SearchEntry.objects.filter(call=empty).delete()
    assert index.list_incomplete(calls) == {long.id, empty}
    index_all()
    assert index.list_incomplete(calls) == set()
