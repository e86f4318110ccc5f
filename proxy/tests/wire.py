"""An upstream of bytes: it sends what the test says, and hears the end of every connection."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

SSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\n\r\n"
)


class Request(NamedTuple):
    line: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[socket.socket, Request], None]


class Wire:
    """A context manager that listens on loopback.

    `answer` is called with each request, in a thread of the connection's own.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, port: int = 0) -> None:
        self.tls, self.accepted = tls, 0
        self.listener = socket.create_server(("127.0.0.1", port), backlog=256)
        # So that a long request is on its way for as long as this end does not read it.
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self.port = self.listener.getsockname()[1]
        self.answer: Answer = json_reply(b"{}")
        self.deaf = False  # takes connections, and reads nothing
        self.hasty = b""  # sent as soon as a request's head is read
        self.seen: list[Request] = []
        self.closed_at: list[float] = []
        self.open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.accepted += 1
                self.open.add(sock)
                threading.Thread(target=self._converse, args=[sock], daemon=True).start()

    def _converse(self, sock: socket.socket) -> None:
        while self.deaf:
            time.sleep(0.05)
        if self.tls:
            try:
                sock = self.tls.wrap_socket(sock, server_side=True)
            except OSError:
                sock.close()
                return
            self.open.add(sock)
        with suppress(OSError, ValueError), sock, sock.makefile("rb") as file:
            while line := file.readline().decode().strip():
                headers = {}
                while field := file.readline().decode().strip():
                    name, _, value = field.partition(":")
                    headers[name.lower()] = value.strip()
                if self.hasty:
                    sock.sendall(self.hasty)
                request = Request(line, headers, file.read(int(headers.get("content-length", "0"))))
                self.seen.append(request)
                self.answer(sock, request)
        self.closed_at.append(time.monotonic())
        self.open.discard(sock)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *ignored: object) -> None:
        self.listener.close()
        for sock in list(self.open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def json_reply(
    body: bytes, status: str = "200 OK", kind: str = "application/json", headers: bytes = b""
) -> Answer:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n".encode()
        + headers
        + b"\r\n"
    )
    return lambda sock, request: sock.sendall(head + body)


def document(text: str, head: bytes = b"HTTP/1.1 200 OK\r\n") -> bytes:
    """A chat completion of a known length; the connection stays."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


def stream(text: str) -> bytes:
    """A chat completion as a stream in chunks; the connection stays."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop"}
    event = json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()
    head = SSE.replace(b"Connection: close\r\n", b"")
    return head + chunk(b"data: %s\n\n" % event) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def exactly(*pieces: bytes, pause: float = 0.0, then_close: bool = True) -> Answer:
    """These bytes, one write each."""

    def answer(sock: socket.socket, request: Request) -> None:
        for piece in pieces:
            sock.sendall(piece)
            time.sleep(pause)
        if then_close:
            raise ConnectionAbortedError

    return answer


def until_closed(sock: socket.socket) -> float:
    """Blocks until the other side hangs up: how long that took."""
    began = time.monotonic()
    with suppress(OSError):
        while sock.recv(65536):
            pass
    return time.monotonic() - began


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


DONE = b"data: [DONE]\n\n"


ANSWER = {
    "id": "c",
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Fine."}, "finish_reason": "stop"}
    ],
}


def word(text: str, reason: str | None = None) -> bytes:
    return (
        b"data: %s\n\n"
        % json.dumps(
            {
                "id": "c",
                "model": "m",
                "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}],
            }
        ).encode()
    )


def words(sock, request):
    """One after the other, until the gateway hangs up."""
    sock.sendall(SSE)
    while True:
        sock.sendall(chunk(word("word " * 20)))
        time.sleep(0.005)


class Held:
    """Answers of the wire that wait for the test: `begun` counts those that wait."""

    def __init__(self, wire, first: bytes, then: bytes = b""):
        self.let_go, self.begun, self.hung_up_after = threading.Event(), 0, []

        def answer(sock, request):
            sock.sendall(first)
            self.begun += 1
            if then:
                self.let_go.wait(60)
                sock.sendall(then)
            else:
                self.hung_up_after.append(until_closed(sock))

        wire.answer = answer
