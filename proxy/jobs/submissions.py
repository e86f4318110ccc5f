"""Every closed call to a security vendor's API, from the sealed log, at least once.

The log is the queue: a window of it becomes rows (Submission), which go when the receiver takes them, so that a receiver that is away for
a million calls costs a number and WINDOW rows. Whoever claims a row owns it for LEASE; no try outlives that, so no call is on its way
twice at a time. A try that died with its worker is due again when its lease ends, and carries the same Idempotency-Key.
"""

import hmac
import logging
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import orjson
from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models.functions import Now
from urllib3.exceptions import HTTPError

from conversations import database
from conversations.models import Seal, Snapshot
from conversations.record import rebuild
from conversations.shape import Json

from .. import addresses
from ..faults import Code, Fault
from ..models import Submission, SubmissionFeed
from ..providers.base import Sent
from ..upstreams import client, replies
from ..upstreams.connections import shut_socket

KINDS = (Snapshot.Kind.CHAT, Snapshot.Kind.IMAGE)
WINDOW = 500  # calls that have rows while they wait; the others wait in the log
PARALLEL = 4  # on their way at a time, of one worker
MARGIN = 5  # seconds that a lease outlasts the longest try
LONGEST_WISH = 3600.0  # seconds of a Retry-After that are granted
AGAIN = (408, 425, 429)  # of the 4xx: the same may pass later
PROBLEMS: dict[str, str] = {
    Code.UPSTREAM_TIMEOUT: "no connection in time",
    Code.UPSTREAM_TLS: "the receiver could not prove who it is",
    Code.UPSTREAM_UNREACHABLE: "the receiver could not be reached, or hung up",
}
log = logging.getLogger(__name__)


# The worker's part ----------------------------------------------------------------------------------------------


def follow(over: threading.Event) -> None:
    """Deliver until `over`; what is on its way then has its own limit. In a thread of its own: a slow receiver holds nobody else up."""
    if not settings.ENABLE_SUBMISSIONS_API:
        over.wait()
        return
    under_way: set[Future] = set()
    with ThreadPoolExecutor(PARALLEL, "submission") as senders:
        while not over.is_set():
            more, claimed = False, []
            try:
                more, claimed = take_up(), claim(PARALLEL - len(under_way))
            except Error as problem:
                log.warning("submissions wait, the database is away: %s", type(problem).__name__)
                connection.close()
            finally:
                database.release()
            under_way |= {senders.submit(deliver, submission) for submission in claimed}
            if len(under_way) == PARALLEL:
                wait(under_way, 1.0, FIRST_COMPLETED)
            elif not (more or claimed):
                over.wait(0.5)
            under_way = {one for one in under_way if not one.done()}


def once() -> None:
    """Deliver what is due."""
    while settings.ENABLE_SUBMISSIONS_API:
        more, claimed = take_up(), claim(1)
        if not more and not claimed:
            return
        for submission in claimed:
            deliver(submission)


def take_up() -> bool:
    """Make rows of the next seals, while there is room in the window. Whether there may be more of both."""
    if not SubmissionFeed.objects.exists():
        SubmissionFeed.objects.get_or_create(pk=1, defaults={"number": _start()})
    with transaction.atomic():
        feed = SubmissionFeed.objects.select_for_update(skip_locked=True).first()
        room = WINDOW - Submission.objects.waiting()[:WINDOW].count()
        if feed is None or not room:
            return False
        seals = list(Seal.objects.filter(number__gt=feed.number).order_by("number")[:room])
        if not seals:
            return False
        subjects = [seal.subject for seal in seals if seal.kind == "snapshot"]
        closed = Snapshot.objects.filter(
            id__in=subjects, kind__in=KINDS, status__in=statuses(), classic_id=None
        )
        wanted = set(closed.values_list("id", flat=True))
        Submission.objects.bulk_create(
            Submission(number=seal.number, snapshot=seal.subject, sealed=seal.sealed)
            for seal in seals
            if seal.subject in wanted
        )
        feed.number = seals[-1].number
        feed.save(update_fields=["number"])
    return len(seals) == room and len(wanted) < room


def statuses() -> set[str]:
    return {Snapshot.Status.OK, *settings.SUBMISSIONS_STATUSES}


def claim(count: int) -> list[Submission]:
    """Due ones, the oldest of the log first: nobody else has them, and nobody gets them before their lease ends."""
    if not count or SubmissionFeed.objects.filter(resumes__gt=Now()).exists():
        return []
    with transaction.atomic():
        claimed = list(Submission.objects.due().select_for_update(skip_locked=True)[:count])
        Submission.objects.filter(pk__in=[one.pk for one in claimed]).update(
            due=Now() + timedelta(seconds=settings.SUBMISSIONS_TIMEOUT + MARGIN)
        )
    return claimed


def _start() -> int:
    """The seal after which the first switch-on begins: the newest, unless told."""
    return _head() if settings.SUBMISSIONS_FROM is None else settings.SUBMISSIONS_FROM - 1


def _head() -> int:
    return Seal.objects.order_by("-number").values_list("number", flat=True).first() or 0


# For those who watch --------------------------------------------------------------------------------------------


def backlog() -> int:
    """Calls that wait for the receiver, and seals of the log that were not looked at yet. Those given up are not among them."""
    feed = SubmissionFeed.objects.first()
    return Submission.objects.waiting().count() + max(0, _head() - feed.number) if feed else 0


def age() -> timedelta:
    """Since the oldest of the backlog was sealed; none where there is no backlog."""
    oldest = (
        Submission.objects.waiting().order_by("number").values_list("sealed", flat=True).first()
    )
    if oldest is None and (feed := SubmissionFeed.objects.first()):
        oldest = (
            Seal.objects.filter(number__gt=feed.number)
            .order_by("number")
            .values_list("sealed", flat=True)
            .first()
        )
    return max(timedelta(), datetime.now(UTC) - oldest) if oldest else timedelta()


def given_up() -> int:
    return Submission.objects.given_up().count()


# One try --------------------------------------------------------------------------------------------------------


class Try:
    """What the connection tells its socket to: nothing leaves after the end of a try, and nothing is waited for."""

    since = 0.0  # proxy.upstreams.replies notes here when something came

    def __init__(self) -> None:
        self.lock, self.sock = threading.Lock(), None
        self.ends = time.monotonic() + settings.SUBMISSIONS_TIMEOUT
        self.timer = threading.Timer(settings.SUBMISSIONS_TIMEOUT, self.cut)
        self.timer.daemon = True

    def carried_by(self, sock: Any) -> None:
        with self.lock:
            if sock is not None and self.over:
                raise OSError("too late to be sent")
            self.sock = sock

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.ends

    def cut(self) -> None:
        with self.lock:
            if self.sock is not None:
                shut_socket(self.sock)

    def __enter__(self) -> "Try":
        self.timer.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self.timer.cancel()


class Answer(NamedTuple):
    """How a try ended; `problem` is empty where the call was taken."""

    problem: str = ""
    refused: bool = False  # as it is: the same would hardly pass later
    retry_after: float = 0.0
    all_wait: bool = False  # the wish is for every call


def deliver(submission: Submission) -> None:
    """Try once, and note how it ended."""
    try:
        with Try() as attempt:
            snapshot = (
                Snapshot.objects.select_related("owner").filter(id=submission.snapshot).first()
            )
            if snapshot is None:
                log.info(
                    "call %s was erased before the receiver of submissions took it",
                    submission.snapshot,
                )
                submission.delete()
                return
            answer = _post(submission, snapshot, attempt)
        if not answer.problem:
            submission.mark_taken()
            return
        given_up = submission.mark_failed(
            answer.problem, refused=answer.refused, retry_after=answer.retry_after
        )
        if given_up or submission.tries == 1:
            log.warning(
                "submission of call %s %s: %s",
                submission.snapshot,
                "is given up" if given_up else "waits",
                answer.problem,
            )
        if answer.all_wait:
            SubmissionFeed.objects.update(resumes=Now() + timedelta(seconds=answer.retry_after))
    except Error as problem:
        log.warning(
            "call %s is submitted again, the database is away: %s",
            submission.snapshot,
            type(problem).__name__,
        )
        connection.close()
    finally:
        database.release()


def _post(submission: Submission, snapshot: Snapshot, attempt: Try) -> Answer:
    if addresses.find_objection(settings.SUBMISSIONS_API_URL):
        return Answer(
            "SUBMISSIONS_API_URL is an address that calls may not be sent to", refused=True
        )
    try:
        body = orjson.dumps(fields(snapshot, submission.sealed))
        database.release()
        sent = Sent(settings.SUBMISSIONS_API_URL, headers(snapshot, body, int(time.time())), body)
        reply = client.post(sent, exchange=attempt)
    except Fault as fault:
        return Answer(
            "no answer in time" if attempt.over else PROBLEMS.get(fault.code or "", "failed")
        )
    except Error:
        raise
    except Exception:
        log.exception("call %s could not be made a submission", snapshot.id)
        return Answer(
            "the call could not be read back from the record, or not be written as a request",
            refused=True,
        )
    if attempt.over:  # cut inside the headers, which ends them for whoever reads them
        reply.close()
        return Answer("no answer in time")
    _drain(reply, attempt)
    return verdict(reply.status_code, reply.headers.get("retry-after", ""))


def _drain(reply: Any, attempt: Try) -> None:
    """The status is the answer; its body is read only so that the connection can be used again."""
    try:
        replies.read_body(reply, 65536, attempt)
        reply.raw.release_conn()
    except (Fault, HTTPError, OSError):
        reply.close()


def verdict(status: int, retry_after: str) -> Answer:
    if 200 <= status < 300:
        return Answer()
    wish = seconds(retry_after) if status in (429, 503) else 0.0
    problem = f"the receiver answered {status}" + (
        ", a redirect: those are not followed" if 300 <= status < 400 else ""
    )
    return Answer(
        problem, 300 <= status < 500 and status not in AGAIN, wish, status == 429 and wish > 0
    )


def seconds(retry_after: str) -> float:
    """Of a Retry-After header in either of its forms."""
    try:
        wish = (
            float(retry_after)
            if retry_after.isdecimal()
            else parsedate_to_datetime(retry_after).timestamp() - time.time()
        )
    except (ValueError, OverflowError):
        return 0.0
    return min(max(wish, 0.0), LONGEST_WISH)


# What is sent ---------------------------------------------------------------------------------------------------


def fields(snapshot: Snapshot, sealed: datetime) -> Json:
    """The classic gateway's, the same at every try."""
    return {
        "raw_request": rebuild.rebuild_request(snapshot),
        "raw_response": rebuild.rebuild_response(snapshot),
        "associated_users": _known(snapshot.owner.get_username(), snapshot.end_user),
        "time_submitted": _clock(snapshot.opened),
        "time_logged": _clock(sealed),
        "response_timestamp": _clock(snapshot.closed or sealed),
        "llm_model": snapshot.model,
        "llm_provider": snapshot.upstream,
        "associated_devices": _known(snapshot.address),
        "associated_software": _known(snapshot.user_agent),
        "api_token_id": snapshot.key,
    }


def headers(snapshot: Snapshot, body: bytes, now: int) -> dict[str, str]:
    ours = {
        "Accept-Encoding": "identity",
        "User-Agent": "llm-gateway",
        "Content-Type": "application/json",
        "Idempotency-Key": str(snapshot.id),
    }
    if settings.SUBMISSIONS_API_AUTHORIZATION:
        ours["Authorization"] = settings.SUBMISSIONS_API_AUTHORIZATION
    if settings.SUBMISSIONS_HMAC_SECRET:
        ours["X-Signature-Timestamp"] = str(now)
        ours["X-Signature"] = (
            "sha256="
            + hmac.new(
                settings.SUBMISSIONS_HMAC_SECRET.encode(), b"%d." % now + body, "sha256"
            ).hexdigest()
        )
    return ours


def _known(*names: str | None) -> list[str]:
    return [name for name in names if name]


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
