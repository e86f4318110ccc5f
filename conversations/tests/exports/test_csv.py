"""The CSV: every call of the filter once, equal to the record."""

import base64
import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import uuid4

import orjson
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from conversations import record
from conversations.exports import table as export
from conversations.exports.table import COLUMNS, LONGEST, CallTable
from conversations.models import Conversation, Snapshot, User
from conversations.people.identity import Names
from conversations.record import CallRequest, Outcome, rebuild
from conversations.search import index
from conversations.tests.calls import answer, ask, assistant, person, turn, user
from conversations.tests.cells import CALLS, CONVERSATIONS, parsed
from conversations.tests.unguarded import unguarded

CLASSIC = [
    "id",
    "request",
    "response",
    "usage_info",
    "user_name",
    "title",
    "response_time",
    "convo_title",
    "convo_show",
    "root_gpt_id",
]


def download(client: Client, path: str = CALLS, **query: str) -> list[dict[str, str]]:
    response = client.get(path, query)
    assert response.status_code == 200
    return parsed(response.getvalue())


# The file -------------------------------------------------------------------------------------


def test_the_form_of_the_file(desk, alice):
    turn(alice, [user("hi")], "hello")
    response = desk.get(CALLS)
    data = response.getvalue()
    assert response["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(
        r'attachment; filename="calls-[\d-]+\.csv"', response["content-disposition"]
    )
    assert "no-store" in response["cache-control"]
    assert response["x-content-type-options"] == "nosniff"
    assert data.startswith(b'\xef\xbb\xbf"id","request","response"')
    assert data.endswith(b'"\r\n')
    assert re.fullmatch(rb'("([^"]|"")*"(,"([^"]|"")*")*\r\n)+', data[3:])
    assert list(COLUMNS[:10]) == CLASSIC
    assert COLUMNS[-1] == "schema_version"


def variety(alice: User) -> None:
    """Every shape that a call can have."""
    system = {"role": "system", "content": "be brief"}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    asked = ask(
        alice,
        [system, user("weather?")],
        params={"temperature": 0.5, "tools": [{"type": "function", "function": {"name": "f"}}]},
    )
    answer(asked, None, tool_calls=[call], reasoning_content="hm")
    history = [
        system,
        user("weather?"),
        assistant(None, tool_calls=[call | {"index": 0}]),
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    last = turn(alice, history, " It is sunny. ", root=asked.conversation)
    spelled = [
        *history,
        assistant("It is sunny."),
        user([{"type": "text", "text": "sure?", "cache_control": {"type": "ephemeral"}}]),
    ]
    turn(alice, spelled, "Yes\u2028\u0085\0.", root=last.conversation_id)
    turn(
        alice,
        [user("a"), assistant("never said"), user("big"), user("x\0y")],
        "1",
        params={"n": 2**63, "seed": 18446744073709551615},
    )
    failed = ask(alice, [user("down")])
    record.close(
        failed,
        Outcome(
            status="failed",
            response={"error": {"message": "no"}},
            error_code="upstream_unavailable",
            error="It is down.",
        ),
    )
    answer(ask(alice, [user("long")]), "half", status="cancelled")
    ask(alice, [user("pending")])
    record.refuse(
        CallRequest(
            owner=alice.pk,
            kind="chat",
            model="x",
            body={"model": "x", "messages": [user("no")]},
            sent=b"{}",
        ),
        "blocked",
        "Not this.",
    )
    two = ask(alice, [user("two choices")], params={"n": 2})
    replies = [assistant("one"), assistant("two")]
    choices = [
        {"index": i, "message": reply, "finish_reason": "stop"} for i, reply in enumerate(replies)
    ]
    record.close(
        two,
        Outcome(
            status="ok",
            replies=replies,
            response={"id": "z", "choices": choices},
            prompt_tokens=1,
            completion_tokens=2,
        ),
    )
    drawn = record.open(
        CallRequest(
            owner=alice.pk,
            kind="image",
            model="dall",
            body={"model": "dall", "prompt": "a cat"},
            messages=[user("a cat")],
            sent=b"{}",
        )
    )
    record.close(
        drawn,
        Outcome(
            status="ok",
            replies=[assistant("a cat")],
            response={"data": [{"url": "https://example.com/cat.png"}]},
        ),
    )


def test_rows_equal_the_record(desk, alice):
    variety(alice)
    calls = list(Snapshot.objects.select_related("conversation").order_by("-id"))
    rows = download(desk)
    assert len(rows) == len(calls) == 10
    for row, call in zip(rows, calls, strict=True):
        assert row["id"] == str(call.id)
        assert orjson.loads(row["request"]) == rebuild.rebuild_request(call)
        assert (
            orjson.loads(row["response"]) if row["response"] else None
        ) == rebuild.rebuild_response(call)
        assert (row["user_name"], row["title"], row["schema_version"]) == ("alice", "Analyst", "1")
        assert (row["model"], row["status"], row["kind"]) == (call.model, call.status, call.kind)
        assert (row["text_truncated"], row["text_sha256"]) == ("", "")
        if call.conversation:
            assert (row["convo_title"], row["convo_show"], row["root_gpt_id"]) == (
                call.conversation.title,
                "true",
                str(call.conversation_id),
            )
        else:
            assert (row["convo_title"], row["convo_show"], row["root_gpt_id"]) == ("", "false", "")
        if call.closed:
            assert datetime.fromisoformat(row["response_time"]).replace(tzinfo=UTC) == call.closed
        else:
            assert row["response_time"] == ""
        if call.prompt_tokens is None:
            assert row["usage_info"] == ""
        else:
            tokens = {
                "prompt_tokens": call.prompt_tokens,
                "completion_tokens": call.completion_tokens,
                "total_tokens": call.total_tokens,
            }
            assert orjson.loads(row["usage_info"]) == tokens


def test_removed_conversations_and_imported_ids(desk, alice):
    call = turn(alice, [user("hi")], "hello")
    old = uuid4()
    Conversation.objects.update(shown=False, classic_root="chatcmpl-old")
    with unguarded():
        Snapshot.objects.update(classic_id=old)
    [row] = download(desk)
    assert (row["id"], row["root_gpt_id"], row["convo_show"]) == (str(old), "chatcmpl-old", "false")
    assert call.conversation_id


def test_a_call_for_a_title_is_a_row_as_the_classic_gateway_has_it(desk, alice):
    root = turn(alice, [user("hi")], "hello").conversation_id
    body = {"model": "m", "messages": [user("a title for: hi")]}
    call = record.open(
        CallRequest(
            owner=alice.pk,
            kind="title",
            model="m",
            body=body,
            messages=body["messages"],
            sent=b"{}",
            root=root,
        )
    )
    record.close(call, Outcome(status="ok", replies=[assistant("Greeting")]))
    row, _ = download(desk)
    assert (row["convo_title"], row["convo_show"], row["root_gpt_id"], row["kind"]) == (
        "summarizer",
        "false",
        "",
        "title",
    )
    assert orjson.loads(row["request"]) == body


def test_a_long_text_is_cut_and_its_whole_is_named(desk, alice):
    turn(alice, [user("é" * 40_000)], "ü" * 50_000)
    turn(alice, [user("short")], "x" * 33_000)
    latest, first = download(desk)
    call = Snapshot.objects.order_by("id")[0]
    whole = [
        orjson.dumps(value).decode()
        for value in (rebuild.rebuild_request(call), rebuild.rebuild_response(call))
    ]
    assert [first["request"], first["response"]] == [text[:LONGEST] for text in whole]
    assert first["text_truncated"] == "request response"
    assert first["text_sha256"].split() == [sha256(text.encode()).hexdigest() for text in whole]
    assert latest["text_truncated"] == "response"
    assert len(latest["text_sha256"]) == 64


def test_files_are_named_not_copied(desk, alice):
    picture = b"\x89PNG\r\n\x1a\n" + bytes(5000)
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    turn(alice, [user([{"type": "image_url", "image_url": {"url": url}}])], "a black square")
    [row] = download(desk)
    content = orjson.loads(row["request"])["messages"][0]["content"]
    assert content == [
        {
            "type": "image_url",
            "image_url": {
                "url": f"data:image/png;base64,[file with sha256 {sha256(picture).hexdigest()}]"
            },
        }
    ]


# Which rows -----------------------------------------------------------------------------------


def test_the_filter_is_carried(desk, alice):
    now = datetime.now(UTC)
    old = turn(alice, [user("needle in spring")], "ok", opened=now - timedelta(days=40))
    recent = turn(alice, [user("needle today")], "ok")
    hay = turn(person("bob"), [user("hay")], "ok", key="gw-12345678")
    index.index_messages([old.id, recent.id, hay.id])
    got = lambda **query: [row["id"] for row in download(desk, **query)]  # noqa: E731
    assert got() == [str(hay.id), str(recent.id)]
    assert got(since="") == [str(hay.id), str(recent.id), str(old.id)]
    assert got(user="bob") == [str(hay.id)]
    assert got(source="page") == [str(recent.id)]
    assert got(q="needle") == [str(recent.id)]
    assert got(q=str(old.id)) == [str(old.id)]
    assert got(status="failed") == []
    assert got(user="nobody") == []


def test_from_the_conversations_list_come_their_calls(desk, alice):
    first = turn(alice, [user("one")], "1")
    second = turn(alice, [user("one"), assistant("1"), user("needle")], "2")
    failed = ask(alice, [user("again")], root=first.conversation_id)
    record.close(failed, Outcome(status="failed"))
    record.refuse(
        CallRequest(owner=alice.pk, kind="chat", model="x", body={"model": "x"}, sent=b"{}"),
        "blocked",
        "No.",
    )
    other = turn(alice, [user("other")], "o")
    index.index_messages(list(Snapshot.objects.values_list("id", flat=True)))
    got = lambda **query: [row["id"] for row in download(desk, CONVERSATIONS, **query)]  # noqa: E731
    assert got() == [str(id) for id in (other.id, failed.id, second.id, first.id)]
    assert got(q="needle") == [str(id) for id in (failed.id, second.id, first.id)]
    assert got(status="failed") == [str(failed.id)]
    assert got(q=str(first.conversation_id)) == [str(id) for id in (failed.id, second.id, first.id)]


def test_the_link_on_the_list_is_the_csv_of_its_filter(desk, alice):
    turn(alice, [user("hi")], "hello")
    page = desk.get("/admin/conversations/snapshot/?user=alice&status=ok").content.decode()
    [link] = re.findall(r'href="([^"]*csv/[^"]*)"', page)
    assert link == f"{CALLS}?status=ok&amp;user=alice"


# The stream -----------------------------------------------------------------------------------


def test_every_call_once_whatever_arrives_and_a_few_queries_a_stretch(alice, monkeypatch):
    monkeypatch.setattr(export, "AT_ONCE", 4)
    line_so_far = []
    for i in range(10):
        line_so_far.append(user(f"question {i}"))
        turn(alice, line_so_far, f"answer {i}")
        line_so_far.append(assistant(f"answer {i}"))
    expected = [str(id) for id in Snapshot.objects.order_by("-id").values_list("id", flat=True)]
    names = Names(person())
    with CaptureQueriesContext(connection) as queries:
        lines = list(CallTable(Snapshot.objects.all(), names))
    assert [row["id"] for row in parsed(b"".join(lines))] == expected
    assert len(queries) == 2 * 3 + 1
    lines = []
    for piece in CallTable(Snapshot.objects.all(), names):
        lines.append(piece)
        ask(alice, [user("meanwhile")])
    # those that came before the first stretch was read are in it, later ones are not
    assert [row["id"] for row in parsed(b"".join(lines))][-10:] == expected


@pytest.mark.django_db(transaction=True)
def test_no_connection_is_held_between_stretches(monkeypatch):
    monkeypatch.setattr(export, "AT_ONCE", 2)
    for i in range(3):
        turn(person(), [user(f"{i}")], "ok")
    lines = CallTable(Snapshot.objects.all(), Names(person()))
    for _ in range(2):
        next(lines)
    assert connection.connection is None
    assert len(list(lines)) == 2
    assert connection.connection is None
