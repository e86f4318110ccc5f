"""One thread a process that ends calls from outside.

Its causes: a caller gone, a silence too long, Stop, a worker that must go. It only ever shuts a
socket down; the thread that owns the call wakes, sees the cause and closes the record. A worker
notices by itself that a caller has gone only when it next writes, so streams that wait on a silent
upstream are looked at twice a second. The watcher also beats for the process, saves its count of
wrong keys, clears the machine's journal, and closes what the database would not take when its time
came.
"""

import logging
import select
import threading
import time
from typing import Any

from django.conf import settings
from django.db import Error

from conversations import database
from conversations.record import growth, orphans, processes

from .. import wrong_keys
from ..limits import memory
from ..limits.parsing import room
from ..upstreams.connections import shut_socket
from . import journal, metrics
from .causes import Cause
from .exchange import Exchange, process, write_outcome

TICK = 0.5  # seconds
LOOK = 1.0  # seconds between two looks at what is open, and at what is to be stopped
BEAT = 5.0
CLEAR = 600.0  # from one look at old files of the journal to the next
GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR

worker: Any = None  # gunicorn's
log = logging.getLogger(__name__)


def start(gunicorn_worker: Any = None) -> None:
    global worker
    worker = gunicorn_worker
    threading.Thread(target=_Watch().run, name="watcher", daemon=True).start()


class _Watch:
    def __init__(self) -> None:
        self.beaten = self.looked = 0.0
        self.cleared = 0.0
        self.stopping: float | None = None  # since when the worker is told to go

    def run(self) -> None:
        while True:
            time.sleep(TICK)
            try:
                self.tick(time.monotonic())
            except Error as problem:
                log.warning("the database is away: %s", type(problem).__name__)
            except Exception:
                log.exception("watcher")
            finally:
                database.release()

    def tick(self, now: float) -> None:
        look(now)
        self.leave_in_time(now)
        if now - self.looked >= LOOK:
            self.looked = now
            count_open()
            stop_those_asked_to()
            close_late()
            if room.is_over():
                memory.give_back()
        if now - self.beaten >= BEAT:
            processes.beat()
            self.beaten = now
            wrong_keys.save()
            if count := orphans.close_unheard():
                log.info("closed %d calls whose opening was committed unheard", count)
        if now - self.cleared >= CLEAR:
            self.cleared = now
            journal.clear()

    def leave_in_time(self, now: float) -> None:
        """Cut all calls of a worker that is told to go, before it is killed."""
        if worker is None or worker.alive:
            return
        self.stopping = self.stopping or now
        grace = worker.cfg.graceful_timeout
        if now - self.stopping > max(grace - 5, grace / 2):
            cut_all()


def look(now: float) -> None:
    """Cut the calls whose time is over, and those whose caller has gone."""
    waiting: dict[int, Exchange] = {}
    poll = select.poll()
    for exchange in list(process.exchanges.values()):
        if (fd := watch_time(exchange, now)) >= 0:
            poll.register(fd, GONE)
            waiting[fd] = exchange
    for fd, _ in poll.poll(0) if waiting else ():
        waiting[fd].cut(Cause.GONE)


def watch_time(exchange: Exchange, now: float) -> int:
    """Keep a call's limits. Return the caller's socket if hanging up ends the call, or -1."""
    patience, quiet = exchange.patience, now - exchange.since
    sock = exchange.caller.socket
    if now - exchange.began > patience.longest:
        exchange.cut(Cause.TOO_LONG)
    elif exchange.writing:
        if quiet > settings.CLIENT_STALL and sock is not None:
            shut_socket(sock)  # its write fails, and the response is closed
    elif quiet > (patience.silence if exchange.first_byte else patience.first_byte):
        exchange.cut(Cause.SILENT)
    elif exchange.caller.cancellable and sock is not None:
        return sock.fileno()
    return -1


def count_open() -> None:
    """Set the gauges of /metrics."""
    streams = [exchange.streams for exchange in list(process.exchanges.values())]
    open_calls = metrics.OpenCalls(streams.count(True), streams.count(False), process.slots.taken)
    metrics.set_gauges(open_calls, process.gates)


def stop_those_asked_to() -> None:
    stoppable = [
        call for call, exchange in list(process.exchanges.items()) if exchange.caller.stoppable
    ]
    for call in growth.find_stopped(stoppable):
        if exchange := process.exchanges.get(call):
            exchange.cut(Cause.STOPPED)


def cut_all() -> None:
    """End the calls of a process that goes; each says so."""
    for exchange in list(process.exchanges.values()):
        exchange.cut(Cause.INTERRUPTED)


def close_late() -> None:
    """Close calls that ended while the database was away. Raises Error while it still is.

    Those of an account whose rows stay locked wait until the next time, and no other's with them.
    One that the database refuses although it is well stays, and is tried less and less often.
    """
    busy: set[int] = set()
    for call_id, late in list(process.unclosed.items()):
        if late.call.owner in busy or time.monotonic() < late.due:
            continue
        try:
            write_outcome(late.call, late.ended, in_passing=True)
        except database.RowsBusy:
            busy.add(late.call.owner)
        except Exception as problem:
            database.refuse_if_away()
            wait = late.put_off()
            text = "snapshot %s cannot be closed, and is tried again in %d s"
            log.error(text, call_id, wait, exc_info=problem)
        else:
            del process.unclosed[call_id]
            process.journal.end(call_id)
