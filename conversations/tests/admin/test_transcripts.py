"""Transcripts of the review desk: they show all and obey nothing."""

import re
import unicodedata

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from conversations import record
from conversations.models import (
    Conversation,
    Snapshot,
    User,
)
from conversations.reading.pieces import pieces
from conversations.record import Outcome, growth
from conversations.search import index
from conversations.tests.admin.desk import CALLS, CONVERSATIONS, page_of, text, transcript_of
from conversations.tests.calls import answer, ask, assistant, turn, user
from conversations.tests.html import Html
from conversations.visible import show_hidden

pytestmark = pytest.mark.django_db


# Transcripts --------------------------------------------------------------------------------------


def said(response) -> list[str]:
    return [
        "".join(piece.text for piece in turn.pieces)
        for turn in response.context["transcript"].turns
    ]


def test_each_message_once_in_order(desk, alice):
    system = {"role": "system", "content": "be kind"}
    line = [system, user("one")]
    for i in range(3):
        last = turn(alice, line, f"answer {i}")
        line = [*line, assistant(f"answer {i}"), user(f"more {i}")]
    response = desk.get(transcript_of(last))
    assert said(response) == ["one", "answer 0", "more 0", "answer 1", "more 1", "answer 2"]
    body = response.content.decode()
    assert body.count("be kind") == 1
    assert re.search(
        r"<details><summary>System prompt</summary>\s*<div class=\"gw-text\">be kind", body
    )
    for call in Snapshot.objects.all():
        assert page_of(call) in body


def test_a_system_prompt_that_changes_is_shown_where_it_does(desk, alice):
    turn(alice, [{"role": "system", "content": "first"}, user("a")], "b")
    turn(
        alice, [{"role": "system", "content": "second"}, user("a"), assistant("b"), user("c")], "d"
    )
    last = turn(alice, [user("a"), assistant("b"), user("c"), assistant("d"), user("e")], "f")
    turns = desk.get(transcript_of(last)).context["transcript"].turns
    assert [
        (turn.prompt_change, [piece.text for each in turn.prompt_pieces for piece in each])
        for turn in turns
    ] == [
        ("system prompt", ["first"]),
        ("", []),
        ("system prompt changed", ["second"]),
        ("", []),
        ("no system prompt from here on", []),
        ("", []),
    ]


def test_branches_are_selectable(desk, alice):
    turn(alice, [user("a")], "b")
    turn(alice, [user("a"), assistant("b"), user("left")], "L")
    right = turn(alice, [user("a"), assistant("b"), user("right")], "R")
    response = desk.get(transcript_of(right))
    assert said(response) == ["a", "b", "right", "R"]
    assert "2 of 2" in text(response)
    [link] = re.findall(r'href="(\?at=[^"#]+)#', response.content.decode())
    response = desk.get(transcript_of(right) + link)
    assert said(response) == ["a", "b", "left", "L"]
    assert "1 of 2" in text(response)
    assert said(desk.get(transcript_of(right), {"call": str(right.id)})) == ["a", "b", "right", "R"]
    for nonsense in ("?at=nonsense", f"?at={right.id}", "?from=-1", "?from=99999999999", "?call=x"):
        assert said(desk.get(transcript_of(right) + nonsense)) == ["a", "b", "right", "R"]


def test_an_edited_first_message_is_a_version_too(desk, alice):
    first = turn(alice, [user("one")], "1")
    turn(alice, [user("two")], "2", root=first.conversation_id)
    response = desk.get(transcript_of(first))
    assert said(response) == ["two", "2"]
    [link] = re.findall(r'href="(\?at=[^"#]+)#', response.content.decode())
    assert said(desk.get(transcript_of(first) + link)) == ["one", "1"]


def test_claimed_turns_are_marked_and_relayed_ones_not(desk, alice):
    call = turn(
        alice, [user("a"), assistant("I promise you a refund"), user("when?")], "What refund?"
    )
    response = desk.get(transcript_of(call))
    claimed, relayed = re.findall(
        r'<li class="gw-turn gw-role-assistant([^"]*)"', response.content.decode()
    )
    assert claimed == " gw-claimed"
    assert relayed == ""
    assert text(response).count("claimed by the caller, not relayed") == 1


def test_failures_partial_answers_and_growing_ones_are_visible(desk, alice):
    failed = ask(alice, [user("a")])
    record.close(
        failed,
        Outcome(status="failed", error_code="upstream_unavailable", error="The upstream is down."),
    )
    root = failed.conversation
    cut = ask(alice, [user("a")], root=root)
    answer(cut, "half an ans", status="cancelled")
    growing = ask(alice, [user("b")], root=root)
    growth.save_pieces(growing.id, [growth.Piece(growth.TEXT, 0, "still wri")])
    path = reverse("admin:conversations_conversation_change", args=[root])
    shown = text(desk.get(path, {"call": str(cut.id)}))
    assert "failed" in shown
    assert "The upstream is down. upstream_unavailable" in shown
    assert "half an ans" in shown
    assert "cancelled" in shown
    shown = text(desk.get(path))
    assert "pending" in shown
    assert "still wri" in shown


def test_a_long_conversation_is_read_in_pages(desk, alice):
    line = [user("q0")]
    line += [assistant(f"a{i}") if i % 2 else user(f"q{i}") for i in range(1, 120)]
    call = turn(alice, line[:-1], "end")
    path = transcript_of(call)
    with CaptureQueriesContext(connection) as queries:
        response = desk.get(path)
    assert len(queries) <= 8
    assert said(response)[0] == "q0"
    assert len(said(response)) == 100
    later = desk.get(f"{path}?from=100")
    assert said(response) + said(later) == [*(message["content"] for message in line[:-1]), "end"]
    assert said(desk.get(f"{path}?call={call.id}"))[-1] == "end"


def test_a_long_text_is_all_there(desk, alice):
    long = "word " * 10_000
    call = turn(alice, [user(long)], "short", title="long")
    body = desk.get(transcript_of(call)).content.decode()
    assert body.count("word ") == 10_000
    assert "44,000 more characters" in body


HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> [a](javascript:alert(1)) "
    "{{ request }}"
)
HOSTILE += " \u202egnp.exe\u202c\u200b\u2066\x07\x1b[31m\ufeff\U000e0041"


def test_hostile_text_is_inert_and_hidden_characters_are_named(desk, alice):
    User.objects.filter(pk=alice.pk).update(
        job_title=HOSTILE.replace("\x07", "").replace("\x1b", "")[:140], first_name="<b>Eve</b>"
    )
    tool_calls = [
        {"id": HOSTILE, "type": "function", "function": {"name": HOSTILE, "arguments": HOSTILE}}
    ]
    asked = ask(
        alice,
        [{"role": "system", "content": HOSTILE}, user(HOSTILE)],
        title=HOSTILE,
        user_agent=HOSTILE,
        params={"x": HOSTILE},
    )
    answer(asked, HOSTILE, tool_calls=tool_calls, odd=HOSTILE)
    failed = ask(alice, [user(HOSTILE)], root=asked.conversation)
    record.close(
        failed,
        Outcome(
            status="failed",
            error_code=HOSTILE,
            error=HOSTILE,
            served_model=HOSTILE,
            finish_reason=HOSTILE,
        ),
    )
    Conversation.objects.update(title=HOSTILE)
    call = Snapshot.objects.get(id=asked.id)
    index.index_messages([call.id, failed.id])
    pages = [
        transcript_of(call),
        f"{transcript_of(call)}?call={call.id}",
        page_of(call),
        page_of(Snapshot.objects.get(id=failed.id)),
        CONVERSATIONS,
        CALLS,
    ]
    pages += [f"{CALLS}?q={HOSTILE[:25]}&user={HOSTILE[:25]}&model={HOSTILE[:25]}"]
    for path in pages:
        response = desk.get(path)
        body = response.content.decode()
        assert response.status_code == 200
        assert "<script>alert" not in body, path
        assert "<img src=x" not in body, path
        assert "<b>Eve" not in body, path
        assert not set("\u202e\u202c\u200b\u2066\x07\x1b\ufeff\U000e0041") & set(body), path
        assert "default-src 'self'" in response["content-security-policy"]
        assert "unsafe" not in response["content-security-policy"]
        for tag, attributes in Html(response).tags:
            assert tag not in ("style", "iframe", "object", "base"), path
            assert tag != "script" or attributes["src"].startswith("/static/admin"), path
            assert not [name for name in attributes if name.startswith("on") or name == "style"], (
                path
            )
            for address in (
                attributes.get("href"),
                attributes.get("src"),
                attributes.get("action"),
            ):
                assert not address or address.startswith(("/", "?", "#")), path
    body = desk.get(transcript_of(call), {"call": str(call.id)}).content.decode()
    for name in ("202E", "202C", "200B", "2066", "0007", "001B", "FEFF", "E0041"):
        assert f'<span class="gw-hidden">‹U+{name}›</span>' in body


def test_every_hidden_character_is_named():
    obeyed = [
        chr(c)
        for c in range(0x110000)
        if unicodedata.category(chr(c)) in ("Cc", "Cf", "Zl", "Zp") and chr(c) not in "\t\n"
    ]
    assert [f"{ord(c):04X}" for c in obeyed if f"‹U+{ord(c):04X}›" not in show_hidden(c)] == []
    assert show_hidden("a\tb\nc\r\nd") == "a\tb\nc\nd"
    assert show_hidden("a\rb") == 'a<span class="gw-hidden">‹U+000D›</span>b'
    assert show_hidden("❤️ naïve 日本 العربية") == "❤️ naïve 日本 العربية"
    assert "FE0F" in show_hidden("a\ufe0f\ufe0f")
    assert show_hidden("<b>‹U+202E›") == "&lt;b&gt;‹U+202E›"


@pytest.mark.parametrize(
    "message",
    [
        user("plain"),
        user(
            [
                {"type": "text", "text": "a"},
                {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}},
            ]
        ),
        user(
            [
                {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
                {"type": "image_url", "image_url": {"url": "u", "detail": "low"}},
            ]
        ),
        user(
            [
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                "bare",
                7,
                None,
            ]
        ),
        user({"odd": "object"}),
        assistant(
            None,
            tool_calls=[
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a": 1, "a": 2}'},
                }
            ],
            refusal="no",
        ),
        assistant(
            "x",
            tool_calls=[
                {"id": "c1", "type": "custom", "custom": {"name": "grep", "input": "needle"}},
                "odd",
            ],
            reasoning_content="because",
        ),
        assistant(
            "x",
            function_call={"name": "old", "arguments": "{}"},
            refusal=5,
            tool_calls={"not": "a list"},
        ),
        assistant(
            [
                {
                    "type": "thinking",
                    "thinking": [
                        {"type": "text", "text": "because"},
                        {"type": "reference", "reference_ids": [7]},
                    ],
                    "signature": "S",
                },
                {"type": "reasoning", "summary": [], "encrypted_content": "E"},
            ]
        ),
        {"role": "tool", "tool_call_id": "c1", "content": "42", "name": "f"},
        {"role": ["odd"], "content": "nul \0 byte"},
    ],
)
def test_pieces_show_every_value_of_a_message(message):
    from conversations.record.threads import put_together, take_apart

    found = pieces(put_together(*take_apart(message)))
    shown = "".join(piece.text + piece.label for piece in found).replace("\\", "")

    def values(value):
        if isinstance(value, dict):
            return [inner for item in value.values() for inner in values(item)]
        return (
            [inner for item in value for inner in values(item)]
            if isinstance(value, list)
            else [value]
        )

    told = {"user", "assistant", "tool", "function", "text", "image_url", None}
    for value in values(message):
        if value not in told:
            assert str(value).replace("\0", "u0000") in shown.replace("\0", "u0000"), value
