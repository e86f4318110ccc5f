"""One open call, as long as it is open: what its thread, the watcher, the upstream's connection and the record know of it.

Anybody may cut it; only its own thread closes it, once. `exchanges` holds all that are open in this process.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from enum import StrEnum, auto
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError

from conversations import database, record
from conversations.models import Snapshot
from conversations.record import CallRequest, Outcome
from conversations.shape import Json

from .. import faults, outcome
from ..faults import Code, Fault
from ..upstreams.client import shut_socket
from ..upstreams.routing import Patience, Route, Way
from . import metrics


class Cause(StrEnum):
    """What cut a call."""

    GONE = auto()  # the caller hung up
    STOPPED = auto()  # a person pressed Stop
    SILENT = auto()  # nothing came for too long
    TOO_LONG = auto()
    INTERRUPTED = auto()  # this process ends


ENDINGS = {  # cause → the status that the record gets, and the caller's error
    Cause.GONE: (Snapshot.Status.CANCELLED, faults.client_gone),
    Cause.STOPPED: (Snapshot.Status.CANCELLED, faults.stopped),
    Cause.SILENT: (Snapshot.Status.FAILED, faults.silent),
    Cause.TOO_LONG: (Snapshot.Status.FAILED, faults.too_long),
    Cause.INTERRUPTED: (Snapshot.Status.INTERRUPTED, faults.gateway_stopped),
}
log = logging.getLogger(__name__)

exchanges: dict[UUID, Exchange] = {}  # all that are open in this process
unclosed: dict[
    UUID, tuple[record.Call, record.Outcome]
] = {}  # ended while the database was away; their rows are pending


class Slots:
    """How many calls this process holds open: threads beyond that are kept for pages and health."""

    def __init__(self) -> None:
        self.lock, self.taken = threading.Lock(), 0

    def take(self) -> None:
        with self.lock:
            if self.taken >= settings.OPEN_CALLS:
                raise faults.overloaded()
            self.taken += 1

    def give(self) -> None:
        with self.lock:
            self.taken -= 1


slots = Slots()


class Exchange:
    """An open call: what the watcher, the upstream's connection and the record know of it."""

    def __init__(
        self,
        asked: CallRequest,
        call: record.Call,
        way: Way,
        client: Any,
        *,
        cancellable: bool,
        stoppable: bool,
        token: str = "",
    ):
        self.asked, self.call, self.way, self.client = asked, call, way, client
        self.route = way.routes[0]  # where it is, or was last
        self.placed: Route | None = None  # where it takes a place
        self.tries: list[Json] = []  # those that failed, and what came after one
        self.token = token  # the asker's own, for the upstream: an Authorization header that is sent, and written nowhere
        self.cancellable = cancellable  # the caller's hanging up ends it
        self.stoppable = stoppable  # somebody may press Stop
        self.lock = threading.Lock()
        self.sock: Any = None
        self.cause: Cause | None = None
        self.closed = self.writing = False
        self.began = self.since = time.monotonic()
        self.first_byte: datetime | None = None
        self.request_id = ""
        exchanges[call.id] = self

    @property
    def streams(self) -> bool:
        return bool(self.asked.body.get("stream"))

    @property
    def patience(self) -> Patience:
        return self.route.patience

    def goes_to(self, route: Route) -> bool:
        """False, having waited, if all places there are taken."""
        self.leave()
        self.route, self.first_byte, self.request_id = route, None, ""
        if route.gate.take(route.most_open):
            self.placed = route
        self.since = time.monotonic()
        return self.placed is not None

    def leave(self) -> None:
        if placed := self.placed:
            self.placed = None
            placed.gate.give()

    def tried(self, route: Route, started: datetime, fault: Fault | None = None) -> None:
        """How a try went. A call whose first try went well keeps none."""
        if fault or self.tries:
            took = round((datetime.now(UTC) - started).total_seconds() * 1000)
            status, error = (fault.answered or None, fault.code or "") if fault else (200, "")
            told = {
                "upstream": route.upstream,
                "started": started.isoformat(timespec="milliseconds"),
                "ms": took,
                "status": status,
                "error": error,
            }
            self.tries.append(told | {"request_id": self.request_id})

    def amounts_to(
        self, answer: Json | None, status: str, pictures: list[Json] | None = None
    ) -> Outcome:
        return outcome.read_outcome(self.asked, answer, status, pictures, self.route.rates)

    def cut(self, cause: Cause) -> None:
        """From the watcher, or from Stop. The first cause counts; a call that has ended ignores it."""
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

    def discreet(self, fault: Fault) -> Fault:
        """Without the asker's token: an upstream may repeat what it was sent."""
        if self.token:
            return fault.without_secret(self.token.rpartition(" ")[2])
        return fault

    def fault(self, otherwise: Fault) -> Fault:
        """Why it ended: what cut it comes before what the cut looked like."""
        if not self.cause:
            return otherwise
        return ENDINGS[self.cause][1]()

    def close(self, ended: Outcome, fault: Fault | None = None) -> None:
        """Write the outcome. Raises Fault if the record says otherwise, or cannot be written; once, then never again."""
        with self.lock:
            if self.closed:
                return
            self.closed, self.sock = True, None
        exchanges.pop(self.call.id, None)
        slots.give()
        self.leave()
        if fault:
            ended.error_code, ended.error = fault.code or "", fault.text
        ended.first_byte, ended.upstream_request_id = self.first_byte, self.request_id
        ended.upstream, ended.attempts = self.route.target.label, self.tries
        try:
            written = record_outcome(self.call, ended)
        except Error:
            log.exception("snapshot %s could not be closed", self.call.id)
            unwritten = faults.record_not_writable()
            ended.status = Snapshot.Status.FAILED
            ended.error_code, ended.error = Code.RECORD_NOT_WRITABLE, unwritten.text
            unclosed[self.call.id] = (self.call, ended)
            raise unwritten from None
        finally:
            database.release()
            metrics.closed(
                self.call, ended, self.route.upstream, fault, time.monotonic() - self.began
            )
        if ended.error_code == Code.ANSWER_NOT_KEPT:
            raise faults.answer_not_kept()
        if not written:
            raise faults.call_lost()

    def fail(self, fault: Fault, answer: Json | None = None) -> Fault:
        """Close as failed, cancelled or interrupted, with what came so far. The fault that the caller is told."""
        fault = self.discreet(self.fault(fault))
        status = ENDINGS[self.cause][0] if self.cause else Snapshot.Status.FAILED
        try:
            self.close(self.amounts_to(answer, status), fault)
        except Fault as worse:
            return worse
        return fault


def record_outcome(call: record.Call, ended: record.Outcome) -> bool:
    """Where an answer cannot be kept (a full disk for its files, nesting without end), the call is closed without it, and `ended` says so.
    Raises Error only while the database is away."""
    try:
        return record.close(call, ended)
    except (InterfaceError, OperationalError):
        raise
    except Exception:
        log.exception("the answer of snapshot %s could not be kept", call.id)
        ended.status = Snapshot.Status.FAILED
        ended.error_code, ended.error = Code.ANSWER_NOT_KEPT, faults.answer_not_kept().text
        ended.replies, ended.response, ended.cost = [], None, None
        return record.close(call, ended)
