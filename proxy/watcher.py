"""One thread a process that ends calls from outside: a caller gone, a silence too long, Stop, a worker that must go.

It only ever shuts a socket down; the thread that owns the call wakes, sees the cause and closes the record. A worker
notices by itself that a caller has gone only when it next writes, so streams that wait on a silent upstream are looked
at twice a second. It also beats for the process, and closes what the database would not take when its time came.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError

from conversations import record
from conversations.models import Snapshot

if TYPE_CHECKING:
    from .relay import Exchange

TICK = 0.5  # seconds
BEAT = 5.0
NOT_KEPT = "answer_not_kept"
GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR

exchanges: dict[UUID, Exchange] = {}  # all that are open in this process
unclosed: dict[UUID, tuple[record.Call, record.Outcome]] = {}  # ended while the database was away; their rows are pending
worker: Any = None  # gunicorn's
log = logging.getLogger(__name__)


def start(gunicorn_worker: Any = None) -> None:
    global worker
    worker = gunicorn_worker
    threading.Thread(target=_run, name="watcher", daemon=True).start()


def shut(sock: socket.socket) -> None:
    """Of the plain socket: SSLSocket.shutdown would take the TLS object away under the reader's feet."""
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        pass  # it is shut already


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
                    for exchange in list(exchanges.values()):
                        exchange.cut("interrupted")
            if now - polled >= 1.0:
                polled = now
                for id in record.stopped([id for id, exchange in list(exchanges.items()) if exchange.stoppable]):
                    if id in exchanges:
                        exchanges[id].cut("stopped")
                _close_late()
            if now - beaten >= BEAT:
                record.beat()
                beaten = now
        except Error as problem:
            log.warning("the database is away: %s", type(problem).__name__)
        except Exception:
            log.exception("watcher")
        finally:
            record.release()


def look(now: float) -> None:
    silent: dict[int, Exchange] = {}
    poll = select.poll()
    for exchange in list(exchanges.values()):
        quiet = now - exchange.since
        if now - exchange.began > settings.LLM_LONGEST_CALL:
            exchange.cut("too_long")
        elif exchange.writing:
            if quiet > settings.CLIENT_STALL and exchange.client is not None:
                shut(exchange.client)  # its write fails, and the response is closed
        elif quiet > (settings.LLM_STREAM_TIMEOUT if exchange.first_byte else settings.LLM_TIMEOUT):
            exchange.cut("silent")
        elif exchange.cancellable and exchange.client is not None and (fd := exchange.client.fileno()) >= 0:
            poll.register(fd, GONE)
            silent[fd] = exchange
    for fd, _ in poll.poll(0) if silent else ():
        silent[fd].cut("gone")


def _close_late() -> None:
    for id, (call, outcome) in list(unclosed.items()):
        close(call, outcome)
        del unclosed[id]


def close(call: record.Call, ended: record.Outcome) -> bool:
    """Where an answer cannot be kept (a full disk for its files, nesting without end), the call is closed without it, and `ended` says so.
    Raises Error only while the database is away."""
    try:
        return record.close(call, ended)
    except (InterfaceError, OperationalError):
        raise
    except Exception:
        log.exception("the answer of snapshot %s could not be kept", call.id)
        ended.status, ended.error_code, ended.error = Snapshot.Status.FAILED, NOT_KEPT, "The model's answer could not be kept, so it was not passed on."
        ended.replies, ended.response, ended.cost = [], None, None
        return record.close(call, ended)
