"""Closed calls to the receiver of submissions: the log is the queue, whichever is killed."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import override_settings

from conversations import record
from conversations.models import Seal, Snapshot, Unsealed, User
from conversations.tests.calls import answer, person, turn, user
from proxy.jobs import submissions
from proxy.models import Submission, SubmissionFeed
from proxy.tests.gateway import (
    CHAT,
    eventually,
    free_port,
    marked,
    the,
)
from proxy.tests.submissions.deliveries import ANSWER, closed, keys, later
from proxy.tests.wire import DONE, SSE, Held, Wire, chunk, exactly, json_reply, until_closed, word


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
    """Each worker's transaction is still open while the next one claims."""
    closed(9)
    submissions.take_up()

    def claim(count):
        try:
            return [one.number for one in submissions.claim(count)]
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        first = [one.number for one in submissions.claim(3)]
        second = pool.submit(claim, 4).result(timeout=60)
    numbers = list(Submission.objects.order_by("number").values_list("number", flat=True))
    assert (first, second) == (numbers[:3], numbers[3:7])
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        pool.submit(claim, 1).result(timeout=60)
        assert [one.number for one in submissions.claim(9)] == numbers[8:]
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


@pytest.mark.drill
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
        eventually(lambda: Submission.objects.filter(tries__gt=1).exists())
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
            eventually(lambda: len(receiver.seen) == submissions.PARALLEL)
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
