"""Every closed call to a security vendor's API, from the sealed log, at least once.

The log is the queue: a window of it becomes rows (Submission), which go when the receiver takes
them, so that a receiver that is away for a million calls costs a number and WINDOW rows. A worker
that claims a row owns it for LEASE; no try outlives that, so no call is on its way twice at a time.
A try that died with its worker is due again when its lease ends.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models.functions import Now

from conversations import database
from conversations.models import Seal, Snapshot

from ..models import Submission, SubmissionFeed
from .delivery import deliver

KINDS = (Snapshot.Kind.CHAT, Snapshot.Kind.IMAGE)
WINDOW = 500  # calls that have rows while they wait; the others wait in the log
PARALLEL = 4  # on their way at a time, of one worker
MARGIN = 5  # seconds that a lease outlasts the longest try
log = logging.getLogger(__name__)


# The worker's part ------------------------------------------------------------------------------


def follow(over: threading.Event, turn: Callable[[], None]) -> None:
    """Deliver until `over`; what is on its way then has its own limit. `turn` hears each round.

    In a thread of its own: a slow receiver holds up neither calls nor seals.
    """
    if not settings.ENABLE_SUBMISSIONS_API:
        while not over.wait(1.0):
            turn()
        return
    under_way: set[Future] = set()
    with ThreadPoolExecutor(PARALLEL, "submission") as senders:
        while not over.is_set():
            turn()
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
            under_way = {future for future in under_way if not future.done()}


def deliver_due() -> None:
    """Deliver what is due, one after the other."""
    while settings.ENABLE_SUBMISSIONS_API:
        more, claimed = take_up(), claim(1)
        if not more and not claimed:
            return
        for submission in claimed:
            deliver(submission)


def take_up() -> bool:
    """Make rows of the next seals, while there is room in the window.

    True where there may be more of both.
    """
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
        wanted = _wanted(seals)
        Submission.objects.bulk_create(
            Submission(number=seal.number, snapshot=seal.subject, sealed=seal.sealed)
            for seal in seals
            if seal.subject in wanted
        )
        feed.number = seals[-1].number
        feed.save(update_fields=["number"])
    return len(seals) == room and len(wanted) < room


def _wanted(seals: list[Seal]) -> set[UUID]:
    """Return the calls among them that the receiver gets."""
    closed = Snapshot.objects.filter(
        id__in=[seal.subject for seal in seals if seal.kind == "snapshot"],
        kind__in=KINDS,
        status__in={Snapshot.Status.OK, *settings.SUBMISSIONS_STATUSES},
        classic_id=None,
    )
    return set(closed.values_list("id", flat=True))


def claim(count: int) -> list[Submission]:
    """Take due ones, the oldest of the log first: no other worker gets them before LEASE ends."""
    if not count or SubmissionFeed.objects.filter(resumes__gt=Now()).exists():
        return []
    with transaction.atomic():
        claimed = list(Submission.objects.due().select_for_update(skip_locked=True)[:count])
        lease = timedelta(seconds=settings.SUBMISSIONS_TIMEOUT + MARGIN)
        keys = [submission.pk for submission in claimed]
        Submission.objects.filter(pk__in=keys).update(due=Now() + lease)
    return claimed


def _start() -> int:
    """Return the seal after which the first switch-on begins: the newest, unless set."""
    return _head() if settings.SUBMISSIONS_FROM is None else settings.SUBMISSIONS_FROM - 1


def _head() -> int:
    return Seal.objects.order_by("-number").values_list("number", flat=True).first() or 0


# What is watched ---------------------------------------------------------------------------------


def count_backlog() -> int:
    """Count the calls that wait, and the seals not looked at yet; not those given up."""
    feed = SubmissionFeed.objects.first()
    return Submission.objects.waiting().count() + max(0, _head() - feed.number) if feed else 0


def measure_age() -> timedelta:
    """Return the time since the oldest of the backlog was sealed; zero without a backlog."""
    waiting = Submission.objects.waiting().order_by("number")
    oldest = waiting.values_list("sealed", flat=True).first()
    if oldest is None and (feed := SubmissionFeed.objects.first()):
        ahead = Seal.objects.filter(number__gt=feed.number).order_by("number")
        oldest = ahead.values_list("sealed", flat=True).first()
    return max(timedelta(), datetime.now(UTC) - oldest) if oldest else timedelta()


def count_given_up() -> int:
    return Submission.objects.given_up().count()
