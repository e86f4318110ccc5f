"""Bad bodies at /v1: the one error shape, and one refused snapshot."""

import json

import pytest

from conversations.record.rebuild import rebuild_request
from proxy.tests.gateway import (
    ALICE,
    CHAT,
    chat,
    marked,
)

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
        pytest.param(JSON % (b"hello", b"1" * 1001), 400, "not JSON", id="1,001 digits"),
        pytest.param(JSON % (b"hello", b"1e999, NaN"), 400, "not JSON", id="NaN behind 1e999"),
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


BOM = b"\xef\xbb\xbf"
BODIES = {
    CHAT: chat("hello ü"),
    "/v1/images/generations": {"prompt": "A tree ü", "model": "dall-e-2"},
    "/v1/embeddings": {"input": "a ü", "model": "text-embedding-3-small"},
}


@pytest.mark.parametrize(("path", "body"), BODIES.items())
def test_a_bom_ahead_of_json_is_no_part_of_it(gateway, recorded, path, body):
    reply = gateway.call(path, BOM + json.dumps(body, ensure_ascii=False).encode(), ALICE)
    assert reply.status == 200, reply.body
    assert rebuild_request(recorded()[0]) == body


ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("path", [*BODIES, "/api/chat"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_another_encoding_than_utf_8_is_named(gateway, recorded, path, encoding):
    body = json.dumps(BODIES.get(path, BODIES[CHAT])).encode(encoding)
    reply = gateway.call(path, body, ALICE)
    assert reply.status == 400
    error = reply.json()["error"]
    assert (encoding[:6].upper() in error["message"], error["code"]) == (True, "invalid_json")
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("refused", "invalid_json")


@pytest.mark.parametrize("ahead", [BOM + BOM, b"\xfe\xff", b"\xff\xfe", b"\0", b" " + BOM])
def test_other_bytes_ahead_of_json_are_refused(gateway, recorded, ahead):
    reply = gateway.call(CHAT, ahead + json.dumps(BODIES[CHAT]).encode(), ALICE)
    assert (reply.status, reply.error["code"]) == (400, "invalid_json")
    assert recorded()[0].status == "refused"


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("images/generations", {"model": "dall-e-2"}, "`prompt` is missing"),
        ("images/generations", {"prompt": ["a"]}, "`prompt` is missing"),
        ("images/generations", {"prompt": "A tree", "stream": "so"}, "must be true or false"),
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
