"""A connection of a caller: what has come of its next request, and until when the rest may come."""

import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn

HEAD = 10.0  # seconds from a request's first byte to the end of its head
BODY = 30.0  # seconds for its body, and one more
PACE = 64 << 10  # for so many bytes


class PacedUnreader(SocketUnreader):
    """Reads a request that a thread has to wait for, until its time is over."""

    began, came = 0.0, 0  # of the request; bytes since

    def begin(self) -> None:
        self.began, self.came = time.monotonic(), 0

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Raises OSError once the sender is too slow, however steadily its bytes come."""
        left = self.began + BODY + self.came / PACE - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request came too slowly")
        seconds = struct.pack("ll", int(left), int(left % 1 * 1e6) + 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
        data: bytes = super().chunk(size_hint)
        self.came += len(data)
        return data


class LastRead:
    """A body's reader that says when all of it was read."""

    def __init__(self, reader: Any, tell: Callable[[], None]) -> None:
        self.reader, self.tell = reader, tell

    def read(self, size: int) -> bytes:
        data: bytes = self.reader.read(size)
        if len(data) < size or getattr(self.reader, "length", None) == 0:
            self.tell()
        return data


class Connection(TConn):
    """gunicorn's, with what a thread finds when it takes it."""

    def __init__(self, cfg: Any, sock: Any, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.address = client[0] if isinstance(client, tuple) else ""
        self.data = bytearray()  # read, and given to no thread yet
        self.began = self.deadline = time.monotonic()
        self.is_reader = False  # a thread reads its body
        self.data_ready = True  # gunicorn's thread need not look

    def init(self) -> None:
        if not self.initialized:
            super().init()
            self.parser.unreader = PacedUnreader(self.sock)
        self.parser.unreader.begin()
        self.parser.unreader.unread(bytes(self.data))
        self.data.clear()

    def take_rest(self) -> None:
        """Take what came behind the last request."""
        self.data += self.parser.unreader.take_buffered()
        self.began = time.monotonic()

    def receive(self) -> bool:
        """Read what is there. False at its end."""
        try:
            piece = self.sock.recv(1 << 16)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not self.data:
            self.began = time.monotonic()
        self.data += piece
        return bool(piece)
