"""gunicorn's gthread, less two ways to hold it up from outside.

Each POST of a page has a connection of its own, and the worker beats once a second.
"""

import socket
import struct
import time
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.glogging import Logger
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from proxy import request_id

REFUSED = {  # what the parser objects to; the rest is a 400
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}
# seconds, microseconds: a client that stops in the middle of its request
READ = struct.pack("ll", 30, 0)


class Worker(ThreadWorker):
    """Lingers on the thread of a call, and lets no half request wait for ever."""

    notified = 0.0

    def notify(self) -> None:
        """Beat once a second: gunicorn would with every event, three times a call."""
        if time.monotonic() - self.notified >= 1:
            self.notified = time.monotonic()
            super().notify()

    def handle(self, conn: Any) -> Any:
        request_id.current.set("")  # this thread's last request is over
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, READ)
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
        if req.method == "POST" and not req.path.startswith(("/v1/", "/api/")):
            # The answer to a page goes on behind its redirect: a browser must not wait for this
            # connection.
            req.force_close()
        return super().handle_request(req, conn)


class Log(Logger):
    """gunicorn's log, without a line a request: every call is on record."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        pass
