"""Upstreams that fail: a fallback serves, and nothing is sent twice that may have been done."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from proxy.relay import calls
from proxy.tests.gateway import eventually, marked, said, the
from proxy.tests.resilience.upstreams import (
    ANSWER,
    FINE,
    NO_ANSWERS,
    ROLE,
    STREAM,
    no_stream,
    tries,
)
from proxy.tests.wire import DONE, SSE, Held, chunk, exactly, json_reply, until_closed, word

PLAIN_SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

TRIES = 1 + calls.REPEATS  # at one place


def failing(status: str, headers: bytes = b"X-Request-Id: theirs\r\n"):
    return json_reply(b'{"error": {"message": "not now", "code": "busy"}}', status, headers=headers)


@pytest.mark.parametrize(
    "status", ["408 Late", "429 Too Many", "500 Odd", "503 Unavailable", "529 Odd"]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_status_that_says_not_done_is_tried_again_then_elsewhere(
    gateway, first, second, status, stream
):
    first.answer, second.answer = failing(status), STREAM if stream else FINE
    reply = gateway.ask(marked(), model="chain", stream=stream)
    assert reply.status == 200
    assert said(reply.events) if stream else reply.text == "Fine."
    assert (len(first.seen), len(second.seen)) == (TRIES, 1)
    snapshot = the(reply)
    assert (snapshot.status, snapshot.upstream, snapshot.reply.text) == ("ok", "TWO", "Fine.")
    assert tries(snapshot) == [("one", int(status[:3]), "busy")] * TRIES + [("two", 200, "")]
    assert {each["request_id"] for each in json.loads(snapshot.attempts)} == {"theirs", ""}


def test_a_second_try_that_serves(gateway, first, second):
    answers = [failing("503 Unavailable"), FINE]
    first.answer = lambda sock, request: answers.pop(0)(sock, request)
    reply = gateway.ask(marked(), model="chain")
    assert (reply.text, the(reply).upstream, tries(the(reply))) == (
        "Fine.",
        "ONE",
        [("one", 503, "busy"), ("one", 200, "")],
    )
    assert not second.seen


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422])
def test_a_refusal_is_the_callers_to_read(gateway, first, second, status):
    first.answer = failing(f"{status} No")
    reply = gateway.ask(marked(), model="chain")
    assert reply.status == (502 if status == 401 else status)
    assert (len(first.seen), len(second.seen)) == (1, 0)
    # Credentials are the gateway's: no client can help by trying.
    assert reply.headers.get("x-should-retry") == ("false" if status == 401 else None)
    assert len(tries(the(reply))) == 1


@pytest.mark.parametrize(
    ("answer", "stream", "status", "code"), NO_ANSWERS.values(), ids=NO_ANSWERS
)
def test_a_reply_that_is_no_answer_is_tried_again_then_elsewhere(
    gateway, first, second, answer, stream, status, code
):
    first.answer, second.answer = answer, STREAM if stream else FINE
    reply = gateway.ask(marked(), model="chain", stream=stream)
    assert (reply.status, said(reply.events) if stream else reply.text) == (200, "Fine.")
    assert (len(first.seen), len(second.seen)) == (TRIES, 1)
    assert tries(the(reply)) == [("one", status, code)] * TRIES + [("two", 200, "")]
    assert the(reply).error == ""


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_at_200_is_the_callers_to_read(gateway, first, second, stream):
    said = {
        "error": {
            "message": "too long",
            "type": "invalid_request_error",
            "code": "context_length_exceeded",
            "param": "messages",
        }
    }
    first.answer = no_stream(said) if stream else json_reply(json.dumps(said).encode())
    reply = gateway.ask(marked(), model="chain", stream=stream)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (
        400,
        "context_length_exceeded",
        "messages",
    )
    assert (len(first.seen), len(second.seen)) == (1, 0)


def test_a_role_is_held_back_five_seconds_at_most(gateway, first, second):
    """After that it is passed on, and the call stays where it is."""
    let_go = threading.Event()

    def answer(sock, request):
        sock.sendall(SSE + chunk(b"data: %s\n\n" % json.dumps(ROLE).encode()))
        let_go.wait(60)
        sock.sendall(chunk(word("Fine.", "stop")) + chunk(DONE) + b"0\r\n\r\n")

    first.answer = answer
    with gateway.open_chat(marked(), model="patient", stream=True) as call:
        assert b'"role"' in call.read_until(b"role")
        let_go.set()
        assert b"[DONE]" in call.read_until(b"[DONE]")
    assert (len(first.seen), len(second.seen)) == (1, 0)


@pytest.mark.parametrize("head", [SSE, PLAIN_SSE], ids=["chunks go on", "length unknown"])
def test_an_upstream_that_lingers_after_done_holds_nobody_up(gateway, first, head):
    """It may be silent for longer than the caller here waits for the end."""

    def answer(sock, request):
        pieces = word("Fine.", "stop"), DONE
        sock.sendall(head + b"".join(map(chunk, pieces) if head == SSE else pieces))
        until_closed(sock)

    first.answer = answer
    reply = gateway.ask(marked(), model="patient", stream=True)
    assert (said(reply.events), reply.events[-1]) == ("Fine.", "[DONE]")
    assert the(reply).status == "ok"


LOST = {
    "in a document": (
        exactly(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER[:40]),
        False,
    ),
    "in a document that does not say its length": (
        exactly(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + ANSWER[:40]),
        False,
    ),
    "in a document for a stream": (
        exactly(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER[:40]),
        True,
    ),
    "in a document for a stream that does not say its length": (
        exactly(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + ANSWER[:40]),
        True,
    ),
    "in a stream": (exactly(SSE, chunk(word("Fi"))), True),
}


@pytest.mark.parametrize(("answer", "stream"), LOST.values(), ids=LOST)
def test_an_answer_that_had_been_made_is_not_made_again(gateway, first, second, answer, stream):
    first.answer = answer
    reply = gateway.ask(marked(), model="chain", stream=stream)
    assert reply.status == (200 if b"Fi" in reply.body else 502)
    assert b"[DONE]" not in reply.body
    assert (len(first.seen), len(second.seen)) == (1, 0)
    assert the(reply).status == "failed"


@pytest.mark.parametrize(
    "answer", [exactly(), exactly(b"HTTP/1.1 200 OK\r\nContent-")], ids=["nothing", "half a head"]
)
def test_what_was_sent_and_may_have_been_done_is_not_sent_again(gateway, first, second, answer):
    first.answer = answer
    reply = gateway.ask(marked(), model="chain")
    assert reply.status == 502
    assert (len(first.seen), len(second.seen)) == (1, 0)
    assert tries(the(reply))[0][:2] == ("one", None)


def test_when_all_have_failed_the_caller_need_not_try(gateway, first, second):
    first.answer, second.answer = failing("500 Odd"), failing("503 Unavailable")
    reply = gateway.ask(marked(), model="chain")
    assert (reply.status, reply.error["message"], reply.headers["x-should-retry"]) == (
        502,
        "not now",
        "false",
    )
    snapshot = the(reply)
    assert (snapshot.status, snapshot.upstream) == ("failed", "TWO")
    assert [upstream for upstream, *_ in tries(snapshot)] == ["one"] * TRIES + ["two"]


def test_one_place_is_tried_three_times_before_the_caller_need_not(gateway, first, second):
    second.answer = failing("503 Unavailable")
    reply = gateway.ask(marked(), model="alone")
    assert (reply.status, reply.headers["x-should-retry"]) == (502, "false")
    assert (len(first.seen), len(second.seen)) == (0, 3)


@pytest.mark.parametrize("stream", [False, True])
def test_five_places_have_one_budget(gateway, first, second, stream):
    first.answer = second.answer = failing("503 Unavailable")
    reply = gateway.ask(marked(), model="five", stream=stream)
    assert (reply.status, reply.headers["x-should-retry"]) == (502, "false")
    assert len(first.seen) + len(second.seen) == 5 + calls.REPEATS
    told = [upstream for upstream, *_ in tries(the(reply))]
    assert told == ["one"] * TRIES + ["two", "three", "four", "five"]


def test_tries_at_one_upstream_say_for_which_model(gateway, first, second):
    first.answer = failing("503 Unavailable")
    reply = gateway.ask(marked(), model="twice")
    told = [(each["upstream"], each["model"]) for each in json.loads(the(reply).attempts)]
    assert told == [("one", "twice 0")] * TRIES + [("one", "twice 1")]


def test_an_upstream_that_has_tried_enough_is_asked_once(gateway, first, second):
    """As another gateway, which makes its own tries: they are not multiplied."""
    first.answer = failing("503 Unavailable", b"X-Should-Retry: false\r\n")
    assert gateway.ask(marked(), model="chain").text == "Fine."
    assert (len(first.seen), len(second.seen)) == (1, 1)
    second.answer = first.answer
    reply = gateway.ask(marked(), model="alone")
    assert (reply.status, reply.headers["x-should-retry"]) == (502, "false")
    assert len(second.seen) == 2


def test_a_long_wait_is_left_to_the_caller(gateway, first, second):
    first.answer = failing("429 Too Many", b"Retry-After: 60\r\n")
    assert gateway.ask(marked(), model="chain").text == "Fine."  # elsewhere, at once
    assert (len(first.seen), len(second.seen)) == (1, 1)
    second.answer = failing("429 Too Many", b"Retry-After: 60\r\n")
    reply = gateway.ask(marked(), model="chain")
    assert (reply.status, reply.headers["retry-after"]) == (429, "60")
    assert "x-should-retry" not in reply.headers


def test_a_full_upstream_is_passed_over(gateway, first, second, recorded):
    held = Held(first, b"", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER)
    with gateway.open_chat(marked(), model="narrow") as waiting:
        eventually(lambda: held.begun)
        with ThreadPoolExecutor() as pool:
            elsewhere = pool.submit(gateway.ask, marked(), model="narrow chain")
            nowhere = pool.submit(gateway.ask, marked(), model="narrow").result()
        assert (nowhere.status, nowhere.error["code"], nowhere.headers["retry-after"]) == (
            503,
            "overloaded",
            "2",
        )
        assert elsewhere.result().text == "Fine."
        assert tries(the(elsewhere.result())) == [("narrow", None, "overloaded"), ("two", 200, "")]
        assert len(second.seen) == 1
        held.let_go.set()
        assert waiting.finish().text == "Fine."
    first.answer = FINE
    assert gateway.ask(marked(), model="narrow").text == "Fine."  # the place was given back
    assert len(recorded(4)) == 4
