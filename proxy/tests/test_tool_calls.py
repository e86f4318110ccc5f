"""Streamed tool calls are told apart, whatever of id, index and name is missing or reused."""

import pytest

from proxy.protocols import chat, events


def reply_to(chunks):
    reply = chat.Reply()
    for chunk in chunks:
        reply.feed(events.write(chunk))
    return reply


def call(arguments=None, name=None, custom=False, **more):
    tool = {"name": name, "input" if custom else "arguments": arguments}
    tool = {key: value for key, value in tool.items() if value is not None}
    return more | {"custom" if custom else "function": tool}


A, B = ("get_weather", '{"city":"Oslo"}'), ("get_time", '{"zone":"CET"}')


@pytest.mark.parametrize("more", [{}, {"index": 0}, {"index": 0, "id": ""}])
def test_an_event_names_each_call_once(more):
    pieces = [call("", name, **more) for name in ("now", "today", "today")]
    told = reply_to([{"choices": [{"index": 0, "delta": {"tool_calls": pieces}}]}]).whole()
    calls = told["choices"][0]["message"]["tool_calls"]
    assert [each["function"]["name"] for each in calls] == ["now", "today", "today"]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    {
        "as OpenAI": (
            [call("", A[0], index=0, id="a"), call('{"city":', index=0), call('"Oslo"}', index=0)],
            [("a", *A)],
        ),
        "by turns": (
            [
                call('{"city":', A[0], index=0, id="a"),
                call('{"zone":', B[0], index=1, id="b"),
                call('"Oslo"}', index=0),
                call('"CET"}', index=1),
            ],
            [("a", *A), ("b", *B)],
        ),
        "an id in each, no index": (
            [call('{"city":', A[0], id="a"), call('"Oslo"}', id="a"), call(B[1], B[0], id="b")],
            [("a", *A), ("b", *B)],
        ),
        "an id in the first, no index": (
            [call('{"city":', A[0], id="a"), call('"Oslo"}'), call(B[1], B[0], id="b")],
            [("a", *A), ("b", *B)],
        ),
        "an id that is empty later": (
            [call('{"city":', A[0], index=0, id="a"), call('"Oslo"}', "", index=0, id="")],
            [("a", *A)],
        ),
        "another id in each, one index": (
            [call('{"city":', A[0], index=0, id="a"), call('"Oslo"}', index=0, id="x")],
            [("a", *A)],
        ),
        "all counted as 0": (
            [call(A[1], A[0], index=0, id="a"), call(B[1], B[0], index=0, id="b")],
            [("a", *A), ("b", *B)],
        ),
        "all counted as 0, begun before any has arguments": (
            [
                call("", A[0], index=0, id="a"),
                call("", B[0], index=0, id="b"),
                call(A[1], index=0, id="a"),
                call(B[1], index=0, id="b"),
            ],
            [("a", *A), ("b", *B)],
        ),
        "all counted as 0, in pieces by turns": (
            [
                call('{"city":', A[0], index=0, id="a"),
                call('{"zone":', B[0], index=0, id="b"),
                call('"Oslo"}', index=0, id="a"),
                call('"CET"}', index=0, id="b"),
            ],
            [("a", *A), ("b", *B)],
        ),
        "all counted as 0, without ids": (
            [call(A[1], A[0], index=0), call(B[1], B[0], index=0)],
            [(None, *A), (None, *B)],
        ),
        "one id for all": (
            [call(A[1], A[0], index=0, id="x"), call(B[1], B[0], index=1, id="x")],
            [("x", *A), ("x", *B)],
        ),
        "one id for all, no index": (
            [call(A[1], A[0], id="x"), call(B[1], B[0], id="x")],
            [("x", *A), ("x", *B)],
        ),
        "neither id nor index": (
            [call('{"city":', A[0]), call('"Oslo"}'), call(B[1], B[0])],
            [(None, *A), (None, *B)],
        ),
        "the same twice, neither id nor index": (
            [call(A[1], A[0]), call(A[1], A[0])],
            [(None, *A), (None, *A)],
        ),
        "the name in pieces": (
            [call("", "get_", index=0, id="a"), call(A[1], "weather", index=0)],
            [("a", *A)],
        ),
        "the name in each": (
            [call('{"city":', A[0], index=0, id="a"), call('"Oslo"}', A[0], index=0, id="a")],
            [("a", *A)],
        ),
        "the name in each, no id": (
            [call('{"city":', A[0], index=0), call('"Oslo"}', A[0], index=0)],
            [(None, *A)],
        ),
        "no name": (
            [call('{"city":', index=0, id="a"), call('"Oslo"}', index=0)],
            [("a", "", A[1])],
        ),
        "the whole once more": (
            [call(A[1], A[0], index=0, id="a"), call(A[1], A[0], index=0, id="a")],
            [("a", *A)],
        ),
        "an index from the second on": (
            [call('{"city":', A[0], id="a"), call('"Oslo"}', index=0)],
            [("a", *A)],
        ),
        "an index that is null": (
            [call('{"city":', A[0], index=None, id="a"), call('"Oslo"}', index=None)],
            [("a", *A)],
        ),
        "one that was not begun first": (
            [call(B[1], B[0], index=1, id="b"), call(A[1], A[0], index=0, id="a")],
            [("a", *A), ("b", *B)],
        ),
        "counted in floats": (
            [
                call('{"city":', A[0], index=0.0, id="a"),
                call('{"zone":', B[0], index=1.0, id="b"),
                call('"Oslo"}', index=0.0),
                call('"CET"}', index=1.0),
            ],
            [("a", *A), ("b", *B)],
        ),
        "arguments as an object": (
            [call({"city": "Oslo"}, A[0], index=0, id="a"), call({"zone": "CET"}, B[0], index=1)],
            [("a", A[0], {"city": "Oslo"}), (None, B[0], {"zone": "CET"})],
        ),
    }.values(),
)
def test_calls_are_told_apart(pieces, expected):
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]} for piece in pieces]
    told = reply_to(chunks).whole()["choices"][0]["message"]["tool_calls"]
    assert [
        (each["id"], each["function"]["name"], each["function"]["arguments"]) for each in told
    ] == expected
    assert all(each["type"] == "function" and "index" not in each for each in told)
