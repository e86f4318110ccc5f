"""What a program may send to /v1.

Every bad request gets the one error shape, and one refused snapshot where the caller is known.
"""

import http.client
import json
import socket
from contextlib import closing

import pytest
from django.contrib.auth import get_user_model

from conversations.models import Snapshot
from conversations.record.rebuild import rebuild_request
from proxy.models import ApiKey
from proxy.tests.gateway import (
    ALICE,
    BOB,
    CANARY,
    CHAT,
    IMAGES_ONLY,
    NOTHING,
    SECRET,
    Reply,
    chat,
    eventually,
    marked,
    said,
    the,
)
from proxy.tests.wire import json_reply

JSON = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "%s"}], "x": %s}'
FILE = (
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n\x89PNG\r\n\r\n"
)
PROMPT = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nMore sky\r\n'


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


# Bodies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        pytest.param(b"", 400, "not JSON", id="empty"),
        pytest.param(b"\xff\xfe\x00", 400, "not JSON", id="bytes"),
        pytest.param(b"hello", 400, "not JSON", id="no JSON"),
        pytest.param(b'{"model": "gpt-4o", "messages": [', 400, "not JSON", id="half of it"),
        pytest.param(b'"text"', 400, "must be a JSON object", id="text"),
        pytest.param(b"[1]", 400, "must be a JSON object", id="a list"),
        pytest.param(JSON % (b"hello", b"NaN"), 400, "not JSON", id="NaN"),
        pytest.param(JSON % (b"hello", b"-Infinity"), 400, "not JSON", id="Infinity"),
        pytest.param(JSON % (b"hello", b"1e999"), 400, "not JSON", id="an infinite number"),
        pytest.param(JSON % (b"\\ud800", b"1"), 400, "not JSON", id="half of a pair"),
        pytest.param(JSON % (b"\xed\xa0\x80", b"1"), 400, "not JSON", id="half of a pair in UTF-8"),
        pytest.param(JSON % (b"hello \xff", b"1"), 400, "not JSON", id="no UTF-8"),
        pytest.param(JSON % (b"hello", deep(100)), 400, "64 levels", id="100 levels"),
        pytest.param(JSON % (b"hello", deep(100_000)), 400, "JSON", id="100,000 levels"),
        pytest.param(
            b'{"messages": [{"role": "user", "content": "hello"}]}',
            400,
            "`model` is missing",
            id="no model",
        ),
        pytest.param(
            b'{"model": 5, "messages": [{"role": "user", "content": "hello"}]}',
            400,
            "`model` is missing",
            id="a model that is a number",
        ),
        pytest.param(chat("hello", model="x" * 201), 400, "`model`", id="a long model"),
        pytest.param(chat("hello", model="a\nb"), 400, "`model`", id="a model of two lines"),
        pytest.param(b'{"model": "gpt-4o"}', 400, "`messages` must be a list", id="no messages"),
        pytest.param(chat(), 400, "at least one message", id="empty messages"),
        pytest.param(
            {"model": "gpt-4o", "messages": "hello"},
            400,
            "`messages` must be a list",
            id="messages that are text",
        ),
        pytest.param(chat({"content": "hello"}), 400, "with a `role`", id="no role"),
        pytest.param(
            {"model": "gpt-4o", "messages": ["hello"]},
            400,
            "with a `role`",
            id="a message that is text",
        ),
        pytest.param(chat(*["hello"] * 4001), 400, "More than 4,000 messages", id="4,001 messages"),
        pytest.param(
            chat("hello", stream=True, stream_options=[1]),
            400,
            "must be an object",
            id="stream options that are a list",
        ),
        pytest.param(b'{"x": "' + b"a" * 21_000_000 + b'"}', 413, "larger than 20 MB", id="21 MB"),
    ],
)
def test_bad_bodies_are_refused_once(gateway, recorded, demo_upstream, body, status, words):
    before = len(demo_upstream.seen)
    reply = gateway.call(CHAT, body, ALICE)
    assert reply.status == status
    assert words in reply.error["message"]
    [snapshot] = recorded()
    assert snapshot.id == reply.id
    assert (snapshot.status, snapshot.conversation, snapshot.error) == (
        "refused",
        None,
        reply.error["message"],
    )
    assert (snapshot.error_code, snapshot.kind, snapshot.key) == (
        reply.error["code"],
        "chat",
        ALICE[:11],
    )
    assert len(demo_upstream.seen) == before


def test_a_refused_request_is_kept_with_all_that_was_asked(gateway, recorded):
    body = chat(marked(), {"content": "no role"}, temperature=0.3)
    assert gateway.call(CHAT, body, ALICE).status == 400
    [snapshot] = recorded()
    assert rebuild_request(snapshot) == body
    assert snapshot.model == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("images/generations", {"model": "dall-e-2"}, "`prompt` is missing"),
        ("images/generations", {"prompt": ["a"]}, "`prompt` is missing"),
        ("images/generations", {"prompt": "A tree", "stream": True}, "not streamed here"),
        ("images/generations", b"{", "not JSON"),
        ("embeddings", {"model": "text-embedding-3-small"}, "`input` is missing"),
        ("embeddings", {"input": "a"}, "`model` is missing"),
    ],
)
def test_bad_bodies_of_other_kinds(gateway, recorded, path, body, words):
    reply = gateway.call(f"/v1/{path}", body, ALICE)
    assert reply.status == 400
    assert words in reply.error["message"]
    assert recorded()[0].status == "refused"


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        pytest.param("application/json", b'{"prompt": "a"}', 415, id="JSON"),
        pytest.param("multipart/form-data", FILE + PROMPT + b"--b--\r\n", 400, id="no boundary"),
        pytest.param(
            "multipart/form-data; boundary=",
            FILE + PROMPT + b"--b--\r\n",
            400,
            id="an empty boundary",
        ),
        pytest.param("multipart/form-data; boundary=b", b"garbage", 400, id="garbage"),
        pytest.param("multipart/form-data; boundary=b", FILE + b"--b--\r\n", 400, id="no prompt"),
        pytest.param("multipart/form-data; boundary=b", PROMPT + b"--b--\r\n", 400, id="no file"),
        pytest.param(
            "multipart/form-data; boundary=b", PROMPT * 2000 + b"--b--\r\n", 400, id="2,000 fields"
        ),
        pytest.param(
            "multipart/form-data; boundary=b",
            FILE * 200 + PROMPT + b"--b--\r\n",
            400,
            id="200 files",
        ),
        pytest.param(
            "multipart/form-data; boundary=b",
            FILE.replace(b"image/png", b"image/png\r\nContent-Transfer-Encoding: base64")
            + b"--b--\r\n",
            400,
            id="no base64",
        ),
    ],
)
def test_bad_image_edits(gateway, recorded, kind, body, status):
    reply = gateway.call("/v1/images/edits", body, ALICE, Content_Type=kind)
    assert reply.status == status, reply.body
    assert reply.error
    assert recorded()[0].status == "refused"


@pytest.mark.parametrize(
    "name", ["x.png", 'a"b\r\nX-Evil: 1.png', "../../etc/passwd", "ü.png", "..", ""]
)
def test_file_names_cannot_add_headers_or_paths(gateway, recorded, demo_upstream, name):
    named = FILE.replace(b"a.png", name.replace("\r\n", "%0D%0A").replace('"', "%22").encode())
    reply = gateway.call(
        "/v1/images/edits",
        named + PROMPT + b"--b--\r\n",
        ALICE,
        Content_Type="multipart/form-data; boundary=b",
    )
    [snapshot] = recorded()
    if name in ("", ".."):  # a file without a name is no file
        assert (reply.status, snapshot.status) == (400, "refused")
        return
    assert reply.status == 200, reply.body
    sent = next(
        request for request in reversed(demo_upstream.seen) if request["path"] == "/v1/images/edits"
    )["body"]["image"]
    assert sent["filename"] == rebuild_request(snapshot)["image"][0]["filename"]
    assert "/" not in sent["filename"]


def test_what_is_compressed_is_refused(gateway, recorded):
    reply = gateway.call(CHAT, b"\x1f\x8b\x08", ALICE, Content_Encoding="gzip")
    assert (reply.status, reply.error["code"]) == (415, "unsupported_encoding")
    assert recorded()[0].status == "refused"


# Spellings that are good --------------------------------------------------------------------------


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
        http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30),
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
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
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
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
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
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
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
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
        client.sendall(
            (
                f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALICE}\r\n"
                f"{framing}\r\n\r\n0\r\n\r\n"
            ).encode()
        )
        reply = b"".join(iter(lambda: client.recv(65536), b""))
    assert reply[9:12] in (b"400", b"501", b"413", b"415")
    assert b"<html" not in reply.lower()


@pytest.mark.parametrize("stream", [False, None])
def test_stream_false_is_no_stream(gateway, recorded, demo_upstream, stream):
    body = chat(marked(), stream=stream)
    assert gateway.call(CHAT, body, ALICE).text
    assert demo_upstream.seen[-1]["body"] == body


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


@pytest.mark.parametrize("choices", [1, 3])
@pytest.mark.parametrize("stream", [False, True])
def test_several_answers(gateway, choices, stream):
    reply = gateway.ask(marked(), n=choices, stream=stream)
    snapshot = the(reply)
    assert snapshot.status == "ok"
    assert snapshot.messages.filter(role="assistant").count() == choices
    assert snapshot.reply.text == (said(reply.events) if stream else reply.text)


def test_many_calls_over_one_connection(gateway, recorded):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    with closing(connection):
        for n in range(6):
            connection.request(
                "POST", CHAT, json.dumps(chat(marked(), stream=bool(n % 2))), {"x-api-key": ALICE}
            )
            assert Reply(connection.getresponse()).status == 200
            connection.request("POST", CHAT, b"{", {"x-api-key": ALICE})
            assert Reply(connection.getresponse()).status == 400
    assert sorted(snapshot.status for snapshot in recorded(12)) == ["ok"] * 6 + ["refused"] * 6


# Paths, methods and keys --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/",
        "/v1/responses",
        "/v1/messages",
        "/v1/chat/completions/",
        "/v1/models/a/../b",
        "/v1/%00",
        "/v1/%ff%fe",
        "/v1/engines/x/embeddings",
    ],
)
def test_paths_that_are_not_there(gateway, recorded, method, path):
    reply = gateway.call(path, b"{}" if method != "GET" else None, ALICE, method=method)
    assert reply.status in (404, 405)
    assert reply.error
    recorded(0)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, f"/v1/{path}")
        for path in ("chat/completions", "images/generations", "images/edits", "embeddings")
        for method in ("GET", "PUT", "DELETE", "OPTIONS")
    ]
    + [("POST", "/v1/models"), ("DELETE", "/v1/models/gpt-4o")],
)
def test_methods_that_are_not_there(gateway, recorded, method, path):
    reply = gateway.call(path, b"{}", ALICE, method=method)
    assert (reply.status, reply.error["code"]) == (405, "method_not_allowed")
    assert reply.headers["allow"] == ("GET" if "models" in path else "POST")
    recorded(0)


def test_head_has_no_body(gateway):
    reply = gateway.call(CHAT, None, ALICE, method="HEAD")
    assert (reply.status, reply.body) == (405, b"")


@pytest.mark.parametrize(
    "path",
    [
        "chat/completions",
        "images/generations",
        "images/edits",
        "embeddings",
        "models",
        "models/gpt-4o",
        "nowhere",
        "",
    ],
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer gw-nobody"},
        {"Authorization": f"Basic {ALICE}"},
        {"api-key": "x"},
        {"Authorization": "Bearer \xff"},
        {"Authorization": "Bearer gw-wrong", "x-api-key": ALICE},
    ],
)
def test_without_a_good_key_there_is_nothing(gateway, recorded, demo_upstream, path, headers):
    before, get = len(demo_upstream.seen), path.startswith("models") or not path
    reply = gateway.call(f"/v1/{path}", None if get else chat("hello"), **headers)
    assert (reply.status, reply.error["code"], reply.error["type"]) == (
        401,
        "invalid_api_key",
        "authentication_error",
    )
    assert reply.headers["www-authenticate"] == "Bearer"
    recorded(0)
    assert len(demo_upstream.seen) == before


@pytest.mark.parametrize("header", ["Authorization", "api-key", "x-api-key"])
def test_a_key_in_any_of_three_headers(gateway, header):
    value = f"Bearer {ALICE}" if header == "Authorization" else ALICE
    assert gateway.call(CHAT, chat(marked()), **{header: value}).status == 200


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (IMAGES_ONLY, "chat/completions"),
        (IMAGES_ONLY, "embeddings"),
        (NOTHING, "images/generations"),
        (NOTHING, "chat/completions"),
    ],
)
def test_a_key_opens_only_what_it_is_for(gateway, recorded, demo_upstream, key, path):
    before = len(demo_upstream.seen)
    body = chat(marked()) | {"prompt": marked(), "input": marked()}
    reply = gateway.call(f"/v1/{path}", body, key)
    assert (reply.status, reply.error["type"], reply.error["code"]) == (
        403,
        "permission_error",
        "scope_missing",
    )
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code, snapshot.id) == (
        "refused",
        "scope_missing",
        reply.id,
    )
    assert rebuild_request(snapshot) == body
    assert len(demo_upstream.seen) == before


def test_a_revoked_key_and_a_leavers_are_refused_within_seconds(gateway):
    leaver, stays = (get_user_model().objects.create_user(name) for name in ("leaver", "stays"))
    _, leavers = ApiKey.make(leaver, "one")
    revoked, secret = ApiKey.make(stays, "one")
    _, another = ApiKey.make(stays, "two")
    assert [gateway.ask("hi", key=key).status for key in (leavers, secret, another)] == [
        200,
        200,
        200,
    ]
    get_user_model().objects.filter(pk=leaver.pk).update(is_active=False)
    revoked.revoke()
    eventually(
        lambda: (
            gateway.ask("hi", key=leavers).status == gateway.ask("hi", key=secret).status == 401
        ),
        within=7,
    )
    assert gateway.ask("hi", key=another).status == 200


@pytest.mark.parametrize(
    "header",
    [
        {"X-Long": "a" * 9000},
        {f"X-{n}": "a" for n in range(200)},
        {"X_Under": "a"},
        {"X-Nul": "a\0b"},
    ],
)
def test_headers_that_the_server_refuses_are_refused_in_the_same_shape(gateway, recorded, header):
    lines = "".join(f"{name}: {value}\r\n" for name, value in header.items())
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
        body = json.dumps(chat("hello"))
        client.sendall(
            (
                f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nx-api-key: {BOB}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n{lines}\r\n{body}"
            ).encode()
        )
        reply = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = reply.partition(b"\r\n\r\n")
    assert b"<html" not in reply.lower(), reply
    if not head.startswith(b"HTTP/1.1 200"):
        assert json.loads(body)["error"]["message"]


def test_a_body_longer_than_it_says_is_in_no_log(gateway):
    """What follows would be the next request's first line.

    The log of each gateway is searched when it has ended.
    """
    body = json.dumps(chat(marked())).encode()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
        rest = f"\r\nGET /?{CANARY} {CANARY}\r\n\r\n".encode()
        client.sendall(
            (
                f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nx-api-key: {BOB}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            ).encode()
            + body
            + rest
        )
        reply = b"".join(iter(lambda: client.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 200 OK")
    assert b"HTTP/1.1 400 Bad Request" in reply


# Models -------------------------------------------------------------------------------------------


def test_models_are_listed_and_found_by_encoded_names(started, wire):
    models = [
        {"id": name, "object": "model", "created": 1, "owned_by": "org"}
        for name in ("plain", "org/name:tag", "a b", "ü")
    ]
    wire.answer = json_reply(
        json.dumps({"object": "list", "data": [*models, {"no": "id"}, 5]}).encode()
    )
    gateway = started(LLM_ENDPOINT=f"{wire.url}{CHAT}")
    assert gateway.call("/v1/models", key=ALICE).json() == {"object": "list", "data": models}
    for path in ("plain", "org%2Fname:tag", "org/name%3Atag", "org/name:tag", "a%20b", "%C3%BC"):
        reply = gateway.call(f"/v1/models/{path}", key=BOB)
        assert reply.status == 200, path
        assert reply.json() in models
    for path in ("nothing", "org%252Fname:tag", "..%2Fplain"):
        reply = gateway.call(f"/v1/models/{path}", key=ALICE)
        assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert wire.seen[-1].line.startswith("GET /v1/models ")
    assert not Snapshot.objects.filter(status="pending").exists()
