"""gunicorn's gthread, less the ways to hold it up from outside.

No half request has a thread: heads and small bodies are read by the loop that accepts. A thread
takes a request that is whole, and, for a few at a time, one whose large body is still to come. The
oldest connection that no thread has makes room for a new one: where all are taken, or its address
has more than its share. What comes too slowly is closed.

Each POST of a page has a connection of its own, and the worker beats once a second.
"""

import errno
import time
from collections import Counter, deque
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from selectors import EVENT_READ
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from gunicorn import util
from gunicorn.glogging import Logger
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from conversations.body_limits import DRAIN_FACTOR
from llmgateway import trusted_proxies
from llmgateway.server import connection
from llmgateway.server.arrival import Arrival, judge
from llmgateway.server.connection import Connection, LastRead
from proxy import request_id
from proxy.api import paths

REFUSED = {  # what the parser objects to; the rest is a 400
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}
READERS = 128  # threads that may read large bodies at one time
LINGER = 2.0  # seconds that a worker which stops leaves to what may be on its way
NO_FILES = (errno.EMFILE, errno.ENFILE)
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Worker(ThreadWorker):
    """Keeps its connections itself: `waiting` are those that no thread has."""

    notified = swept = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[Connection, None] = {}  # oldest first
        self.held: deque[Connection] = deque()  # of them, large bodies that wait for a reader
        self.readers = 0
        self.addresses: Counter[str] = Counter()  # connections from each

    def notify(self) -> None:
        """Beat once a second: gunicorn would with every event, three times a call."""
        if time.monotonic() - self.notified >= 1:
            self.notified = time.monotonic()
            super().notify()

    def handle(self, conn: Any) -> Any:
        request_id.current.set("")  # this thread's last request is over
        again = super().handle(conn)
        # gunicorn would linger, up to 2 s, on the one thread that accepts and beats
        if again is False:
            conn.close(graceful=True)
            conn.close = lambda graceful=False: None
        return again

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer in JSON: gunicorn would quote the request in its log, and send a page."""
        from proxy.api.errors import plain

        if isinstance(exc, errors.ParseException):
            status, text = (
                REFUSED.get(type(exc), HTTPStatus.BAD_REQUEST),
                "This is not HTTP as this server reads it.",
            )
            self.log.warning("a request could not be read: %s", type(exc).__name__)
        else:
            status, text = HTTPStatus.INTERNAL_SERVER_ERROR, "The gateway failed."
            self.log.error("a request failed in the server", exc_info=exc)
        body = plain(status, text).content
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, head.encode() + body)
        except OSError:
            pass  # no client is there to read it

    def handle_request(self, req: Any, conn: Any) -> Any:
        if req.method == "POST" and not paths.is_endpoint(unquote(req.path)):
            # The answer to a page goes on behind its redirect: a browser must not wait for this
            # connection.
            req.force_close()
        if conn.is_reader:
            tell = partial(self.method_queue.defer, self.end_reader, conn)
            req.body.reader = LastRead(req.body.reader, tell)
        return super().handle_request(req, conn)

    # On the loop's own thread -------------------------------------------------------------------

    def accept(self, listener: Any) -> None:
        try:
            sock, address = listener.accept()
        except OSError as problem:
            if problem.errno in NO_FILES:
                self.drop_oldest()
            elif problem.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        conn = Connection(self.cfg, sock, address, listener.getsockname())
        self.nr_conns += 1
        self.addresses[conn.address] += 1
        if self.has_too_many(conn.address) and not self.drop_oldest(conn.address):
            self.drop(conn)
            return
        if self.nr_conns >= self.worker_connections:
            self.drop_oldest()
        self.wait(conn)

    def has_too_many(self, address: str) -> bool:
        exempt = not address or trusted_proxies.is_trusted(trusted_proxies.read_address(address))
        return not exempt and self.addresses[address] > settings.CONNECTIONS_PER_ADDRESS

    def drop_oldest(self, address: str | None = None) -> bool:
        """Close the connection that no thread has for the longest time, of this address if any."""
        found = (conn for conn in self.waiting if address in (None, conn.address))
        if oldest := next(found, None):
            self.drop(oldest)
        return oldest is not None

    def wait(self, conn: Connection) -> None:
        """Wait for a request, or for more of one."""
        conn.sock.settimeout(0)
        conn.deadline = time.monotonic() + (self.cfg.keepalive if self.alive else LINGER)
        self.waiting[conn] = None
        self.poller.register(conn.sock, EVENT_READ, partial(self.receive, conn))
        if conn.data:
            self.advance(conn)

    def receive(self, conn: Connection, sock: Any) -> None:
        if conn.receive():
            self.advance(conn)
        elif self.judge(conn) is Arrival.BODY:
            self.take(conn)  # broken off: its refusal goes on record
        else:
            self.drop(conn)

    def judge(self, conn: Connection) -> Arrival:
        return judge(bytes(conn.data), DRAIN_FACTOR * settings.MAX_BODY)

    def advance(self, conn: Connection) -> None:
        """Give a thread what is ready for one; set a time for what is not."""
        came = self.judge(conn)
        if came is Arrival.NOTHING:
            conn.data.clear()  # empty lines, of which a sender has as many as it likes
            return
        conn.deadline = conn.began + connection.HEAD
        if came is not Arrival.HEAD:
            conn.deadline += connection.BODY
        if came is Arrival.WHOLE:
            self.take(conn)
        elif came is Arrival.LONG:
            self.poller.unregister(conn.sock)
            self.held.append(conn)
            self.start_readers()

    def take(self, conn: Connection) -> None:
        self.stop_waiting(conn)
        self.enqueue_req(conn)

    def start_readers(self) -> None:
        while self.held and self.readers < READERS:
            conn = self.held.popleft()
            if conn in self.waiting:  # it may have been closed meanwhile
                self.readers += 1
                conn.is_reader = True
                self.take(conn)

    def end_reader(self, conn: Connection) -> None:
        if conn.is_reader:
            conn.is_reader = False
            self.readers -= 1
            self.start_readers()

    def stop_waiting(self, conn: Connection) -> None:
        self.waiting.pop(conn, None)
        try:
            self.poller.unregister(conn.sock)
        except (KeyError, ValueError, OSError):
            pass  # it is not there

    def drop(self, conn: Connection) -> None:
        self.stop_waiting(conn)
        self.nr_conns -= 1
        self.addresses[conn.address] -= 1
        if not self.addresses[conn.address]:
            del self.addresses[conn.address]
        conn.close()

    def finish_request(self, conn: Connection, future: "Future[Any]") -> None:
        """Wait for the next request of a connection, or close it."""
        self.end_reader(conn)
        if future.cancelled() or future.exception() or not future.result():
            self.drop(conn)
            return
        conn.take_rest()
        self.wait(conn)

    def murder_pending(self) -> None:
        """Close what came too slowly, or not at all; once a second, as the loop turns often."""
        now = time.monotonic()
        if now - self.swept < 1:
            return
        self.swept = now
        for conn in [conn for conn in self.waiting if conn.deadline < now]:
            if conn.data:
                try:
                    conn.sock.send(TOO_SLOW)
                except OSError:
                    pass  # no client is there to read it
            self.drop(conn)

    def murder_keepalived(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 (gunicorn's)
        for conn in list(self.waiting) if force else ():
            self.drop(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in self.waiting:
            conn.deadline = min(conn.deadline, deadline)


class Log(Logger):
    """gunicorn's log, without a line a request: every call is on record."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        pass
