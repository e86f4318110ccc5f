"""One thread a process that ends calls from outside: a caller gone, a silence too long, Stop, a worker that must go.

It only ever shuts a socket down; the thread that owns the call wakes, sees the cause and closes the record. A worker
notices by itself that a caller has gone only when it next writes, so streams that wait on a silent upstream are looked
at twice a second. It also beats for the process, and closes what the database would not take when its time came.
"""

import logging
import select
import threading
import time
from typing import Any

from django.conf import settings
from django.db import Error

from conversations import database
from conversations.record import growth, processes

from ..upstreams.client import shut_socket
from . import metrics
from .exchange import Cause, Exchange, exchanges, record_outcome, slots, unclosed

TICK = 0.5  # seconds
BEAT = 5.0
GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR

worker: Any = None  # gunicorn's
log = logging.getLogger(__name__)


def start(gunicorn_worker: Any = None) -> None:
    global worker
    worker = gunicorn_worker
    threading.Thread(target=_run, name="watcher", daemon=True).start()


def _run() -> None:
    beaten = polled = 0.0
    stopping = None
    while True:
        time.sleep(TICK)
        now = time.monotonic()
        try:
            look(now)
            if worker is not None and not worker.alive:
                stopping = stopping or now
                grace = worker.cfg.graceful_timeout
                if now - stopping > max(grace - 5, grace / 2):
                    cut_all()
            if now - polled >= 1.0:
                polled = now
                streams = [exchange.streams for exchange in list(exchanges.values())]
                metrics.look(streams.count(True), streams.count(False), slots.taken)
                for id in growth.find_stopped(
                    [id for id, exchange in list(exchanges.items()) if exchange.stoppable]
                ):
                    if id in exchanges:
                        exchanges[id].cut(Cause.STOPPED)
                close_late()
            if now - beaten >= BEAT:
                processes.beat()
                beaten = now
        except Error as problem:
            log.warning("the database is away: %s", type(problem).__name__)
        except Exception:
            log.exception("watcher")
        finally:
            database.release()


def look(now: float) -> None:
    silent: dict[int, Exchange] = {}
    poll = select.poll()
    for exchange in list(exchanges.values()):
        quiet = now - exchange.since
        if now - exchange.began > exchange.patience.longest:
            exchange.cut(Cause.TOO_LONG)
        elif exchange.writing:
            if quiet > settings.CLIENT_STALL and exchange.client is not None:
                shut_socket(exchange.client)  # its write fails, and the response is closed
        elif quiet > (
            exchange.patience.silence if exchange.first_byte else exchange.patience.first_byte
        ):
            exchange.cut(Cause.SILENT)
        elif (
            exchange.cancellable
            and exchange.client is not None
            and (fd := exchange.client.fileno()) >= 0
        ):
            poll.register(fd, GONE)
            silent[fd] = exchange
    for fd, _ in poll.poll(0) if silent else ():
        silent[fd].cut(Cause.GONE)


def cut_all() -> None:
    """This process goes: its calls end now, and say so."""
    for exchange in list(exchanges.values()):
        exchange.cut(Cause.INTERRUPTED)


def close_late() -> None:
    """Of calls that ended while the database was away. Raises Error while it still is."""
    for id, (call, ended) in list(unclosed.items()):
        record_outcome(call, ended)
        del unclosed[id]
