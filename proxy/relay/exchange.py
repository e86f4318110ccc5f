"""One open call, while it is open: what its thread, the watcher and its connection know of it.

Any thread may cut it; only its own closes it, once. `process` holds all that are open in this
process, and what else no other process sees.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import Error, InterfaceError, OperationalError

from conversations import database, record
from conversations.models import Snapshot
from conversations.record import Call, CallRequest, Outcome
from conversations.shape import Json

from .. import faults, outcome
from ..faults import Code, Fault
from ..limits.slots import make_own_slots
from ..upstreams import gate
from ..upstreams.connections import shut_socket
from ..upstreams.routing import Patience, Route, Way
from . import metrics
from .causes import ENDINGS, Cause
from .journal import Journal

log = logging.getLogger(__name__)
LONGEST_WAIT = 600.0  # seconds between two tries to close a call that the database refuses


@dataclass
class Unclosed:
    """A call that ended while the database would not take its end: its row is pending."""

    call: Call
    ended: Outcome
    tries: int = 0  # that failed though the database was well
    due: float = 0.0  # when the next one is, by time.monotonic

    def put_off(self) -> float:
        """Have it wait, longer each time. Return for how many seconds."""
        wait = min(2.0**self.tries, LONGEST_WAIT)
        self.tries, self.due = self.tries + 1, time.monotonic() + wait
        return wait


class ProcessMemory:
    """What this process holds in memory. Each process has its own, and it ends with it."""

    def __init__(self) -> None:
        self.slots = make_own_slots()  # gunicorn's processes share theirs
        self.exchanges: dict[UUID, Exchange] = {}  # all that are open
        self.unclosed: dict[UUID, Unclosed] = {}
        self.journal = Journal()
        self.gates = gate.gates  # by the upstream's name in the record


process = ProcessMemory()


@dataclass(frozen=True)
class CallerLink:
    """What ties a call to its caller."""

    socket: Any = None  # that the caller may hang up; None where nothing looks
    cancellable: bool = False  # hanging up ends the call
    stoppable: bool = False  # a person may press Stop
    # The caller's own, for the upstream: an Authorization header that is sent, and written nowhere.
    token: str = field(default="", repr=False)


NO_LINK = CallerLink()


class Exchange:
    """A call that has a slot and a pending row."""

    def __init__(self, request: CallRequest, call: Call, way: Way, caller: CallerLink) -> None:
        self.request, self.call = request, call
        self.way, self.caller = way, caller
        self.streams = False  # its answer is passed on as it arrives
        self.route = way.routes[0]  # where it is, or was last
        self.placed: Route | None = None  # where it takes a place
        self.tries: list[Json] = []  # those that failed, and what came after one
        self.lock = threading.Lock()
        self.sock: Any = None
        self.cause: Cause | None = None
        self.closed = self.writing = False
        self.began = self.since = time.monotonic()
        self.first_byte: datetime | None = None
        self.request_id = ""
        process.exchanges[call.id] = self

    @property
    def token(self) -> str:
        return self.caller.token

    @property
    def patience(self) -> Patience:
        return self.route.patience

    def enter(self, route: Route) -> bool:
        """Take a place there. False, having waited, if all are taken."""
        self.leave()
        self.route, self.first_byte = route, None
        self.request_id = ""
        if route.gate.take(route.most_open):
            self.placed = route
        self.since = time.monotonic()
        return self.placed is not None

    def leave(self) -> None:
        if placed := self.placed:
            self.placed = None
            placed.gate.give_back()

    def note_try(self, route: Route, started: datetime, fault: Fault | None = None) -> None:
        """Keep how a try went. A call whose first try went well keeps none."""
        if fault or self.tries:
            took = datetime.now(UTC) - started
            answered = {
                "upstream": route.upstream,
                "model": route.target.model or self.request.model,
                "started": started.isoformat(timespec="milliseconds"),
                "ms": round(took.total_seconds() * 1000),
                "status": (fault.answered or None) if fault else 200,
                "error": (fault.code or "") if fault else "",
            }
            self.tries.append(answered | {"request_id": self.request_id})

    def read_outcome(
        self, answer: Json | None, status: str, pictures: list[Json] | None = None
    ) -> Outcome:
        return outcome.read_outcome(self.request, answer, status, pictures, self.route.rates)

    def cut(self, cause: Cause) -> None:
        """End it from another thread. The first cause counts; a closed call ignores it."""
        with self.lock:
            if not self.closed and not self.cause:
                self.cause = cause
                if self.sock is not None:
                    shut_socket(self.sock)

    def carried_by(self, sock: Any) -> None:
        """From the connection: the socket in use, None once it is given back."""
        with self.lock:
            if self.cause and sock is not None:
                raise OSError("cut before it was sent")
            self.sock = sock

    def close(self, ended: Outcome, fault: Fault | None = None) -> Fault | None:
        """Write the outcome, once. Return what the caller has to be told.

        That is `fault`, or a worse one: the record says otherwise, or cannot be written.
        """
        with self.lock:
            if self.closed:
                return fault
            self.closed, self.sock = True, None
        self.leave()
        if fault:
            ended.error_code, ended.error = fault.code or "", fault.text
        ended.first_byte, ended.upstream_request_id = self.first_byte, self.request_id
        ended.upstream, ended.attempts = self.route.target.label, self.tries
        try:
            told = settle(self.call, ended) or fault
            process.journal.end(self.call.id)
            return told
        except Error:
            log.exception("snapshot %s could not be closed", self.call.id)
            unwritten = faults.end_not_recorded()
            ended.status = Snapshot.Status.FAILED
            ended.error_code, ended.error = Code.RECORD_NOT_WRITABLE, unwritten.text
            process.unclosed[self.call.id] = Unclosed(self.call, ended)
            return unwritten
        except BaseException:
            record.let_go(self.call)
            raise
        finally:
            # Not before: a slow close has its thread, so it is open.
            process.exchanges.pop(self.call.id, None)
            process.slots.give(self.request.owner)
            database.release()
            took = time.monotonic() - self.began
            metrics.count_close(self.call, ended, self.route.upstream, fault, took)

    def fail(self, fault: Fault, answer: Json | None = None) -> Fault:
        """Close as failed, cancelled or interrupted, with what came so far.

        Return what the caller has to be told: what cut it comes before what the cut looked like.
        """
        status = Snapshot.Status.FAILED
        if self.cause:
            status, make_fault = ENDINGS[self.cause]
            fault = make_fault()
        return self.close(self.read_outcome(answer, status), fault) or fault


def settle(call: Call, ended: Outcome) -> Fault | None:
    """Write the outcome, once more after a lost connection. Return what the caller has to be told.

    The first write may have been committed unheard. Then the second finds that it stands as it
    was meant to, and the caller is told nothing else. Raises Error while the database is away.
    """
    try:
        return write_outcome(call, ended)
    except database.RowsBusy:
        raise  # the connection is well
    except (InterfaceError, OperationalError) as problem:
        log.warning("snapshot %s is closed once more: %s", call.id, type(problem).__name__)
        database.renew()
        return write_outcome(call, ended)


def write_outcome(call: Call, ended: Outcome, *, in_passing: bool = False) -> Fault | None:
    """Close the call's row. Return what the caller has to be told where that went otherwise.

    Where an answer cannot be kept (a full disk for its files, nesting without end), the call is
    closed without it, and `ended` says so. Raises Error only while the database is away, or rows
    stay locked.
    """
    try:
        is_ours = record.close(call, ended, in_passing=in_passing) or record.is_closed_by(
            call, ended
        )
        return None if is_ours else faults.call_lost()
    except (InterfaceError, OperationalError):
        raise
    except Exception:
        log.exception("the answer of snapshot %s could not be kept", call.id)
        lost = faults.answer_not_kept()
        ended.status = Snapshot.Status.FAILED
        ended.error_code, ended.error = Code.ANSWER_NOT_KEPT, lost.text
        ended.replies, ended.response = [], None
        ended.cost = None
        record.close(call, ended, in_passing=in_passing)
        return lost
