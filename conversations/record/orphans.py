"""Pending calls that no process has open.

Those of a dead process are closed as interrupted, with what was saved of the answer; those whose
opening committed unheard, as failed: nothing of them was sent.

Every process sweeps as it starts, so no call may hold a sweep up: one whose answer cannot be kept
is closed without it.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import psutil
from django.db import InterfaceError, OperationalError
from django.db.models import DurationField, Exists, ExpressionWrapper, F, OuterRef, Q
from django.db.models.functions import Now

from ..database import RowsBusy, refuse_if_away
from ..models import Process, Snapshot
from ..shape import Json
from . import processes, threads, words
from .calls import Call, Outcome, estimate_tokens
from .growth import read_replies
from .paths import read_path
from .place import read_thread_key
from .processes import beat
from .writes import close

BringIn = Callable[[UUID], None]  # saves what this machine knows of a call's answer
log = logging.getLogger(__name__)


def register(bring_in: BringIn) -> None:
    """Register this process as one that opens calls, and close what dead ones left behind."""
    beat()
    close_orphans(bring_in)


def close_orphans(bring_in: BringIn = lambda call: None) -> int:
    """Close the calls of dead processes, and return how many that were.

    A process that was only slow may close its call later: it finds nothing pending.
    """
    host = processes.find_host()
    running = Process.objects.annotate(
        silent=ExpressionWrapper(Now() - F("seen"), output_field=DurationField())
    )
    dead = [
        process.id
        for process in running
        if process.silent > processes.SILENT or (process.host == host and not _runs(process.pid))
    ]
    Process.objects.filter(id__in=dead).delete()
    orphans = Snapshot.objects.filter(status=Snapshot.Status.PENDING).filter(
        Q(process__isnull=False) & ~Exists(Process.objects.filter(id=OuterRef("process")))
        | Q(process=None, opened__lt=Now() - timedelta(hours=1))
    )

    def close_one(snapshot: Snapshot) -> bool:
        try:
            bring_in(snapshot.id)
            return interrupt(snapshot, read_replies(snapshot.id))
        except (InterfaceError, OperationalError):
            raise
        except Exception:
            log.exception("the answer of snapshot %s could not be kept", snapshot.id)
            return interrupt(snapshot, [])

    return _close_each(orphans.order_by("id")[:1000], close_one)


def close_unheard() -> int:
    """Close this process's pending calls that it does not hold, and return how many those were.

    The database had committed their opening when the connection was lost, so the caller was told
    that the call did not pass. They are read before what is held: one that is opened or closed
    meanwhile is held, or no longer pending.
    """
    this = processes.CURRENT
    pending = Snapshot.objects.filter(
        status=Snapshot.Status.PENDING, process=this.id or UUID(int=0)
    )
    unheard = [snapshot for snapshot in list(pending) if snapshot.id not in this.held]
    outcome = Outcome(
        status=Snapshot.Status.FAILED,
        error_code="record_not_writable",
        error="The connection to the record was lost when this call was opened. It was not sent.",
    )
    return _close_each(
        unheard, lambda snapshot: close(resume(snapshot), replace(outcome), in_passing=True)
    )


def _close_each(snapshots: Iterable[Snapshot], close_one: Callable[[Snapshot], bool]) -> int:
    """Count those that were closed. Where rows of an account stay locked, its others wait too.

    One that the database refuses although it is well is passed over: the next sweep finds it.
    """
    count, busy = 0, set[int]()
    for snapshot in snapshots:
        if snapshot.owner_id not in busy:
            try:
                count += close_one(snapshot)
            except RowsBusy:  # the next sweep finds them
                busy.add(snapshot.owner_id)
            except Exception as problem:
                refuse_if_away()
                log.error("snapshot %s cannot be closed", snapshot.id, exc_info=problem)
    return count


def interrupt(snapshot: Snapshot, replies: list[Json]) -> bool:
    """Close a pending call with the answer so far. False where it was closed meanwhile."""
    turns = read_path(snapshot.head_id)
    call = resume(snapshot)
    call.head_words = next(reversed(words.hash_words(call.thread_key, turns)), None)
    messages = read_path(snapshot.preamble_id) + turns
    outcome = Outcome(
        status=Snapshot.Status.INTERRUPTED,
        replies=replies,
        response=_as_completion(replies),
        prompt_tokens=estimate_tokens("".join(map(threads.extract_text, messages))),
        completion_tokens=sum(
            estimate_tokens(threads.extract_searchable_text(reply)) for reply in replies
        ),
        estimated=True,
        error_code="gateway_stopped",
        error="The gateway stopped while the answer was on its way.",
    )
    return close(call, outcome, in_passing=True)


def _as_completion(replies: list[Json]) -> Json | None:
    """Hold what the rows of replies leave out, such as reasoning."""
    choices = [
        {"index": n, "message": reply, "finish_reason": None} for n, reply in enumerate(replies)
    ]
    return {"choices": choices} if choices else None


def resume(snapshot: Snapshot) -> Call:
    """Make the call of a pending snapshot again, fit to be closed."""
    call = Call(
        snapshot.id,
        snapshot.conversation_id,
        snapshot.owner_id,
        snapshot.model,
        snapshot.kind,
        snapshot.opened,
        read_thread_key(snapshot.owner_id, snapshot.end_user),
    )
    if snapshot.head:
        call.head, call.head_hash = snapshot.head.id, bytes(snapshot.head.path_hash)
        call.head_depth = snapshot.head.depth
    return call


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
