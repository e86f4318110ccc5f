"""Whatever stream an upstream sends: one closed snapshot, and an answer that can be read."""

import json

import pytest

from proxy.tests.gateway import CANARY, marked
from proxy.tests.replies import cases, completion
from proxy.tests.wire import SSE, chunk, exactly, json_reply


def delta(text=None, index=0, reason=None, **more):
    choice = {
        "index": index,
        "delta": ({"content": text} if text is not None else {}) | more,
        "finish_reason": reason,
    }
    return event(
        {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [choice],
        }
    )


def event(value) -> bytes:
    return b"data: %s\n\n" % json.dumps(value).encode()


def stream(*pieces: bytes):
    """In chunks, one a write, properly ended."""
    return exactly(SSE, *map(chunk, pieces), b"0\r\n\r\n", pause=0.01)


def last_event(reply):
    return json.loads(
        reply.body.removesuffix(b"\n\n").rpartition(b"\n\n")[2].removeprefix(b"data: ")
    )


def json_of(said):
    choice = {"index": 0, "finish_reason": "stop"} | said
    return json_reply(json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode())


DONE = b"data: [DONE]\n\n"
WHOLE = [delta("Fi", role="assistant"), delta("ne."), delta(reason="stop"), DONE]


# Streams ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    cases(
        {
            "as usual": stream(*WHOLE),
            "in one piece": stream(b"".join(WHOLE)),
            "byte by byte": exactly(
                SSE, *(chunk(bytes([byte])) for byte in b"".join(WHOLE)), b"0\r\n\r\n"
            ),
            "chunks cut anywhere": exactly(
                SSE, *(bytes([byte]) for byte in b"".join(map(chunk, WHOLE)) + b"0\r\n\r\n")
            ),
            "with a comment": stream(b": working\n\n", *WHOLE),
            "with CRLF": stream(*(piece.replace(b"\n", b"\r\n") for piece in WHOLE)),
            "without a blank": stream(*(piece.replace(b"data: ", b"data:") for piece in WHOLE)),
            "named events": stream(*(b"event: message\nid: 4\n" + piece for piece in WHOLE)),
            "without [DONE]": stream(*WHOLE[:-1]),
            "without the last newline": stream(*WHOLE[:-1], b"data: [DONE]\n"),
            "without the last newlines": stream(*WHOLE[:-1], b"data: [DONE]"),
            "chunk extensions": exactly(
                SSE,
                *(b"%x;name=value\r\n%b\r\n" % (len(piece), piece) for piece in WHOLE),
                b"0\r\n\r\n",
            ),
            "trailers": exactly(SSE, *map(chunk, WHOLE), b"0\r\nX-Sum: 1\r\n\r\n"),
            "a length": exactly(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"
                % len(b"".join(WHOLE)),
                *WHOLE,
            ),
            "until it hangs up": exactly(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", *WHOLE
            ),
            "HTTP/1.0": exactly(
                b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", *WHOLE
            ),
            "JSON": json_reply(json.dumps(completion()).encode()),
            "JSON with a text": json_of({"text": "Fine."}),
            "JSON with a delta": json_of({"delta": {"content": "Fine."}}),
            "no role": stream(*(piece.replace(b'"assistant"', b"null") for piece in WHOLE)),
            "no index": stream(*(piece.replace(b'"index": 0, ', b"") for piece in WHOLE)),
            "null for an index": stream(
                *(piece.replace(b'"index": 0', b'"index": null') for piece in WHOLE)
            ),
            "mixed indices": stream(WHOLE[0].replace(b'"index": 0', b'"index": null'), *WHOLE[1:]),
            "an error of null": stream(
                *(piece.replace(b'"id"', b'"error": null, "id"') for piece in WHOLE)
            ),
        }
    ),
)
def test_spellings_of_a_good_stream(wired, wire, recorded, answer):
    wire.answer = answer
    reply = wired.ask(marked(), stream=True)
    assert reply.status == 200, reply.body
    blocks = [
        block for block in reply.body.replace(b"\r\n", b"\n").split(b"\n\n") if b"data:" in block
    ]
    assert blocks[-1].rpartition(b"data:")[2].strip() == b"[DONE]"
    assert sum(b"[DONE]" in block for block in blocks) == 1
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.finish_reason, snapshot.reply.text) == ("ok", "stop", "Fine.")
    assert snapshot.reply.role == "assistant"
    assert snapshot.estimated


@pytest.mark.parametrize(
    ("answer", "text", "code"),
    cases(
        {
            "cut between chunks": (
                exactly(SSE, *map(chunk, WHOLE[:2])),
                "Fine.",
                "upstream_truncated",
            ),
            "cut in an event": (
                exactly(SSE, chunk(WHOLE[0]), chunk(WHOLE[1][:20])),
                "Fi",
                "upstream_truncated",
            ),
            "cut in a chunk": (
                exactly(SSE, chunk(WHOLE[0]), chunk(WHOLE[1])[:20]),
                "Fi",
                "upstream_truncated",
            ),
            "ended without a reason": (stream(*WHOLE[:2]), "Fine.", "upstream_truncated"),
            "ended in an event": (stream(WHOLE[0], WHOLE[1][:20]), "Fi", "upstream_truncated"),
            "hung up in an event": (
                exactly(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
                    WHOLE[0],
                    WHOLE[1][:20],
                ),
                "Fi",
                "upstream_truncated",
            ),
            "less than its length": (
                exactly(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                    b"Content-Length: 5000\r\n\r\n",
                    *WHOLE[:2],
                ),
                "Fine.",
                "upstream_truncated",
            ),
            "an error event": (
                stream(*WHOLE[:2], event({"error": {"message": "over capacity"}})),
                "Fine.",
                "upstream_failed",
            ),
            "an error event and [DONE]": (
                stream(*WHOLE[:2], event({"error": {"message": "over capacity"}}), DONE),
                "Fine.",
                "upstream_failed",
            ),
            "silence": (
                exactly(SSE + b"".join(map(chunk, WHOLE[:2])), pause=4),
                "Fine.",
                "upstream_timeout",
            ),
            "an endless event": (
                exactly(SSE, chunk(WHOLE[0]), *[chunk(b"x" * (1 << 20))] * 66),
                "Fi",
                "upstream_bad_reply",
            ),
            "a chunk of negative size": (
                exactly(SSE, chunk(WHOLE[0]), b"-6\r\nabc\r\n", pause=0.05),
                "Fi",
                "upstream_truncated",
            ),
            "an endless chunk size": (
                exactly(SSE, chunk(WHOLE[0]), b"0" * 500, pause=0.05),
                "Fi",
                "upstream_truncated",
            ),
            "an event that is no JSON": (
                stream(WHOLE[0], b"data: {]\n\n", *WHOLE[1:]),
                "Fi",
                "upstream_bad_reply",
            ),
            "an event with half of a pair": (
                stream(WHOLE[0], delta("\ud800"), *WHOLE[1:]),
                "Fi",
                "upstream_bad_reply",
            ),
        }
    ),
)
def test_a_stream_that_breaks_ends_in_an_error_and_keeps_what_came(
    wired, wire, recorded, answer, text, code
):
    wire.answer = answer
    reply = wired.ask(marked(), stream=True)
    assert reply.status == 200
    assert b"[DONE]" not in reply.body
    assert last_event(reply)["error"]["message"]
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("failed", code)
    assert snapshot.reply.text == text
    assert snapshot.estimated


@pytest.mark.parametrize(
    ("answer", "code"),
    cases(
        {
            "nothing": (exactly(SSE), "upstream_truncated"),
            "the end": (exactly(SSE, b"0\r\n\r\n"), "upstream_truncated"),
            "only [DONE]": (stream(DONE), "upstream_bad_reply"),
            "a page": (json_reply(b"<html>", kind="text/html"), "upstream_bad_reply"),
            "choices of another kind": (
                stream(
                    event({"choices": {"a": 1}}),
                    event({"choices": [3]}),
                    event([]),
                    event(None),
                    DONE,
                ),
                "upstream_bad_reply",
            ),
            "an error first": (
                stream(event({"error": {"message": "over capacity"}})),
                "upstream_failed",
            ),
            "JSON with an error": (
                json_reply(b'{"error": {"message": "over capacity"}}'),
                "upstream_failed",
            ),
            "JSON without choices": (json_reply(b"{}"), "upstream_bad_reply"),
        }
    ),
)
def test_a_stream_of_nothing(wired, wire, recorded, answer, code):
    wire.answer = answer
    reply = wired.ask(marked(), stream=True)
    assert (reply.status, reply.error["code"]) == (502, code)
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code, snapshot.reply) == ("failed", code, None)


def test_what_an_upstream_says_of_its_failure_is_on_record(wired, wire, recorded):
    wire.answer = stream(*WHOLE[:2], event({"error": {"message": f"over capacity {CANARY}"}}))
    assert (
        wired.ask(marked(), stream=True).events[-1]["error"]["message"] == f"over capacity {CANARY}"
    )
    [snapshot] = recorded()
    assert snapshot.error == f"over capacity {CANARY}"


@pytest.mark.parametrize(
    "calls",
    [
        [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}],
        [
            {"id": "a", "function": {"name": "f", "arguments": "{}"}},
            {"index": None, "id": "b", "function": {"name": "g", "arguments": "{}"}},
        ],
        [
            {"index": 1, "id": "b", "function": {"name": "g"}},
            {"index": None, "function": {"name": "f", "arguments": None}},
        ],
        [
            {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":'}},
            {"index": 0, "function": {"arguments": "1}"}},
            {"function": None},
        ],
        [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "[" * 300 + "]" * 300}}],
    ],
)
def test_tool_calls_in_pieces(wired, wire, recorded, calls):
    wire.answer = stream(
        *(delta(tool_calls=[call]) for call in calls), delta(reason="tool_calls"), DONE
    )
    reply = wired.ask(marked(), stream=True)
    assert reply.events[-1] == "[DONE]", reply.body
    [snapshot] = recorded()
    assert snapshot.status == "ok"
    assert json.loads(snapshot.reply.raw)["tool_calls"]


def test_a_function_call_as_it_was_once(wired, wire, recorded):
    pieces = [{"name": "f", "arguments": ""}, {"arguments": '{"x":'}, {"arguments": " 1}"}]
    wire.answer = stream(
        *(delta(function_call=piece) for piece in pieces), delta(reason="function_call"), DONE
    )
    assert wired.ask(marked(), stream=True).events[-1] == "[DONE]"
    assert json.loads(recorded()[0].reply.raw)["function_call"] == {
        "name": "f",
        "arguments": '{"x": 1}',
    }


def test_a_body_that_an_upstream_does_not_take_times_out_like_any_silence(wired, wire, recorded):
    wire.deaf = True
    try:
        reply = wired.ask(marked(), {"role": "user", "content": "x" * 15_000_000})
    finally:
        wire.deaf = False
    assert (reply.status, reply.error["code"]) == (504, "upstream_timeout")
    [snapshot] = recorded()
    assert snapshot.status == "failed"
    assert (snapshot.closed - snapshot.opened).total_seconds() < 20
