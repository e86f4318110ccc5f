"""A connection to an upstream serves another call only after one whole reply.

Nothing may stand behind that reply.
"""

import gzip
import json

import pytest

from proxy.tests.gateway import BOB, eventually, marked, said
from proxy.tests.wire import chunk, document, stream

WHOLE = document("FOR ALICE")
BODY = WHOLE.partition(b"\r\n\r\n")[2]
STREAM = stream("FOR ALICE")
HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
OLD = b"HTTP/1.0 200 OK\r\n"
KEPT_OLD = OLD + b"Connection: keep-alive\r\n"
CODED = OK + b"Transfer-Encoding: identity\r\n"
BOTH = OK + b"Content-Length: 5\r\n"
NAMELESS = OK + b"no field\r\nServer: x\r\n"
ODD_LENGTH = OK + b"Content-Length: +%d\r\n\r\n" % len(BODY) + BODY
NO_GZIP = OK + b"Content-Length: 500\r\nContent-Encoding: gzip\r\n\r\nnever"
BODY_IN_204 = b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"
BODY_IN_304 = b"HTTP/1.1 304 Same\r\n\r\nnever"
FORMS = pytest.mark.parametrize("streamed", [False, True], ids=["document", "stream"])


def chunked(body: bytes, head: bytes = OK) -> bytes:
    head += b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunk(body[:40]) + chunk(body[40:]) + b"0\r\n\r\n"


def compressed(body: bytes) -> bytes:
    return chunked(gzip.compress(body), OK + b"Content-Encoding: gzip\r\n")


def refused(more: bytes = b"") -> bytes:
    body = b'{"error": {"message": "too odd"}}'
    return b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n" % len(body) + body + more


@pytest.fixture
def carried(wire):
    """Has the wire send these bytes for alice, and bob his answer: by caller, the connections."""

    def answers(for_alice: bytes) -> dict[str, set]:
        by = {"alice": set(), "bob": set()}

        def answer(sock, request):
            name = "alice" if b"alice" in request.body else "bob"
            by[name].add(sock)
            streamed = json.loads(request.body).get("stream")
            for_bob = (stream if streamed else document)("FOR BOB")
            sock.sendall(for_alice if name == "alice" else for_bob)

        wire.answer = answer
        return by

    return answers


def bob_is_answered(wired, streamed: bool) -> bool:
    reply = wired.ask(f"bob {marked()}", key=BOB, stream=streamed)
    assert reply.status == 200, reply.body
    return (said(reply.events) if streamed else reply.text) == "FOR BOB"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(WHOLE, 200, id="a length"),
        pytest.param(chunked(BODY), 200, id="chunks"),
        pytest.param(compressed(BODY), 200, id="compressed"),
        pytest.param(HINTS + WHOLE, 200, id="behind an interim reply"),
        pytest.param(document("FOR ALICE", KEPT_OLD), 200, id="HTTP/1.0 that stays"),
        pytest.param(refused(), 400, id="a refusal"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 502, id="204"),
        pytest.param(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", 502, id="an empty 500"),
    ],
)
def test_after_a_whole_reply_its_connection_is_used_again(wired, carried, sent, status):
    by = carried(sent)
    assert wired.ask(f"alice {marked()}").status == status
    assert bob_is_answered(wired, streamed=False)
    assert by["alice"] == by["bob"]


@FORMS
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(WHOLE + WHOLE, 200, id="a second reply behind it"),
        pytest.param(WHOLE + WHOLE[:15], 200, id="a part of one"),
        pytest.param(WHOLE + HINTS, 200, id="an interim reply behind it"),
        pytest.param(WHOLE + b"\r\n", 200, id="a line end behind it"),
        pytest.param(WHOLE + b" " * 50_000, 200, id="much behind it"),
        pytest.param(chunked(BODY) + WHOLE, 200, id="a second reply behind chunks"),
        pytest.param(chunked(BODY) + b"\r\n", 200, id="a line end behind chunks"),
        pytest.param(compressed(BODY) + WHOLE, 200, id="a second reply behind compression"),
        pytest.param(document("FOR ALICE", OK + b"Connection: close\r\n"), 200, id="it will close"),
        pytest.param(document("FOR ALICE", OLD), 200, id="HTTP/1.0"),
        pytest.param(chunked(BODY, KEPT_OLD), 200, id="chunks in HTTP/1.0"),
        pytest.param(document("FOR ALICE", CODED), 200, id="another coding"),
        pytest.param(chunked(BODY, BOTH), 200, id="chunks and a length"),
        pytest.param(ODD_LENGTH, 200, id="an odd length"),
        pytest.param(document("FOR ALICE", NAMELESS), 200, id="a field without a name"),
        pytest.param(NO_GZIP, 502, id="compressed by another hand"),
        pytest.param(BODY_IN_204, 502, id="204 with a body"),
        pytest.param(BODY_IN_304, 502, id="304 with a body"),
        pytest.param(refused(more=WHOLE), 400, id="a reply behind a refusal"),
    ],
)
def test_after_another_reply_its_connection_is_given_up(wired, carried, sent, status, streamed):
    by = carried(sent)
    assert wired.ask(f"alice {marked()}", stream=streamed).status == status
    assert bob_is_answered(wired, streamed)
    assert by["alice"].isdisjoint(by["bob"])


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(WHOLE[:-1], 504, id="less than its length"),
        pytest.param(chunked(BODY)[:-5], 504, id="chunks without their end"),
        pytest.param(chunked(BODY)[:-5] + b"no\r\n", 502, id="a chunk of no size"),
    ],
)
def test_after_a_part_of_a_reply(wired, carried, sent, status):
    by = carried(sent)
    assert wired.ask(f"alice {marked()}").status == status
    assert bob_is_answered(wired, streamed=False)
    assert by["alice"].isdisjoint(by["bob"])


@pytest.mark.parametrize("behind", [WHOLE, HINTS, b"\r\n"], ids=["a reply", "103", "a line end"])
def test_after_a_stream_with_something_behind_it(wired, carried, behind):
    by = carried(STREAM + behind)
    assert said(wired.ask(f"alice {marked()}", stream=True).events) == "FOR ALICE"
    assert bob_is_answered(wired, streamed=True)
    assert by["alice"].isdisjoint(by["bob"])


@FORMS
@pytest.mark.parametrize("stray", [WHOLE, STREAM, HINTS], ids=["document", "stream", "103"])
def test_a_stray_reply_while_nobody_asks_is_nobodys(wired, carried, stray, streamed):
    by = carried(WHOLE)
    assert wired.ask(f"alice {marked()}").text == "FOR ALICE"
    [idle] = by["alice"]
    idle.sendall(stray)
    assert bob_is_answered(wired, streamed)
    assert by["alice"].isdisjoint(by["bob"])


# Replies to half a request ------------------------------------------------------------------------

LONG = "word " * 1_700_000  # more than the two systems hold of it on its way, and soon read


@pytest.fixture
def hasty(wire, monkeypatch):
    """Has the wire send these bytes as soon as it has read the head of a request."""
    return lambda sent: monkeypatch.setattr(wire, "hasty", sent)


def test_a_refusal_of_half_a_request_is_passed_on(wired, carried, hasty):
    by = carried(b"")
    hasty(refused())
    assert wired.ask(f"alice {marked()}", LONG).status == 400
    hasty(b"")
    assert bob_is_answered(wired, streamed=False)
    eventually(lambda: by["alice"])
    assert by["alice"].isdisjoint(by["bob"])


@FORMS
def test_an_answer_to_half_a_request_is_another_callers(wired, carried, hasty, recorded, streamed):
    carried(WHOLE)
    assert wired.ask(f"alice {marked()}").text == "FOR ALICE"
    hasty(STREAM if streamed else WHOLE)
    reply = wired.ask(f"bob {marked()}", LONG, key=BOB, stream=streamed)
    assert (reply.status, reply.error["code"]) == (502, "upstream_bad_reply")
    assert b"ALICE" not in reply.body
    assert [row.error_code for row in recorded(2)] == ["", "upstream_bad_reply"]


def test_an_interim_reply_to_half_a_request_is_no_answer(wired, carried, hasty):
    carried(WHOLE)
    hasty(HINTS)
    reply = wired.ask(f"bob {marked()}", LONG, key=BOB)
    assert reply.status == 200, reply.body
    assert reply.text == "FOR BOB"
