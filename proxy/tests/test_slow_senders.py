"""Half requests have no thread: pages, health and calls answer beside hundreds of them."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from gunicorn.config import Config

from llmgateway.server.connection import Connection
from llmgateway.server.worker import READERS, Worker
from proxy.tests.gateway import ALICE, BOB, CHAT, Gateway, chat, encoded, eventually, marked

HEAD = b"POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + ALICE.encode() + b"\r\n"
LARGE = b"Content-Length: 1000000\r\n\r\n" + b'{"model": "' + b"x" * 40_000
HALVES = {
    "nothing": b"",
    "half a line": b"GET /pi",
    "half a head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ",
    "an endless head": b"GET / HTTP/1.1\r\nX-A: " + b"a" * 7000,
    "an empty line": b"\r\n",
    "half a form": HEAD % b"/sign-in/" + b"Content-Length: 900\r\n\r\nusername=",
    "half a call": HEAD % CHAT.encode() + b'Content-Length: 900\r\n\r\n{"model": ',
    "half a large call": HEAD % CHAT.encode() + LARGE,
    "half a large form": HEAD % b"/" + LARGE,
    "half a chunk": HEAD % CHAT.encode() + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{",
    "a long-winded length": HEAD % CHAT.encode() + b"Content-Length: %020d\r\n\r\n{" % 900,
    "a call without end": HEAD % CHAT.encode() + b"Content-Length: 999999999999\r\n\r\n{",
    "a form without end": HEAD % b"/sign-in/" + b"Content-Length: 99999999999999999999\r\n\r\nu",
    "no chunk": HEAD % CHAT.encode() + b"Transfer-Encoding: chunked\r\n\r\n",
    "a body that was never begun": HEAD % CHAT.encode() + b"Expect: 100-continue\r\n"
    b"Content-Length: 900\r\n\r\n",
}
OF_READERS = ("large", "chunk", "never begun", "without end")  # they take the readers' threads
THREADS = 16 + 8 + READERS  # of the gateway
PROXY = "127.0.0.2"  # trusted: it may have as many connections as it likes


@pytest.fixture
def small(shared, demo_upstream) -> Gateway:
    """It has 16 calls, and 8 threads for pages."""
    return shared(
        LLM_ENDPOINT=f"{demo_upstream.url}{CHAT}",
        OPEN_CALLS=16,
        RESERVED_THREADS=8,
        CONNECTIONS_PER_ADDRESS=40,
        TRUSTED_PROXIES=PROXY,
    )


@contextmanager
def connected(
    gateway: Gateway, count: int, data: bytes, source: str = "127.0.0.1"
) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        sockets = []
        for _ in range(count):
            to = ("127.0.0.1", gateway.port)
            sock = socket.create_connection(to, timeout=60, source_address=(source, 0))
            stack.enter_context(sock)
            sock.sendall(data)
            sockets.append(sock)
        yield sockets


def answer_of(sock: socket.socket) -> bytes:
    """All that comes until the gateway closes it."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass  # closed with bytes that it did not read
    return data


@pytest.mark.parametrize("half", HALVES)
def test_others_are_answered_beside_half_requests(small, half):
    with connected(small, THREADS + 8, HALVES[half], PROXY):
        for path, key in (("/ping", ""), ("/sign-in/", ""), ("/v1/models", BOB)):
            assert small.call(path, key=key, timeout=60).status == 200, path
        assert small.ask(marked(), key=BOB).status == 200
        body = encoded(chat("x" * 100_000))
        if not any(words in half for words in OF_READERS):
            assert small.call(CHAT, body, BOB, timeout=60).status == 200


def test_a_request_may_come_in_pieces(small):
    body = encoded(chat("hello"))
    whole = HEAD % CHAT.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with connected(small, 1, b"\r\n") as [sock]:
        for i in range(0, len(whole), 40):
            sock.sendall(whole[i : i + 40])
            time.sleep(0.005)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_empty_lines_ahead_of_a_request_are_not_kept():
    """A sender has as many as it likes, and a minute's time."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker = Worker.__new__(Worker)  # its loop, without a server
        conn = Connection(Config(), ours, ("192.0.2.7", 1), ())
        for _ in range(100):
            theirs.sendall(b"\r\n" * 10_000)
            worker.receive(conn, ours)
        assert len(conn.data) < 100_000


def test_requests_may_come_at_once(small):
    ping = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
    form = HEAD % b"/v1/models/x" + b"Content-Length: 3\r\n\r\nabc"
    last = ping.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with connected(small, 1, ping * 3 + form + ping + last[:20]) as [sock]:
        time.sleep(0.2)
        sock.sendall(last[20:])
        assert answer_of(sock).count(b"pong\n") == 5


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_what_is_no_http_is_told_so(small, end):
    with connected(small, 1, f"hello{end}{end}".encode()) as [sock]:
        assert b"This is not HTTP" in answer_of(sock)


def test_a_head_that_comes_too_slowly_is_closed(small):
    half, endless = HALVES["half a head"], HALVES["an endless head"]
    with connected(small, 1, half) as [one], connected(small, 1, endless) as [other]:
        began = time.monotonic()  # both wait at once
        assert answer_of(one).startswith(b"HTTP/1.1 408 ")
        assert answer_of(other).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < 60


@pytest.mark.drill
def test_a_body_that_comes_too_slowly_is_given_up(small, recorded):
    """However steadily: a byte a second is no progress."""
    with connected(small, 1, HALVES["half a large call"]) as [sock]:
        sock.settimeout(1)
        began = time.monotonic()
        reply = b""
        while not reply and time.monotonic() - began < 55:
            sock.sendall(b"x")
            try:
                reply = sock.recv(65536)
            except TimeoutError:
                continue
        sock.settimeout(30)
        assert b"body_incomplete" in reply + answer_of(sock)
    [snapshot] = recorded()
    assert snapshot.error_code == "body_incomplete"


def test_one_address_takes_no_more_than_its_share(small):
    """Its oldest idle connections end, and its next requests are answered."""
    with connected(small, 100, HALVES["half a head"]) as sockets:
        assert small.call("/ping").status == 200

        def closed() -> int:
            return sum(is_closed(sock) for sock in sockets)

        assert eventually(lambda: closed() >= 60)
        assert closed() < 70
        assert not is_closed(sockets[-1])


def test_a_trusted_proxy_has_no_share(small):
    with connected(small, 100, HALVES["half a head"], PROXY) as sockets:
        assert small.call("/ping").status == 200
        assert not any(map(is_closed, sockets))


def test_connections_are_more_than_can_be_kept(small):
    """The oldest that are idle make room, whatever their address."""
    with connected(small, 4 * THREADS, HALVES["half a head"], PROXY):  # it keeps three a thread
        assert small.call("/ping").status == 200
        assert small.ask(marked()).status == 200


def is_closed(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
