"""Closed calls to the receiver of submissions: what it is sent, whatever it does.

And whichever process is killed meanwhile.
"""

import base64
import hmac
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models.functions import Now
from django.test import override_settings

from conversations import record
from conversations.models import Seal, Snapshot, Unsealed, User
from conversations.proof import sealing
from conversations.record import attachments
from conversations.tests.calls import answer, person, turn, user
from proxy.jobs import delivery, submissions
from proxy.models import Submission, SubmissionFeed
from proxy.models.submission import FAILURES, REFUSALS, pause_after
from proxy.tests.gateway import (
    ALICE,
    CANARY,
    CHAT,
    SECRET,
    SHARED,
    eventually,
    free_port,
    marked,
    the,
)
from proxy.tests.wire import DONE, SSE, Held, Wire, chunk, exactly, json_reply, until_closed, word

PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(3000)).decode()
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Fine.", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


@pytest.fixture(autouse=True)
def feed(database):
    """Switched on, with nothing to do."""
    while sealing.seal():
        pass
    Submission.objects.all().delete()
    SubmissionFeed.objects.all().delete()
    head = Seal.objects.order_by("-number").first()
    yield SubmissionFeed.objects.create(pk=1, number=head.number if head else 0)
    Submission.objects.all().delete()
    SubmissionFeed.objects.all().delete()


@pytest.fixture
def receiver():
    with Wire() as receiver:
        yield receiver


@pytest.fixture
def on(receiver):
    """This process delivers; what failed waits until `later`."""
    with override_settings(
        ENABLE_SUBMISSIONS_API=True,
        SUBMISSIONS_API_URL=f"{receiver.url}/submissions",
        SUBMISSIONS_TIMEOUT=5,
        SUBMISSIONS_PAUSE=3600,
        SUBMISSIONS_LONGEST_PAUSE=3600,
    ):
        yield


def closed(count: int = 1) -> list[str]:
    """Calls that are closed and sealed: their ids, in the order of the log."""
    ids = [str(turn(person(), [user(marked())], "Fine.").id) for _ in range(count)]
    while sealing.seal():
        pass
    return ids


def later() -> None:
    """Whatever waits is due."""
    Submission.objects.waiting().update(due=Now())
    SubmissionFeed.objects.update(resumes=None)


def keys(receiver: Wire) -> list[str]:
    return [request.headers["idempotency-key"] for request in receiver.seen]


def to(gateway, url: str, **more: object) -> dict[str, object]:
    return {"ENABLE_SUBMISSIONS_API": "true", "SUBMISSIONS_API_URL": url} | more


# What is sent ------------------------------------------------------------------------------------


def test_the_classic_fields_of_a_json_call_a_stream_and_an_image(started, wire, receiver, recorded):
    gateway = started(
        LLM_ENDPOINT=f"{wire.url}{CHAT}",
        LLM_LABEL="ACME",
        ENABLE_SUBMISSIONS_API="true",
        SUBMISSIONS_API_URL=f"{receiver.url}/in?tenant=7",
        SUBMISSIONS_API_AUTHORIZATION=f"Bearer {SECRET}",
        SUBMISSIONS_HMAC_SECRET=f"hmac {SECRET}",
    )
    question = [
        {"type": "text", "text": marked()},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
    ]
    asked = {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": question},
        ],
        "temperature": 0.5,
        "x": None,
    }
    wire.answer = json_reply(json.dumps(ANSWER).encode())
    assert gateway.call(CHAT, asked, ALICE, User_Agent="acme/1.0").status == 200

    told = marked()
    wire.answer = exactly(SSE, chunk(word("Once ") + word("upon", "stop") + DONE), b"0\r\n\r\n")
    assert (
        gateway.ask(
            told, key=SHARED, stream=True, user="carol", headers={"User-Agent": "curl"}
        ).status
        == 200
    )

    painted = {"prompt": marked(), "model": "dall-e-2", "size": "256x256"}
    wire.answer = json_reply(json.dumps({"created": 5, "data": [{"b64_json": PICTURE}]}).encode())
    assert gateway.call("/v1/images/generations", painted, ALICE, User_Agent="").status == 200
    assert (
        gateway.call("/v1/embeddings", {"input": marked(), "model": "e"}, ALICE).status == 200
    )  # not submitted
    calls = recorded(4)

    began = int(time.time())
    log = gateway.work()
    assert CANARY not in log
    assert SECRET not in log
    assert not Submission.objects.exists()
    assert keys(receiver) == [str(call.id) for call in calls[:3]]
    streamed = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": told}],
        "stream": True,
        "user": "carol",
        "stream_options": {"include_usage": True},
    }
    completion = {"id": "c", "model": "m", "object": "chat.completion", "usage": None} | {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Once upon"},
                "finish_reason": "stop",
            }
        ]
    }
    expected = [
        {
            "raw_request": asked,
            "raw_response": ANSWER,
            "associated_users": ["alice"],
            "llm_model": "gpt-4o-mini",
            "associated_software": ["acme/1.0"],
            "api_token_id": ALICE[:11],
        },
        {
            "raw_request": streamed,
            "raw_response": completion,
            "associated_users": ["service", "carol"],
            "llm_model": "gpt-4o-mini",
            "associated_software": ["curl"],
            "api_token_id": SHARED[:11],
        },
        {
            "raw_request": painted,
            "raw_response": {"created": 5, "data": [{"b64_json": PICTURE}]},
            "associated_users": ["alice"],
            "llm_model": "dall-e-2",
            "associated_software": [],
            "api_token_id": ALICE[:11],
        },
    ]
    for request, call, fields in zip(receiver.seen, calls, expected, strict=False):
        seal = Seal.objects.get(subject=call.id)
        times = {
            "time_submitted": call.opened,
            "response_timestamp": call.closed,
            "time_logged": seal.sealed,
        }
        assert json.loads(request.body) == fields | {
            "llm_provider": "ACME",
            "associated_devices": ["127.0.0.1"],
        } | {
            name: at.isoformat(timespec="seconds").removesuffix("+00:00")
            for name, at in times.items()
        }
        assert request.line == "POST /in?tenant=7 HTTP/1.1"
        stamp = request.headers["x-signature-timestamp"]
        assert began <= int(stamp) <= time.time()
        signature = hmac.new(
            f"hmac {SECRET}".encode(), f"{stamp}.".encode() + request.body, "sha256"
        ).hexdigest()
        assert request.headers["x-signature"] == f"sha256={signature}"
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        assert request.headers["content-type"] == "application/json"
    assert receiver.accepted == 1  # one connection for all


def test_nothing_of_ours_travels_that_was_not_asked_for(on, receiver):
    closed()
    submissions.deliver_due()
    assert receiver.seen[0].headers.keys() == {
        "host",
        "accept-encoding",
        "user-agent",
        "content-type",
        "content-length",
        "idempotency-key",
    }


def test_which_endings_are_sent(started, wire, receiver):
    refused, failed, fine = (marked() for _ in range(3))
    gateway = started(
        LLM_ENDPOINT=f"{wire.url}{CHAT}",
        ENABLE_SUBMISSIONS_API="true",
        SUBMISSIONS_API_URL=receiver.url,
    )

    def calls() -> list[str]:
        assert gateway.ask(refused, model=5).status == 400
        wire.answer = json_reply(b"{}", "500 Oh")
        assert gateway.ask(failed).status == 502
        wire.answer = json_reply(json.dumps(ANSWER).encode())
        return [str(gateway.ask(fine).id)]

    only = calls()
    gateway.work()
    assert keys(receiver) == only
    gateway.environment["SUBMISSIONS_STATUSES"] = "refused,failed"
    calls()
    gateway.work()
    widened = [json.loads(request.body) for request in receiver.seen[1:]]
    assert [body["raw_response"] and "Fine." for body in widened] == [None, None, "Fine."]
    assert [body["raw_request"]["messages"][0]["content"] for body in widened] == [
        refused,
        failed,
        fine,
    ]


# Whatever the receiver does ----------------------------------------------------------------------


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
    assert time.monotonic() - began < 5
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
        delivery.read_seconds(text)
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


# The log is the queue ----------------------------------------------------------------------------


def test_the_first_switch_on_begins_with_what_comes(on, receiver, feed):
    ids = closed(3)
    SubmissionFeed.objects.all().delete()
    submissions.deliver_due()
    assert not receiver.seen
    new = closed()
    submissions.deliver_due()
    assert keys(receiver) == new
    SubmissionFeed.objects.all().delete()
    with override_settings(SUBMISSIONS_FROM=Seal.objects.get(subject=ids[1]).number):
        submissions.deliver_due()
    assert keys(receiver) == new + ids[1:] + new


def test_switched_off_nothing_is_sent_and_nothing_forgotten(on, receiver):
    with override_settings(ENABLE_SUBMISSIONS_API=False):
        ids = closed(2)
        submissions.deliver_due()
    assert not receiver.seen
    submissions.deliver_due()
    assert keys(receiver) == ids


def test_a_dead_receiver_costs_a_window_of_rows(on, receiver, monkeypatch):
    monkeypatch.setattr(submissions, "WINDOW", 3)
    ids = closed(8)
    receiver.answer = json_reply(b"", "503 Away")
    submissions.deliver_due()
    assert Submission.objects.count() == 3
    assert submissions.count_backlog() == 8
    assert submissions.measure_age() >= datetime.now(UTC) - Seal.objects.get(
        subject=ids[0]
    ).sealed - timedelta(seconds=1)
    receiver.answer = json_reply(b"{}")
    later()
    submissions.deliver_due()
    assert keys(receiver)[3:] == ids
    assert (submissions.count_backlog(), Submission.objects.count()) == (0, 0)


def test_a_claim_is_nobody_elses(on, receiver):
    closed(9)
    submissions.take_up()

    def claim(_):
        try:
            return [one.number for one in submissions.claim(3)]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        claimed = [number for numbers in pool.map(claim, range(4)) for number in numbers]
    assert sorted(claimed) == sorted(set(claimed))
    claimed += [one.number for one in submissions.claim(9)]
    assert sorted(claimed) == sorted(Submission.objects.values_list("number", flat=True))
    assert submissions.claim(9) == []
    assert all(
        one.due > datetime.now(UTC) + timedelta(seconds=settings.SUBMISSIONS_TIMEOUT)
        for one in Submission.objects.all()
    )


def test_imported_calls_are_not_sent(on, receiver):
    turn(person(), [user(marked())], "Fine.", classic_id=uuid4())
    [id] = closed()
    submissions.deliver_due()
    assert keys(receiver) == [id]


def test_other_kinds_are_not_sent(on, receiver):
    answer(
        record.open(
            record.CallRequest(owner=person().pk, kind="title", model="m", body={"model": "m"})
        ),
        "A title",
    )
    closed(0)
    submissions.deliver_due()
    assert not receiver.seen


# Whoever is killed -------------------------------------------------------------------------------


@contextmanager
def worker(gateway):
    """`manage.py worker`, killed with -9 at the end."""
    with open(gateway.log, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "worker"],
            cwd=settings.BASE_DIR,
            env=gateway.environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def test_nothing_is_lost_when_everything_is_killed(started, wire):
    port, before = free_port(), set(Snapshot.objects.values_list("id", flat=True))
    ours = {
        "LLM_ENDPOINT": f"{wire.url}{CHAT}",
        "ENABLE_SUBMISSIONS_API": "true",
        "SUBMISSIONS_API_URL": f"http://127.0.0.1:{port}/",
        "SUBMISSIONS_STATUSES": "failed,interrupted",
        "SUBMISSIONS_PAUSE": 0.05,
        "SUBMISSIONS_LONGEST_PAUSE": 0.2,
        "SUBMISSIONS_TIMEOUT": 20,
    }
    gateway = started(**ours)
    wire.answer = json_reply(json.dumps(ANSWER).encode())
    with worker(gateway), ThreadPoolExecutor(4) as pool:  # the receiver is down
        assert [reply.status for reply in pool.map(gateway.ask, [marked() for _ in range(10)])] == [
            200
        ] * 10
        eventually(lambda: Submission.objects.filter(tries__gt=1).exists(), 30)
    wire.answer = exactly(SSE, chunk(word("Once ") + word("upon", "stop") + DONE), b"0\r\n\r\n")
    assert [gateway.ask(marked(), stream=True).status for _ in range(3)] == [200] * 3  # no worker
    held = Held(wire, SSE + chunk(word("Once ")))
    with gateway.open_chat(marked(), stream=True) as open_call:
        open_call.read_until(b"Once")
        assert held.begun
        gateway.kill()

    gateway = started(**ours)
    closed_calls = {
        str(id)
        for id in Snapshot.objects.exclude(status="pending").values_list("id", flat=True)
        if id not in before
    }
    assert len(closed_calls) == 14
    with Wire(port=port) as receiver:
        receiver.answer = lambda sock, request: until_closed(sock)
        # killed with calls on their way; a receiver that hangs holds up neither calls nor seals
        with worker(gateway):
            eventually(lambda: len(receiver.seen) == submissions.PARALLEL, 30)
            wire.answer = json_reply(json.dumps(ANSWER).encode())
            closed_calls.add(str(the(gateway.ask(marked())).id))
            eventually(lambda: not Unsealed.objects.exists())
            assert len(receiver.seen) == submissions.PARALLEL
        receiver.answer = json_reply(b"{}")
        eventually(lambda: not receiver.open)
        once = keys(receiver)
        Submission.objects.update(due=Now())  # the leases of the dead have ended
        with worker(gateway), worker(gateway):
            eventually(
                lambda: set(keys(receiver)) == closed_calls and submissions.count_backlog() == 0, 30
            )
        twice = keys(receiver)[len(once) :]
        assert sorted(twice) == sorted(
            closed_calls
        )  # those that were on their way, once more; the others once
        bodies = {}
        for request in receiver.seen:
            assert (
                bodies.setdefault(request.headers["idempotency-key"], request.body) == request.body
            )
    assert not Submission.objects.exists()
    interrupted = [json.loads(body) for body in bodies.values() if b'"Once "' in body]
    assert len(interrupted) <= 1
    assert (
        User.objects.get(username="alice").username
        in json.loads(next(iter(bodies.values())))["associated_users"]
    )
