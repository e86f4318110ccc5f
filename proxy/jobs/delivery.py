"""One try to deliver a call to the receiver of submissions: what is sent, and how it ended.

Nothing leaves after SUBMISSIONS_TIMEOUT, and a second try of a call has the same Idempotency-Key.
"""

import hmac
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import Error, connection
from django.db.models.functions import Now
from urllib3.exceptions import HTTPError

from conversations import database, exact_json
from conversations.models import Snapshot
from conversations.record import rebuild
from conversations.shape import Json

from .. import addresses
from ..faults import Code, Fault
from ..models import Submission, SubmissionFeed
from ..providers.base import Sent
from ..upstreams import client, replies
from ..upstreams.connections import shut_socket

LONGEST_WAIT = 3600.0  # seconds of a Retry-After that are granted
AGAIN = (408, 425, 429)  # of the 4xx: the same may pass later
PROBLEMS: dict[str, str] = {
    Code.UPSTREAM_TIMEOUT: "no connection in time",
    Code.UPSTREAM_TLS: "the receiver could not prove who it is",
    Code.UPSTREAM_UNREACHABLE: "the receiver could not be reached, or hung up",
}
log = logging.getLogger(__name__)


class Try:
    """An OpenCall with an end, after which nothing leaves and nothing is waited for."""

    since = 0.0

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
    """The end of a try; `problem` is empty where the call was taken."""

    problem: str = ""
    refused: bool = False  # as it is: the same would hardly pass later
    retry_after: float = 0.0
    all_wait: bool = False  # retry_after is meant for every call


def deliver(submission: Submission) -> None:
    """Try once, and note how it ended."""
    try:
        with Try() as attempt:
            calls = Snapshot.objects.select_related("owner")
            snapshot = calls.filter(id=submission.snapshot).first()
            if snapshot is None:
                log.info(
                    "call %s was erased before the receiver of submissions took it",
                    submission.snapshot,
                )
                submission.delete()
                return
            answer = _post(submission, snapshot, attempt)
        if answer.problem:
            _note_failure(submission, answer)
        else:
            submission.mark_taken()
    except Error as problem:
        log.warning(
            "call %s is submitted again, the database is away: %s",
            submission.snapshot,
            type(problem).__name__,
        )
        connection.close()
    finally:
        database.release()


def _note_failure(submission: Submission, answer: Answer) -> None:
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


def _post(submission: Submission, snapshot: Snapshot, attempt: Try) -> Answer:
    if addresses.find_objection(settings.SUBMISSIONS_API_URL):
        return Answer(
            "SUBMISSIONS_API_URL is an address that calls may not be sent to", refused=True
        )
    try:
        body = exact_json.dumps(make_body(snapshot, submission.sealed))
        database.release()
        headers = make_headers(snapshot, body, int(time.time()))
        sent = Sent(settings.SUBMISSIONS_API_URL, headers, body)
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
    if attempt.over:  # cut inside the headers, whose reader takes that for their end
        reply.close()
        return Answer("no answer in time")
    _drain(reply, attempt)
    return read_answer(reply.status_code, reply.headers.get("retry-after", ""))


def _drain(reply: Any, attempt: Try) -> None:
    """Read the body, only so that the connection can be used again: the status is the answer."""
    try:
        replies.read_body(reply, 65536, attempt)
        reply.raw.release_conn()
    except (Fault, HTTPError, OSError):
        reply.close()


def read_answer(status: int, retry_after: str) -> Answer:
    if 200 <= status < 300:
        return Answer()
    problem = f"the receiver answered {status}"
    if 300 <= status < 400:
        problem += ", a redirect: those are not followed"
    wait = read_seconds(retry_after) if status in (429, 503) else 0.0
    return Answer(
        problem,
        refused=300 <= status < 500 and status not in AGAIN,
        retry_after=wait,
        all_wait=status == 429 and wait > 0,
    )


def read_seconds(retry_after: str) -> float:
    """Read a Retry-After header in either of its forms."""
    try:
        wait = float(retry_after) if retry_after.isdecimal() else _seconds_until(retry_after)
    except (ValueError, OverflowError):
        return 0.0
    return min(max(wait, 0.0), LONGEST_WAIT)


def _seconds_until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()


# What is sent -----------------------------------------------------------------------------------


def make_body(snapshot: Snapshot, sealed: datetime) -> Json:
    """Make the classic gateway's fields, the same at every try."""
    return {
        "raw_request": rebuild.rebuild_request(snapshot),
        "raw_response": rebuild.rebuild_response(snapshot),
        "associated_users": _without_empty(snapshot.owner.get_username(), snapshot.end_user),
        "time_submitted": _format_time(snapshot.opened),
        "time_logged": _format_time(sealed),
        "response_timestamp": _format_time(snapshot.closed or sealed),
        "llm_model": snapshot.model,
        "llm_provider": snapshot.upstream,
        "associated_devices": _without_empty(snapshot.address),
        "associated_software": _without_empty(snapshot.user_agent),
        "api_token_id": snapshot.key,
    }


def make_headers(snapshot: Snapshot, body: bytes, now: int) -> dict[str, str]:
    headers = {
        "Accept-Encoding": "identity",
        "User-Agent": "llm-gateway",
        "Content-Type": "application/json",
        "Idempotency-Key": str(snapshot.id),
    }
    if settings.SUBMISSIONS_API_AUTHORIZATION:
        headers["Authorization"] = settings.SUBMISSIONS_API_AUTHORIZATION
    if settings.SUBMISSIONS_HMAC_SECRET:
        secret = settings.SUBMISSIONS_HMAC_SECRET.encode()
        signature = hmac.digest(secret, b"%d." % now + body, "sha256").hex()
        headers["X-Signature-Timestamp"] = str(now)
        headers["X-Signature"] = f"sha256={signature}"
    return headers


def _without_empty(*names: str | None) -> list[str]:
    return [name for name in names if name]


def _format_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
