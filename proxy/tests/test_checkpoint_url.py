"""Checkpoints that leave by more than a file: each arrives, in order, and proves itself."""

import json
from base64 import b64decode
from contextlib import suppress

import pytest
from django.test import override_settings

from conversations.models import AuditEvent, Seal
from conversations.people import audit
from conversations.proof import checkpoints as marks
from conversations.proof import sealing, verification
from llmgateway.ops import doctor
from proxy import tasks
from proxy.jobs import checkpoints
from proxy.models import CheckpointFeed
from proxy.tests.wire import Wire, exactly, json_reply

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver(settings, tmp_path):
    settings.CHECKPOINT_FILE = tmp_path / "checkpoints.jsonl"
    with Wire() as receiver:
        settings.CHECKPOINT_URL = f"{receiver.url}/checkpoints?of=us"
        settings.CHECKPOINT_AUTHORIZATION = "Bearer a-long-token"
        yield receiver


def make(count: int = 1) -> list[int]:
    """Sign as many new seals; their numbers."""
    for _ in range(count):
        audit.record("a test", AuditEvent.Action.LIST)
        while sealing.seal():
            pass
        assert marks.write_checkpoint(now=True)
    head = Seal.objects.latest("number").number
    return list(range(head - count + 1, head + 1))


def received(receiver: Wire) -> list[int]:
    return [int(request.body.split(b"\n")[1]) for request in receiver.seen]


def test_each_arrives_once_in_order(receiver):
    checkpoints.send_checkpoints()  # there is none yet
    first = make(3)[-1]
    checkpoints.send_checkpoints()
    assert received(receiver) == [first]  # the newest, which confirms those before
    more = make(3)
    tasks.send_checkpoints(_Running(), 0)
    tasks.send_checkpoints(_Running(), 0)
    assert received(receiver) == [first, *more]


def judged() -> list[doctor.Finding]:
    """What the doctor says of them."""
    return [finding for finding in doctor.proofs() if finding.about == "checkpoints"]


class _Running:
    """What the worker hands to a job."""

    def should_abort(self) -> bool:
        return False


def test_what_is_kept_by_the_receiver_proves_the_record(receiver, settings, tmp_path):
    make(2)
    checkpoints.send_checkpoints()
    make(2)
    checkpoints.send_checkpoints()
    request = receiver.seen[0]
    assert request.line == "POST /checkpoints?of=us HTTP/1.1"
    assert request.headers["authorization"] == "Bearer a-long-token"
    assert request.headers["content-type"] == "text/plain; charset=utf-8"
    text, _, signature = request.body.decode().partition("\n\n")
    assert text.split("\n")[0] == signature.split(" ")[1]
    kept = tmp_path / "kept"
    kept.write_bytes(b"".join(request.body for request in receiver.seen))
    settings.CHECKPOINT_FILE = kept
    assert verification.verify().problem == ""
    root = b64decode(receiver.seen[-1].body.split(b"\n")[2])
    assert bytes(Seal.objects.latest("number").link) == root


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (json_reply(b"", "500 Oh"), "the receiver answered 500"),
        (json_reply(b"", "403 No"), "the receiver answered 403"),
        (json_reply(b"", "302 There"), "the receiver answered 302, a redirect"),
        (exactly(b""), "could not be reached, or hung up"),
    ],
)
def test_one_that_is_not_taken_holds_its_place(receiver, answer, problem):
    first = make()
    checkpoints.send_checkpoints()
    receiver.answer = answer
    missed = make(2)
    for _ in range(3):
        checkpoints.send_checkpoints()
    assert received(receiver) == [*first, *[missed[0]] * 3]
    feed = CheckpointFeed.objects.get()
    assert problem in feed.problem
    assert (feed.number, checkpoints.measure_delay().total_seconds() > 0) == (first[0], True)
    [finding] = judged()
    assert (finding.level, problem in finding.text) == (doctor.FAIL, True)
    receiver.answer = json_reply(b"{}")
    sent = len(receiver.seen)
    checkpoints.send_checkpoints()
    assert received(receiver)[sent:] == missed
    assert checkpoints.measure_delay().total_seconds() == 0
    assert [finding.level for finding in judged()] == [doctor.OK]


def test_one_whose_answer_was_lost_is_sent_again(receiver, monkeypatch):
    number = make()[0]

    def killed(*args):
        raise SystemExit

    with monkeypatch.context() as patch, suppress(SystemExit):
        patch.setattr(CheckpointFeed, "mark_taken", killed)
        checkpoints.send_checkpoints()
    checkpoints.send_checkpoints()
    assert received(receiver) == [number, number]
    first, second = receiver.seen
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body


def test_a_receiver_that_asks_for_a_pause_gets_one(receiver):
    make()
    receiver.answer = json_reply(b"", "429 Later", headers=b"Retry-After: 600\r\n")
    checkpoints.send_checkpoints()
    checkpoints.send_checkpoints()
    assert len(receiver.seen) == 1
    CheckpointFeed.objects.update(resumes=None)
    checkpoints.send_checkpoints()
    assert len(receiver.seen) == 2


@pytest.mark.parametrize(
    "url", ["http://archive.example/", "http://169.254.169.254/", "file:///etc/passwd"]
)
def test_nothing_goes_where_calls_may_not_go(receiver, url):
    make()
    hosts = ["127.0.0.1", "169.254.169.254"]
    with override_settings(CHECKPOINT_URL=url, UPSTREAM_HTTP_HOSTS=hosts):
        checkpoints.send_checkpoints()
    assert CheckpointFeed.objects.get().problem != ""
    assert not receiver.seen


def test_plain_http_goes_where_the_operator_says_so(receiver):
    make()
    with override_settings(UPSTREAM_HTTP_HOSTS=[]):
        checkpoints.send_checkpoints()
    assert not receiver.seen
    assert "may not be sent to" in CheckpointFeed.objects.get().problem


def test_a_file_that_cannot_be_read_is_said(receiver, settings, caplog):
    settings.CHECKPOINT_FILE.write_text("no checkpoint\n")
    checkpoints.send_checkpoints()
    assert "the file of checkpoints cannot be read" in caplog.text
    assert not receiver.seen


def test_switched_off_nothing_is_sent(receiver, settings):
    settings.CHECKPOINT_URL = ""
    make()
    checkpoints.send_checkpoints()
    assert not receiver.seen
    assert not CheckpointFeed.objects.exists()
    assert judged() == []


def test_lines_of_an_older_version_stay_in_the_file(receiver, settings):
    """What they signed is no note."""
    make(2)
    old = [json.loads(line) for line in settings.CHECKPOINT_FILE.read_text().splitlines()]
    for line in old:
        del line["origin"]
    settings.CHECKPOINT_FILE.write_text("".join(f"{json.dumps(line)}\n" for line in old))
    checkpoints.send_checkpoints()
    assert not receiver.seen
    new = make()
    checkpoints.send_checkpoints()
    assert received(receiver) == new
