"""Good requests to /v1 in all their spellings, and framing that is refused."""

import http.client
import json
import socket
from contextlib import closing

import pytest

from proxy.tests.gateway import (
    ALICE,
    CANARY,
    CHAT,
    SECRET,
    Reply,
    chat,
    marked,
    said,
    the,
)
from proxy.tests.wire import ANSWER, json_reply


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/json; charset=utf-8",
        "multipart/form-data; boundary=b",
        "",
    ],
)
def test_the_content_type_does_not_matter(gateway, kind):
    assert gateway.call(CHAT, chat(marked()), ALICE, Content_Type=kind).status == 200


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/png", "*/*"])
def test_what_the_caller_would_rather_have_does_not_matter(gateway, accept):
    assert gateway.call(CHAT, chat(marked()), ALICE, Accept=accept).text
    assert gateway.call(CHAT, b"{", ALICE, Accept=accept).error


def test_a_chunked_body(gateway, recorded):
    body, connection = (
        json.dumps(chat(marked())).encode(),
        http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60),
    )
    with closing(connection):
        connection.request(
            "POST",
            CHAT,
            iter([body[:10], body[10:50], body[50:]]),
            {"Authorization": f"Bearer {ALICE}"},
            encode_chunked=True,
        )
        assert Reply(connection.getresponse()).text
    assert recorded()[0].status == "ok"


@pytest.mark.parametrize("pieces", [22, 200])
def test_a_chunked_body_that_is_too_large(gateway, recorded, pieces):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    with closing(connection):
        try:
            connection.request(
                "POST",
                CHAT,
                iter([b" " * (1 << 20)] * pieces),
                {"Authorization": f"Bearer {ALICE}"},
                encode_chunked=True,
            )
        except (BrokenPipeError, ConnectionResetError):
            assert pieces == 200  # nobody reads so much more
        else:
            assert Reply(connection.getresponse()).error["code"] == "request_too_large"
    assert recorded()[0].status == "refused"


def test_a_body_that_is_larger_than_anybody_reads_is_refused_before_it_comes(gateway, recorded):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as client:
        client.sendall(
            (
                f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALICE}\r\n"
                "Content-Length: 999999999999\r\n\r\n"
            ).encode()
        )
        assert client.recv(100).startswith(b"HTTP/1.1 413")
    assert recorded()[0].error_code == "request_too_large"


@pytest.mark.parametrize("head", ["Content-Length: 500", "Transfer-Encoding: chunked"])
def test_a_caller_that_breaks_off_its_request(gateway, recorded, head):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as client:
        client.sendall(
            (
                f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALICE}\r\n"
                f'{head}\r\n\r\n9\r\n{{"model":'
            ).encode()
        )
    assert recorded()[0].status == "refused"


@pytest.mark.parametrize(
    "framing",
    [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: -1",
        "Content-Length: 1e3",
    ],
)
def test_framing_that_two_servers_could_read_differently_is_refused(gateway, recorded, framing):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as client:
        client.sendall(
            (
                f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALICE}\r\n"
                f"{framing}\r\n\r\n0\r\n\r\n"
            ).encode()
        )
        reply = b"".join(iter(lambda: client.recv(65536), b""))
    assert reply[9:12] in (b"400", b"501", b"413", b"415")
    assert b"<html" not in reply.lower()


USED = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.mark.parametrize("stream", [False, None])
def test_stream_false_is_no_stream(gateway, recorded, demo_upstream, stream):
    body = chat(marked(), stream=stream)
    assert gateway.call(CHAT, body, ALICE).text
    assert demo_upstream.seen[-1]["body"] == body


FALSE, TRUE = (False, "false", "False", 0, "0", "", None), (True, "true", "TRUE", 1, "1")
SWITCHES = [(value, False) for value in FALSE] + [(value, True) for value in TRUE]


@pytest.mark.parametrize(("value", "meant"), SWITCHES, ids=repr)
def test_a_switch_is_what_it_means(wired, wire, recorded, value, meant):
    """Some clients write booleans as texts or numbers: the upstream is sent the boolean."""
    wire.answer = json_reply(json.dumps(ANSWER | {"usage": USED}).encode())
    reply = wired.call(CHAT, chat(marked(), stream=value), ALICE)
    assert (reply.status, reply.headers["content-type"]) == (
        200,
        "text/event-stream" if meant else "application/json",
    )
    assert json.loads(wire.seen[-1].body)["stream"] is (None if value is None else meant)
    options = {"include_usage": value}
    reply = wired.call(CHAT, chat(marked(), stream=True, stream_options=options), ALICE)
    assert (b'"usage"' in reply.body) is meant
    assert json.loads(wire.seen[-1].body)["stream_options"] == {"include_usage": True}
    assert [snapshot.status for snapshot in recorded(2)] == ["ok", "ok"]


@pytest.mark.parametrize(
    "value", ["yes", "no", " ", 2, -1, 1.5, [], {}, [True], {"a": 1}], ids=repr
)
def test_what_is_no_switch_is_refused(gateway, recorded, demo_upstream, value):
    before = len(demo_upstream.seen)
    options = {"stream": True, "stream_options": {"include_usage": value}}
    for params, name in (
        ({"stream": value}, "stream"),
        (options, "stream_options.include_usage"),
    ):
        reply = gateway.call(CHAT, chat(marked(), **params), ALICE)
        assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
        assert reply.error["param"] == name
    assert len(demo_upstream.seen) == before
    assert [snapshot.status for snapshot in recorded(2)] == ["refused", "refused"]


def test_a_key_twice_cannot_smuggle(gateway, demo_upstream):
    body = (
        b'{"model": "gpt-4", "model": "gpt-4o-mini", '
        b'"messages": [{"role": "user", "content": "hi"}]}'
    )
    assert gateway.call(CHAT, body, ALICE).status == 200
    assert demo_upstream.seen[-1]["raw"].count(b'"model"') == 1
    assert demo_upstream.seen[-1]["body"]["model"] == "gpt-4o-mini"


def test_what_is_the_callers_own_does_not_travel(gateway, demo_upstream):
    hop = {
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "1",
        "Proxy-Authorization": SECRET,
        "X-Forwarded-For": "10.1.2.3",
        "X-Conversation-Id": "",
        "api-key": ALICE,
    }
    assert (
        gateway.ask(
            marked(), headers=hop | {"X-Anything": SECRET, "OpenAI-Organization": SECRET}
        ).status
        == 200
    )
    headers = demo_upstream.seen[-1]["headers"]
    assert set(headers) <= {
        "host",
        "accept-encoding",
        "user-agent",
        "content-type",
        "authorization",
        "content-length",
    }
    assert headers["authorization"] == f"Bearer sk-{SECRET}"
    assert ALICE not in str(headers)


OWN = [
    "User-Agent",
    "Cookie",
    "Referer",
    "Origin",
    "From",
    "Via",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Real-IP",
    "X-Request-Id",
    "X-Session-Id",
    "Accept-Language",
    "Accept",
    "Idempotency-Key",
    "OpenAI-Organization",
    "OpenAI-Project",
    "OpenAI-Beta",
    "X-Stainless-Lang",
    "Traceparent",
    "X-Anything",
]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, chat("hi")),
        (CHAT, chat("hi", stream=True)),
        ("/v1/embeddings", {"model": "m", "input": "a"}),
        ("/v1/images/generations", {"prompt": "a"}),
        ("/v1/models", None),
    ],
    ids=["chat", "stream", "embeddings", "images", "models"],
)
def test_no_value_of_a_callers_headers_leaves_by_whatever_name(wired, wire, path, body):
    """Looked for in all that the upstream is sent: heads, bodies and addresses."""
    wire.answer = json_reply(json.dumps(ANSWER | {"data": [{"id": "m"}]}).encode())
    planted = {name: f"{CANARY} {number:02}x" for number, name in enumerate(OWN)}
    before = len(wire.seen)
    reply = wired.call(path, body, ALICE, **planted)
    assert reply.status == 200
    sent = wire.seen[before:]
    assert sent or path == "/v1/models"  # a list that is kept is not asked for again
    for request in sent:
        assert request.headers["user-agent"] == "llm-gateway"
        whole = repr(request)
        assert [name for name, value in planted.items() if value in whole] == []
        assert ALICE not in whole
        assert ALICE.removeprefix("gw-") not in whole


@pytest.mark.parametrize("choices", [1, 3])
@pytest.mark.parametrize("stream", [False, True])
def test_several_answers(gateway, choices, stream):
    reply = gateway.ask(marked(), n=choices, stream=stream)
    snapshot = the(reply)
    assert snapshot.status == "ok"
    assert snapshot.messages.filter(role="assistant").count() == choices
    assert snapshot.reply.text == (said(reply.events) if stream else reply.text)


def test_many_calls_over_one_connection(gateway, recorded):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    with closing(connection):
        for n in range(6):
            connection.request(
                "POST", CHAT, json.dumps(chat(marked(), stream=bool(n % 2))), {"x-api-key": ALICE}
            )
            assert Reply(connection.getresponse()).status == 200
            connection.request("POST", CHAT, b"{", {"x-api-key": ALICE})
            assert Reply(connection.getresponse()).status == 400
    assert sorted(snapshot.status for snapshot in recorded(12)) == ["ok"] * 6 + ["refused"] * 6


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        (CHAT, True),
        ("/chat/completions", True),
        ("//v1//chat/completions/", True),
        ("/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", True),
        ("/openai/v1/chat/completions", True),
        ("/api/v1/chat/completions", True),
        ("/api/chat", True),
        ("/v1/nonesuch", True),
        ("/messages", True),
        ("/api/%63hat", True),
        ("/sign-in/", False),  # a page: its answer may go on behind a redirect
        ("/chat/", False),
    ],
)
def test_a_connection_is_kept_after_a_post_by_any_base_url(gateway, path, kept):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    with closing(connection):
        connection.request("POST", path, json.dumps(chat(marked())), {"x-api-key": ALICE})
        reply = Reply(connection.getresponse())
        assert (reply.headers.get("connection") != "close") == kept
        if kept:
            assert connection.sock is not None
