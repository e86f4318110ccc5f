"""Each checkpoint to CHECKPOINT_URL, as a C2SP signed note, in order and at least once.

This machine's file is the queue, and what the receiver took last is in the database: where that is
set back the receiver gets some again, and it is the receiver who keeps what it has.
"""

import hashlib
import logging
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from conversations import database
from conversations.ledger import Checkpoint
from conversations.proof import checkpoints

from ..models import CheckpointFeed
from . import posting
from .posting import Answer, Try

TIMEOUT = 10.0  # seconds of one try
log = logging.getLogger(__name__)


def send_checkpoints(is_over: Callable[[], bool] = lambda: False) -> None:
    """Send those that the receiver has not taken, until one fails. One process at a time."""
    if not settings.CHECKPOINT_URL:
        return
    try:
        feed = CheckpointFeed.objects.first() or begin_feed()
        if feed is None or (feed.resumes and feed.resumes > timezone.now()):
            return
        for checkpoint in checkpoints.read_newer(feed.number):
            if is_over() or not _send(feed, checkpoint):
                return
    except FileNotFoundError:
        return  # no checkpoint yet
    except (OSError, ValueError, TypeError) as problem:
        log.error("the file of checkpoints cannot be read: %s", type(problem).__name__)
    finally:
        database.release()


def begin_feed() -> CheckpointFeed | None:
    """Begin with the newest checkpoint, which confirms all before it. Raises OSError."""
    known = checkpoints.read_newer(0)
    if not known:
        return None
    return CheckpointFeed.objects.create(pk=1, number=known[-1].number - 1)


def _send(feed: CheckpointFeed, checkpoint: Checkpoint) -> bool:
    """Send one and note how it ended; tell whether it is with the receiver."""
    if not checkpoint.origin:  # of an older version: what it signed is no note
        return True
    body = checkpoint.note.encode()
    database.release()
    with Try(TIMEOUT) as attempt:
        answer = posting.post("CHECKPOINT_URL", make_headers(body), body, attempt)
    if not answer.problem:
        feed.mark_taken(checkpoint.number)
        return True
    _note_failure(feed, answer)
    return False


def _note_failure(feed: CheckpointFeed, answer: Answer) -> None:
    if answer.problem != feed.problem:
        log.warning("checkpoints wait for their receiver: %s", answer.problem)
    feed.mark_failed(answer.problem, answer.retry_after)


def make_headers(body: bytes) -> dict[str, str]:
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Idempotency-Key": hashlib.sha256(body).hexdigest(),
    }
    if settings.CHECKPOINT_AUTHORIZATION:
        headers["Authorization"] = settings.CHECKPOINT_AUTHORIZATION
    return headers


def measure_delay() -> timedelta:
    """Return since when the receiver takes none; zero while it does."""
    feed = CheckpointFeed.objects.first()
    return feed.measure_delay(timezone.now()) if feed else timedelta()
