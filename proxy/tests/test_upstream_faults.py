"""Whatever an upstream sends: one closed snapshot with the right status, and an answer that the caller can read."""

import json
import time

import pytest

from conversations.record import rebuild
from proxy.tests.gateway import ALICE, CANARY, marked
from proxy.tests.wire import SSE, chunk, exactly, json_reply, until_closed


def completion(text="Fine.", **more):
    message = {"role": "assistant", "content": text}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    } | more


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


DONE = b"data: [DONE]\n\n"
WHOLE = [delta("Fi", role="assistant"), delta("ne."), delta(reason="stop"), DONE]


def cases(named):
    return [
        pytest.param(*(values if isinstance(values, tuple) else (values,)), id=name)
        for name, values in named.items()
    ]


# One JSON document ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    cases(
        {
            "empty": (json_reply(b""), 502, "upstream_bad_reply"),
            "a page": (json_reply(b"<html>sign in", kind="text/html"), 502, "upstream_bad_reply"),
            "bytes": (json_reply(b"\xff\xfe\x00"), 502, "upstream_bad_reply"),
            "a list": (json_reply(b"[1, 2]"), 502, "upstream_bad_reply"),
            "null": (json_reply(b"null"), 502, "upstream_bad_reply"),
            "no choices": (json_reply(b'{"id": "x"}'), 502, "upstream_bad_reply"),
            "choices of another kind": (
                json_reply(b'{"choices": "none"}'),
                502,
                "upstream_bad_reply",
            ),
            "an error with 200": (
                json_reply(b'{"error": {"message": "over capacity"}}'),
                502,
                "upstream_failed",
            ),
            "an error that is text": (
                json_reply(b'{"error": "over capacity"}'),
                502,
                "upstream_failed",
            ),
            "nothing": (exactly(), 502, "upstream_unreachable"),
            "no HTTP": (exactly(b"220 mail.example ESMTP\r\n\r\n"), 502, "upstream_unreachable"),
            "half a head": (exactly(b"HTTP/1.1 200 OK\r\nContent-"), 502, None),
            "less than its length": (
                exactly(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b'{"choices": ['),
                502,
                "upstream_truncated",
            ),
            "chunks without their end": (
                exactly(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                    chunk(b'{"choices": ['),
                ),
                502,
                "upstream_truncated",
            ),
            "silence in the middle": (
                exactly(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", pause=5),
                504,
                "upstream_timeout",
            ),
            "204": (json_reply(b"", "204 No Content"), 502, "upstream_failed"),
            "a redirect": (
                json_reply(b"", "302 Found", headers=b"Location: http://127.0.0.1:9/\r\n"),
                502,
                "upstream_failed",
            ),
            "503 as a page": (
                json_reply(b"<html>", "503 Unavailable", "text/html"),
                502,
                "upstream_failed",
            ),
            "429 as a page": (
                json_reply(b"<html>", "429 Too Many", "text/html", b"Retry-After: 7\r\n"),
                429,
                None,
            ),
            "400 of another shape": (json_reply(b'{"detail": "no"}', "400 Bad"), 400, None),
            "422": (
                json_reply(b'{"error": {"message": "odd", "code": 42, "param": ["a"]}}', "422 Odd"),
                422,
                "42",
            ),
            "an error that is a list": (json_reply(b'{"error": [1]}', "400 Bad"), 400, None),
            "an error of objects": (
                json_reply(b'{"error": {"message": {"a": 1}, "code": {"b": 2}}}', "400 Bad"),
                400,
                "{'b': 2}",
            ),
            "401": (
                json_reply(b'{"error": {"message": "key sk-canary-secret-9f3a"}}', "401 No"),
                502,
                "upstream_credentials",
            ),
            "half of a pair": (
                json_reply(json.dumps(completion("\ud800")).encode()),
                502,
                "upstream_bad_reply",
            ),
            "NaN": (json_reply(b'{"choices": [], "x": NaN}'), 502, "upstream_bad_reply"),
            "very deep": (
                json_reply(b'{"choices": [], "x": ' + b"[" * 400 + b"]" * 400 + b"}"),
                502,
                "answer_not_kept",
            ),
        }
    ),
)
def test_senseless_replies(wired, wire, recorded, answer, status, code):
    wire.answer = answer
    reply = wired.ask(marked())
    assert (reply.status, reply.error["code"]) == (status, code) if code else reply.status == status
    [snapshot] = recorded()
    assert snapshot.id == reply.id
    assert (snapshot.status, snapshot.error) == ("failed", reply.error["message"])
    assert snapshot.reply is None
    assert reply.headers.get("retry-after") == ("7" if status == 429 else None)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        "many",
        {"prompt_tokens": "3"},
        {"prompt_tokens": -1},
        {"prompt_tokens": 2**31},
        {"prompt_tokens": 1.5, "completion_tokens": 2},
        {"prompt_tokens": 2**31 - 1, "completion_tokens": 2**31 - 1, "prompt_tokens_details": []},
        {"prompt_tokens": 5, "completion_tokens": None},
        {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 50}},
    ],
)
@pytest.mark.parametrize("model", ["m", "o1-pro"])
def test_odd_usage_is_no_reason_to_fail(wired, wire, recorded, usage, model):
    wire.answer = json_reply(json.dumps(completion(usage=usage)).encode())
    reply = wired.ask(marked(), model=model)
    assert reply.status == 200, reply.body
    [snapshot] = recorded()
    assert snapshot.status == "ok"
    assert snapshot.prompt_tokens is not None


@pytest.mark.parametrize(
    "message",
    [
        None,
        "text",
        [],
        {},
        {"role": None, "content": 5},
        {"content": "\0 and more"},
        {"content": [{"type": "text", "text": "part"}]},
        {"content": None, "tool_calls": "none"},
        {
            "content": None,
            "tool_calls": [None, 3, {"function": "f"}, {"function": {"arguments": {"a": 1}}}],
        },
        {
            "content": None,
            "tool_calls": [
                {
                    "id": "c",
                    "type": "function",
                    "function": {"name": "f", "arguments": "[" * 300 + "]" * 300},
                }
            ],
        },
        {
            "content": None,
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": '"\\ud800"'}}
            ],
        },
        {"content": "x", "$attachment": ["00", "y"]},
        {"content": "x", "$message": "y"},
        {"content": "data:image/png;base64," + "QUJD" * 1000},
    ],
)
def test_odd_messages_pass_and_are_kept(wired, wire, recorded, message):
    body = completion()
    body["choices"][0]["message"] = message
    wire.answer = json_reply(json.dumps(body).encode())
    reply = wired.ask(marked())
    assert reply.status == 200, reply.body
    [snapshot] = recorded()
    assert snapshot.status == "ok"
    rebuilt = rebuild.rebuild_response(snapshot)["choices"][0]["message"]
    assert (
        rebuilt == {"role": "assistant", "content": None} | message
        if isinstance(message, dict)
        else {"role": "assistant", "content": None}
    )


def test_keepalive_blanks_are_no_silence(wired, wire, recorded):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    wire.answer = exactly(
        head, *[chunk(b" ")] * 6, chunk(json.dumps(completion()).encode()), b"0\r\n\r\n", pause=0.4
    )
    assert wired.ask(marked()).text == "Fine."
    [snapshot] = recorded()
    assert snapshot.status == "ok"


def test_a_reply_without_end_is_given_up(wired, wire, recorded):
    def answer(sock, request):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(66):
            sock.sendall(b" " * (1 << 20))
        until_closed(sock)

    wire.answer = answer
    reply = wired.ask(marked())
    assert (reply.status, reply.error["code"]) == (502, "upstream_bad_reply")
    wire.answer = json_reply(json.dumps(completion()).encode())
    assert wired.ask(marked()).text == "Fine."  # on a connection in which nothing was left
    assert [snapshot.status for snapshot in recorded(2)] == ["failed", "ok"]


@pytest.mark.parametrize(
    "body",
    [
        {"data": "none"},
        {"data": [3]},
        {"data": [None]},
        {"data": [{"b64_json": "*"}]},
        {"data": [{"b64_json": "abcde"}]},
        {"data": [{"url": "http://[bad"}]},
        {"data": [{"url": "http://169.254.169.254/latest"}]},
        {"data": [{"url": "https://" + "a" * 300 + ".example/"}]},
        {"data": [{"url": 5}]},
        {},
        {"data": {"a": 1}},
        {"data": [{"url": "file:///etc/passwd"}]},
        {"data": [{"b64_json": "\x00"}]},
    ],
)
def test_odd_images(wired, wire, recorded, body):
    wire.answer = json_reply(json.dumps({"created": 1} | body).encode())
    reply = wired.call("/v1/images/generations", {"prompt": marked()}, ALICE)
    assert reply.status in (200, 502), reply.body
    [snapshot] = recorded()
    assert snapshot.status == ("ok" if reply.status == 200 else "failed")


@pytest.mark.parametrize(
    "body",
    [{"data": "none"}, {"data": [3]}, {"data": {"a": 1}}, {}, {"data": [{"embedding": None}]}],
)
def test_odd_embeddings(wired, wire, recorded, body):
    wire.answer = json_reply(json.dumps(body).encode())
    reply = wired.call("/v1/embeddings", {"model": "m", "input": marked()}, ALICE)
    assert reply.status in (200, 502), reply.body
    [snapshot] = recorded()
    assert snapshot.status == ("ok" if reply.status == 200 else "failed")


# Streams --------------------------------------------------------------------------------------------------------


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
    assert snapshot.estimated


@pytest.mark.parametrize("end", [b"", b"0\r\n\r\n"], ids=["chunks go on", "length unknown"])
def test_an_upstream_that_lingers_after_done_holds_nobody_up(wired, wire, recorded, end):
    def answer(sock, request):
        sock.sendall(
            SSE + b"".join(map(chunk, WHOLE))
            if not end
            else b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"".join(WHOLE)
        )
        until_closed(sock)

    wire.answer = answer
    began = time.monotonic()
    assert wired.ask(marked(), stream=True).events[-1] == "[DONE]"
    assert time.monotonic() - began < 1
    [snapshot] = recorded()
    assert snapshot.status == "ok"


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
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 5000\r\n\r\n",
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
                exactly(SSE, chunk(WHOLE[0]), *[chunk(b"x" * 65536)] * 20),
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
                "Fine.",
                "upstream_bad_reply",
            ),
            "an event with half of a pair": (
                stream(WHOLE[0], delta("\ud800"), *WHOLE[1:]),
                "Fine.",
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
    assert (snapshot.closed - snapshot.opened).total_seconds() < 4
