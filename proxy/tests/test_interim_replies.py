"""Interim replies of an upstream (100, 102, 103) are no answers.

The gateway waits for the last one, within bounds.
"""

import json
import threading
import time

import pytest

from proxy.tests.gateway import BOB, marked, said
from proxy.tests.wire import document, exactly, stream

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nContent-Length: 9\r\n\r\n"
ENDLESS_FIELDS = b"HTTP/1.1 103 Early Hints\r\n" + b"Link: </style.css>\r\n" * 10_000


def answer_to(request) -> bytes:
    """The answer for the caller who names himself in the request, in the form that is asked for."""
    text = "FOR ALICE" if b"alice" in request.body else "FOR BOB"
    return stream(text) if json.loads(request.body).get("stream") else document(text)


def text_of(reply) -> str:
    assert reply.status == 200, reply.body
    events = reply.headers["content-type"].startswith("text/event-stream")
    return said(reply.events) if events else reply.text


@pytest.mark.parametrize("streamed", [False, True], ids=["document", "stream"])
@pytest.mark.parametrize(
    "interim",
    [CONTINUE, PROCESSING, HINTS, CONTINUE + HINTS + PROCESSING * 3],
    ids=["100", "102", "103", "several"],
)
def test_each_caller_gets_the_answer_made_for_them(wired, wire, recorded, interim, streamed):
    announced, bob_served = threading.Event(), threading.Event()

    def answer(sock, request):
        if b"alice" in request.body:
            sock.sendall(interim)
            announced.set()
            bob_served.wait(1)
        sock.sendall(answer_to(request))

    wire.answer = answer
    with wired.open_chat(f"alice {marked()}", stream=streamed) as call:
        assert announced.wait(60)
        for_bob = wired.ask(f"bob {marked()}", key=BOB, stream=streamed)
        bob_served.set()
        for_alice = call.finish()
    assert (text_of(for_alice), text_of(for_bob)) == ("FOR ALICE", "FOR BOB")
    snapshots = [(row.owner.username, row.status, row.reply.text) for row in recorded(2)]
    assert snapshots == [("alice", "ok", "FOR ALICE"), ("bob", "ok", "FOR BOB")]


def test_interim_replies_in_pieces(wired, wire):
    pieces = [bytes([byte]) for byte in HINTS + PROCESSING]
    wire.answer = exactly(*pieces, document("Fine."), pause=0.001)
    assert wired.ask(marked()).text == "Fine."


@pytest.mark.parametrize(
    "interim",
    [CONTINUE, PROCESSING, HINTS, ENDLESS_FIELDS],
    ids=["100", "102", "103", "fields"],
)
def test_interim_replies_without_end(wired, wire, recorded, interim):
    """They are given up, and the call is not sent again."""

    def answer(sock, request):
        while True:
            sock.sendall(interim)

    wire.answer, before = answer, len(wire.seen)
    reply = wired.ask(marked())
    assert (reply.status, reply.error["code"]) == (502, "upstream_bad_reply")
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("failed", "upstream_bad_reply")
    assert len(wire.seen) == before + 1


def test_interim_replies_give_an_upstream_no_more_time(wired, wire, recorded):
    def answer(sock, request):
        while True:
            sock.sendall(PROCESSING)
            time.sleep(0.2)

    wire.answer = answer
    assert wired.ask(marked()).error["code"] == "upstream_timeout"
    assert recorded()[0].error_code == "upstream_timeout"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", "upstream_bad_reply"),
        (HINTS, "upstream_unreachable"),
        (HINTS[:-2], "upstream_unreachable"),
        (HINTS + b"HTTP/1.1 2", "upstream_unreachable"),
    ],
    ids=["another protocol", "nothing after it", "half of it", "half of the next"],
)
def test_interim_replies_that_lead_to_nothing(wired, wire, recorded, sent, code):
    wire.answer = exactly(sent)
    reply = wired.ask(marked())
    assert (reply.status, reply.error["code"]) == (502, code)
    assert recorded()[0].error_code == code
