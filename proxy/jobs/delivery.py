"""One try to deliver a call to the receiver of submissions: what is sent, and how it ended.

Nothing leaves after SUBMISSIONS_TIMEOUT, and a second try of a call has the same Idempotency-Key.
"""

import logging
import time
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import Error, connection
from django.db.models.functions import Now

from conversations import database, exact_json
from conversations.models import Snapshot
from conversations.record import rebuild
from conversations.shape import Json

from ..models import Submission, SubmissionFeed
from . import posting
from .posting import Answer, Try

log = logging.getLogger(__name__)


def deliver(submission: Submission) -> None:
    """Try once, and note how it ended."""
    try:
        with Try(settings.SUBMISSIONS_TIMEOUT) as attempt:
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
    try:
        body = exact_json.dumps(make_body(snapshot, submission.sealed))
        database.release()
        headers = make_headers(snapshot, body, int(time.time()))
        return posting.post("SUBMISSIONS_API_URL", headers, body, attempt)
    except Error:
        raise
    except Exception:
        log.exception("call %s could not be made a submission", snapshot.id)
        return Answer(
            "the call could not be read back from the record, or not be written as a request",
            refused=True,
        )


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
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(snapshot.id)}
    if settings.SUBMISSIONS_API_AUTHORIZATION:
        headers["Authorization"] = settings.SUBMISSIONS_API_AUTHORIZATION
    if settings.SUBMISSIONS_HMAC_SECRET:
        headers |= posting.sign_body(settings.SUBMISSIONS_HMAC_SECRET, body, now)
    return headers


def _without_empty(*names: str | None) -> list[str]:
    return [name for name in names if name]


def _format_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
