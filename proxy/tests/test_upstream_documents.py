"""Whatever JSON an upstream sends: one closed snapshot, and an answer that can be read."""

import json

import pytest

from conversations.record import rebuild
from proxy.tests.gateway import ALICE, marked
from proxy.tests.replies import cases, completion
from proxy.tests.wire import chunk, exactly, json_reply, until_closed


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
                "unprocessable_entity",
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
                json_reply(b'{"choices": [{}], "x": ' + b"[" * 400 + b"]" * 400 + b"}"),
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
