"""Closed calls to the receiver of submissions: whatever it does."""

import base64
import secrets
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256

import pytest
from django.core.files.storage import default_storage
from django.test import override_settings

from conversations.record import attachments
from conversations.tests.calls import person, turn, user
from proxy.jobs import posting, submissions
from proxy.models import Submission, SubmissionFeed
from proxy.models.submission import FAILURES, REFUSALS, pause_after
from proxy.tests.submissions.deliveries import closed, keys, later
from proxy.tests.wire import exactly, json_reply, until_closed


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (json_reply(b"", "500 Oh"), "the receiver answered 500"),
        (json_reply(b"", "408 Slow"), "the receiver answered 408"),
        (json_reply(b"", "429 Later"), "the receiver answered 429"),
        (exactly(b"\x00garbage\r\n\r\n"), "could not be reached, or hung up"),
        (exactly(b""), "could not be reached, or hung up"),
    ],
)
def test_a_fault_that_passes(on, receiver, answer, problem):
    ids = closed(2)
    receiver.answer = answer
    for tries in range(1, FAILURES + 5):
        submissions.deliver_due()
        assert [(one.tries, one.given_up) for one in Submission.objects.order_by("number")] == [
            (tries, None)
        ] * 2
        assert problem in Submission.objects.first().problem
        later()
    receiver.answer = json_reply(b"{}")
    sent = len(receiver.seen)
    submissions.deliver_due()
    assert keys(receiver)[sent:] == ids
    assert not Submission.objects.exists()


@pytest.mark.parametrize(
    "slowly",
    [
        until_closed,
        lambda sock: [sock.sendall(b"HTTP/1.1 200 OK\r\n")] + [drip(sock) for _ in range(600)],
    ],
    ids=["silent", "drips"],
)
def test_a_slow_receiver_is_cut(on, receiver, slowly):
    closed()
    receiver.answer = lambda sock, request: slowly(sock)
    with override_settings(SUBMISSIONS_TIMEOUT=0.3):
        began = time.monotonic()
        submissions.deliver_due()
    assert time.monotonic() - began < 20
    assert Submission.objects.get().problem == "no answer in time"


def drip(sock) -> None:
    time.sleep(0.05)
    sock.sendall(b"X: y\r\n")


def test_the_status_is_the_answer(on, receiver):
    closed()
    receiver.answer = lambda sock, request: (
        sock.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\n"),
        until_closed(sock),
    )
    with override_settings(SUBMISSIONS_TIMEOUT=0.3):
        submissions.deliver_due()
    assert not Submission.objects.exists()
    assert len(receiver.seen) == 1


@pytest.mark.parametrize("status", ["400 No", "401 No", "413 No", "302 Found"])
def test_what_is_refused_is_given_up_and_holds_nobody_up(on, receiver, status):
    first, second = closed(2)
    fine, no = (
        json_reply(b"{}"),
        json_reply(b"", status, headers=f"Location: {receiver.url}/elsewhere\r\n".encode()),
    )
    receiver.answer = lambda sock, request: (
        no if request.headers["idempotency-key"] == first else fine
    )(sock, request)
    for _ in range(REFUSALS + 2):
        submissions.deliver_due()
        later()
    assert sorted(keys(receiver)) == sorted([second] + [first] * REFUSALS)
    assert {request.line for request in receiver.seen} == {"POST /submissions HTTP/1.1"}
    dead = Submission.objects.given_up().get()
    assert (str(dead.snapshot), dead.tries) == (first, REFUSALS)
    assert (
        submissions.count_backlog(),
        submissions.measure_age(),
        submissions.count_given_up(),
    ) == (0, timedelta(), 1)

    receiver.answer = fine
    assert Submission.objects.all().resend() == 1
    submissions.deliver_due()
    assert keys(receiver)[-1] == first
    assert not Submission.objects.exists()


def test_one_that_fails_while_others_pass_is_given_up(on, receiver):
    [bad] = closed()
    fine, no = json_reply(b"{}"), json_reply(b"", "500 Oh")
    receiver.answer = lambda sock, request: (
        no if request.headers["idempotency-key"] == bad else fine
    )(sock, request)
    submissions.deliver_due()
    for left in reversed(range(FAILURES)):
        closed()
        submissions.deliver_due()
        later()
        assert Submission.objects.waiting().count() == 1
        submissions.deliver_due()
        assert Submission.objects.waiting().count() == bool(left)
    assert keys(receiver).count(bad) == FAILURES + 1


@pytest.mark.parametrize(
    "wish",
    [
        lambda: "120",
        lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=140), usegmt=True),
    ],
    ids=["seconds", "date"],
)
def test_retry_after_holds_for_all(on, receiver, wish):
    ids = closed(3)
    receiver.answer = json_reply(b"", "429 Later", headers=f"Retry-After: {wish()}\r\n".encode())
    with override_settings(SUBMISSIONS_PAUSE=0):
        submissions.deliver_due()
    assert keys(receiver) == ids[:1]
    waits = SubmissionFeed.objects.get().resumes - datetime.now(UTC)
    assert timedelta(seconds=60) < waits < timedelta(seconds=141)
    assert Submission.objects.get(snapshot=ids[0]).due > datetime.now(UTC) + timedelta(seconds=60)
    receiver.answer = json_reply(b"{}")
    submissions.deliver_due()
    assert len(receiver.seen) == 1
    later()
    submissions.deliver_due()
    assert keys(receiver)[1:] == ids


def test_pauses_double_and_end():
    with override_settings(SUBMISSIONS_PAUSE=2, SUBMISSIONS_LONGEST_PAUSE=300):
        for tries, most in ((1, 2), (2, 4), (5, 32), (9, 300), (10_000, 300)):
            found = {pause_after(tries) for _ in range(20)}
            assert most / 2 <= min(found) < max(found) <= most
    assert [
        posting.read_seconds(text)
        for text in ("7", "", "soon", "-3", "999999999", "Mon, 01 Jan 2001 00:00:00 GMT")
    ] == [7, 0, 0, 0, 3600, 0]


def test_addresses_that_nothing_is_sent_to(on, receiver):
    closed()
    for url, problem in (
        ("http://vendor.example/", "may not be sent to"),
        ("file:///etc/passwd", "may not be sent to"),
        ("http://[::ffff:169.254.169.254]:9/", "no"),
        ("http://169.254.169.254:9/", "no"),
    ):
        with override_settings(
            SUBMISSIONS_API_URL=url,
            SUBMISSIONS_TIMEOUT=1,
            UPSTREAM_HTTP_HOSTS=["127.0.0.1", "169.254.169.254", "::ffff:169.254.169.254"],
        ):
            submissions.deliver_due()
        one = Submission.objects.get()
        assert problem in one.problem
        later()


def test_a_call_that_cannot_be_read_back_holds_nobody_up(on, receiver):
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + secrets.token_bytes(3000)).decode()
    broken = str(
        turn(
            person(),
            [
                user(
                    [
                        {
                            "type": "image_url",
                            "image_url": {"url": f"data:image/png;base64,{picture}"},
                        }
                    ]
                )
            ],
            "Fine.",
        ).id
    )
    default_storage.delete(attachments.storage_name(sha256(base64.b64decode(picture)).digest()))
    [fine] = closed()
    for _ in range(REFUSALS):
        submissions.deliver_due()
        later()
    assert keys(receiver) == [fine]
    assert str(Submission.objects.given_up().get().snapshot) == broken


def test_an_erased_call_is_not_sent(on, receiver):
    [id] = closed()
    submissions.take_up()
    Submission.objects.filter(snapshot=id).update(snapshot="00000000-0000-7000-8000-000000000000")
    submissions.deliver_due()
    assert not receiver.seen
    assert not Submission.objects.exists()
