"""Paths, methods, keys and models of /v1."""

import json
import socket
from urllib.parse import unquote

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
    chat,
    eventually,
    marked,
)
from proxy.tests.wire import json_reply


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/",
        "/v1/responses",
        "/v1/moderations",
        "/v1/chat/completions/x",
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
    )
    assert gateway.ask("hi", key=another).status == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({"X-Long": "a" * 9000}, 431),
        ({f"X-{n}": "a" for n in range(200)}, 431),
        ({"X_Under": "a"}, 200),
        ({"X-Nul": "a\0b"}, 400),
    ],
)
def test_headers_that_the_server_refuses_are_refused_in_the_same_shape(
    gateway, recorded, header, status
):
    lines = "".join(f"{name}: {value}\r\n" for name, value in header.items())
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as client:
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
    assert int(head.split()[1]) == status
    if status == 200:  # such a header is dropped, and the call passes
        assert json.loads(body)["choices"]
        assert recorded()[0].status == "ok"
    else:
        assert json.loads(body)["error"]["message"]
        assert recorded(0) == []


def test_a_body_longer_than_it_says_is_in_no_log(gateway):
    """What follows would be the next request's first line.

    The log of each gateway is searched when it has ended.
    """
    body = json.dumps(chat(marked())).encode()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as client:
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
    for path in ("unlisted", "org%252Fname:tag"):  # some that work are on no list
        reply = gateway.call(f"/v1/models/{path}", key=ALICE)
        assert (reply.status, reply.json()["id"]) == (200, unquote(path))
    assert wire.seen[-1].line.startswith("GET /v1/models ")
    assert not Snapshot.objects.filter(status="pending").exists()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models", None),
        ("/v1/models/none", None),
        (CHAT, chat("hello")),
        (CHAT, chat("hello", stream=True)),
        (CHAT, {}),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "a"}),
        ("/api/history", None),
        ("/api/conversations", None),
        ("/api/usage", None),
        ("/api/none", None),
    ],
)
@pytest.mark.parametrize("key", [ALICE, ""])
def test_no_reply_is_kept_by_a_cache(gateway, path, body, key):
    reply = gateway.call(path, body, key)
    assert "no-store" in reply.headers["cache-control"]
