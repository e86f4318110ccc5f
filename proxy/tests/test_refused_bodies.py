"""What is kept of a request that was refused: all where it is small, else what identifies it."""

from hashlib import sha256

import orjson
import pytest

from conversations.record.calls import REFUSED_KEPT
from conversations.record.rebuild import rebuild_request
from proxy.tests.gateway import ALICE, CHAT, IMAGES_ONLY, chat, encoded, marked

LONG = "x" * 100_000
PARTS = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n%s\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        pytest.param(CHAT, b"hello \xff\x00 world", ALICE, id="no JSON"),
        pytest.param(CHAT, b"[1]", ALICE, id="no object"),
        pytest.param(CHAT, b"{" * 100_000, ALICE, id="no JSON, and long"),
        pytest.param(CHAT, encoded({"messages": LONG}), ALICE, id="no model, and long"),
        pytest.param(CHAT, encoded(chat(LONG)), IMAGES_ONLY, id="no scope, and long"),
        pytest.param(CHAT, b'{"x": [%s0]}' % (b"[]," * 500_000), ALICE, id="many values"),
        pytest.param(CHAT, b" " * 21_000_000 + b"{}", ALICE, id="too large"),
        pytest.param("/v1/embeddings", encoded({"model": LONG}), ALICE, id="an embedding"),
        pytest.param("/v1/images/edits", PARTS % LONG.encode(), ALICE, id="parts"),
    ],
)
def test_what_cannot_be_kept_whole_is_described(gateway, recorded, path, body, key):
    parts = "multipart/form-data; boundary=b" if "edits" in path else "application/json"
    reply = gateway.call(path, body, key, Content_Type=parts)
    assert 400 <= reply.status < 500
    [snapshot] = recorded()
    assert snapshot.status == "refused"
    assert rebuild_request(snapshot) == {
        "$refused": {
            "length": len(body),
            "sha256": sha256(body).hexdigest(),
            "text": body[:REFUSED_KEPT].decode(errors="replace"),
        }
    }
    assert len(orjson.dumps(snapshot.params)) < 10 * REFUSED_KEPT


def test_a_small_one_is_kept_whole(gateway, recorded):
    body = {"messages": [{"role": "user", "content": marked()}], "x": 1}
    assert gateway.call(CHAT, body, ALICE).status == 400
    assert rebuild_request(recorded()[0]) == body
