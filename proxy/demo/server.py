"""The demo upstream: an HTTP server of its own process that speaks OpenAI's API.

    python -m proxy.demo.server --port 0 [--host 127.0.0.1] [--pace 1] [--record]

No model is behind it. It prints `listening on 127.0.0.1:NNNN`, and then nothing. Any Authorization
is good. Replies are the same for the same question, paced like a model: a first byte after 0.3 s,
then about 50 tokens a second; a JSON reply comes after 2.3 s at most. `--pace 0` waits for nothing.
Chat completions, images, image edits, embeddings and models are served at OpenAI's paths.

A trigger makes a fault: a word of the last user message (of an image's prompt, of an embedding's
input) that stands alone between blanks:

    !down     the connection is closed without any reply
    !silent   the request is taken and never answered
    !slow     the first byte after 20 s; !slow=3 after 3 s
    !stall    a part of the reply, then silence until the client leaves
    !cut      a part of the reply, then the connection ends
    !error    a part of a stream, then `data: {"error": …}`
    !400      a content policy error with param and code
    !401      a wrong key
    !429      a rate limit with retry-after: 2
    !500      OpenAI's own 500
    !garbage  status 200 and bytes that mean nothing
    !html     status 200 and a page of HTML
    !json     a JSON reply, also where a stream was asked for
    !sse      a stream, also where JSON was asked for
    !nousage  no usage is reported
    !nodone   a stream that ends properly without [DONE]
    !long     20,000 words, quickly; !long=300 so many
    !echo     the rest of the message comes back word for word

Tests run it in their own process: `with DemoServer(pace=0) as upstream:`. `upstream.seen` then
holds what came in, a dict a request: method, path, headers (names in lower case), body (parsed
where it is JSON or a form), raw (bytes), at, and closed_early: whether the client left before it
had its answer. Out of process, `--record` serves the same, less raw, at GET /_seen.
"""

import argparse
import asyncio
import os
import resource
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from email.utils import formatdate
from hashlib import sha256
from http import HTTPStatus

import orjson

from .api import read_triggers, reply_to
from .questions import Trigger, Triggers
from .wire import Problem, Reply, Request, Then

IDLE = 5.0  # seconds that a connection may wait for a request, as uvicorn's
LARGEST = 64 * 1024 * 1024  # bytes of a request
FILES = 16384  # that a process may have open


class Connection(asyncio.StreamReaderProtocol):
    """Ends its task as soon as the client has gone, whatever the task is waiting for."""

    def __init__(self, upstream: "DemoUpstream") -> None:
        loop = asyncio.get_running_loop()
        super().__init__(asyncio.StreamReader(loop=loop), self.begin, loop=loop)
        self.upstream = upstream
        self.under_way: dict | None = None  # the request that has not had all of its answer

    def begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.task = asyncio.get_running_loop().create_task(
            self.upstream.converse(self, reader, writer)
        )
        self.upstream.open[self] = writer

    def eof_received(self) -> bool:
        super().eof_received()
        return False  # a client that will say no more counts as gone

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.upstream.open.pop(self, None)
        if self.under_way is not None:
            self.under_way["closed_early"] = True
        self.task.cancel()


class DemoUpstream:
    """What answers every connection of a server."""

    def __init__(self, pace: float = 1.0, *, record: bool = False) -> None:
        self.pace, self.record = pace, record
        self.seen: list[dict] = []
        self.open: dict[Connection, asyncio.StreamWriter] = {}

    async def hang_up(self) -> None:
        """End every connection, so that nothing is left when the loop closes."""
        tasks = [connection.task for connection in self.open]
        for connection, writer in list(self.open.items()):
            connection.under_way = None
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def converse(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request after the other, until either side has had enough."""
        try:
            while True:
                try:
                    request = await read_request(reader, writer)
                except (ValueError, asyncio.LimitOverrunError) as error:
                    problem = Problem(400, f"Bad request: {error}.")
                    reply = Reply.json(problem.body, problem.status)
                    await self.send(reply, writer, {}, keep=False, chunked=False)
                    return
                if not await self.answer(request, connection, writer):
                    return
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            pass  # idle or gone: no client is left to be told
        finally:
            writer.close()

    async def answer(
        self, request: Request, connection: Connection, writer: asyncio.StreamWriter
    ) -> bool:
        """Return whether the connection lives on."""
        if request.path == "/_seen" and self.record:
            return await self.send(self._report(), writer, {}, keep=True, chunked=False)
        entry = {
            "method": request.method,
            "path": request.path,
            "headers": request.headers,
            "body": request.body,
            "raw": request.raw,
            "at": time.time(),
            "closed_early": False,
        }
        if self.record:
            self.seen.append(entry)
        connection.under_way = entry
        lives = await self.respond(request, read_triggers(request.body), writer)
        connection.under_way = None
        return lives

    def _report(self) -> Reply:
        """Make the reply of /_seen."""
        entries = [
            {name: value for name, value in entry.items() if name != "raw"} for entry in self.seen
        ]

        def summarize(raw: bytes) -> dict:
            return {"size": len(raw), "sha256": sha256(raw).hexdigest()}

        return Reply(orjson.dumps(entries, default=summarize))

    async def respond(
        self, request: Request, triggers: Triggers, writer: asyncio.StreamWriter
    ) -> bool:
        if Trigger.SILENT in triggers:
            await asyncio.Event().wait()
        if Trigger.DOWN in triggers:
            return False
        if "image" in request.path:  # drawing takes a while
            reply = await asyncio.to_thread(reply_to, request, triggers)
        else:
            reply = reply_to(request, triggers)
        if Trigger.SLOW in triggers:
            seconds = triggers[Trigger.SLOW]
            await asyncio.sleep(20 if seconds is None else seconds)
        else:
            await asyncio.sleep(self.pace * (0.3 + min(2.0, reply.tokens / 50)))
        modern = request.version == "HTTP/1.1"
        return await self.send(
            reply,
            writer,
            triggers,
            keep=modern and request.headers.get("connection", "").lower() != "close",
            chunked=modern,
        )

    async def send(
        self,
        reply: Reply,
        writer: asyncio.StreamWriter,
        triggers: Triggers,
        *,
        keep: bool,
        chunked: bool,
    ) -> bool:
        """Return whether the connection lives on: all was sent, and its end can be told."""
        length = {"transfer-encoding": "chunked"} if chunked else {}
        if isinstance(reply.body, bytes):
            length = {"content-length": str(len(reply.body))}
        keep = keep and bool(length)
        standing = {
            "date": formatdate(usegmt=True),
            "content-type": reply.kind,
            "x-request-id": f"req_{secrets.token_hex(16)}",
            "openai-version": "2020-10-01",
        }
        headers = (
            standing | length | reply.headers | {"connection": "keep-alive" if keep else "close"}
        )
        lines = [
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if isinstance(reply.body, bytes):
            broken = triggers.keys() & {Trigger.CUT, Trigger.STALL}
            writer.write(reply.body[: len(reply.body) // 2] if broken else reply.body)
            await writer.drain()
            if Trigger.STALL in triggers:
                await asyncio.Event().wait()
            return keep and not broken
        for part in reply.body:
            if part is Then.SILENCE:
                await asyncio.Event().wait()
            if part is Then.END:
                return False
            writer.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            await writer.drain()
            await asyncio.sleep(self.pace * reply.pause)
        if chunked:
            writer.write(b"0\r\n\r\n")
        return keep


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    """Read the next request. Raises ValueError, and TimeoutError where none comes within IDLE."""
    async with asyncio.timeout(IDLE):
        head = await reader.readuntil(b"\r\n\r\n")
    request = parse_head(head)
    request.raw = await read_body(request, reader, writer)
    request.parse()
    return request


def parse_head(head: bytes) -> Request:
    """Parse the request line and the headers. Raises ValueError."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    start = first.split(" ")
    if len(start) != 3:
        raise ValueError("a first line that is not of three parts")
    headers: dict[str, str] = {}
    for line in lines:
        name, value = line.partition(":")[::2]
        if ":" not in line or not name or name != name.strip():
            raise ValueError("a header line without a name")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Request(start[0], start[1], start[2], headers)


async def read_body(
    request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes:
    """Read by its length or in chunks. Raises ValueError past the largest request."""
    if request.headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if request.headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(check_size(int(request.headers.get("content-length", "0"))))
    body = bytearray()
    while size := check_size(
        int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16), len(body)
    ):
        body += (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers
    return bytes(body)


def check_size(size: int, so_far: int = 0) -> int:
    """Return the size. Raises ValueError where the body would be too large."""
    if not 0 <= size <= LARGEST - so_far:
        raise ValueError("the body is too large")
    return size


async def run(
    upstream: DemoUpstream,
    host: str,
    port: int,
    started: Callable[[int, Callable[[], None]], None],
) -> None:
    """Serve until the function that `started` is given beside the port is called, in this loop."""
    stop = asyncio.Event()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(upstream), host, port, backlog=4096
    )
    started(server.sockets[0].getsockname()[1], stop.set)
    await stop.wait()
    server.close()
    await upstream.hang_up()


class DemoServer:
    """A demo upstream in a thread of this process, recording: a context manager, or close() it.

    Raises OSError where it cannot listen.
    """

    def __init__(self, port: int = 0, pace: float = 1.0, host: str = "127.0.0.1") -> None:
        self.upstream = DemoUpstream(pace, record=True)
        self._ready: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(host, port), daemon=True)
        self._thread.start()
        self.port = self._ready.result(10)

    def _run(self, host: str, port: int) -> None:
        def started(port: int, stop: Callable[[], None]) -> None:
            self._stop, self._loop = stop, asyncio.get_running_loop()
            self._ready.set_result(port)

        try:
            asyncio.run(run(self.upstream, host, port, started))
        except OSError as error:
            self._ready.set_exception(error)

    @property
    def seen(self) -> list[dict]:
        return self.upstream.seen

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop)
            self._thread.join()

    def __enter__(self) -> "DemoServer":
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()


def raise_file_limit() -> None:
    """Allow more open files: a stream is one."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= files < FILES:
        allowed = FILES if most == resource.RLIM_INFINITY else min(most, FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))


def main() -> None:
    options = argparse.ArgumentParser(
        prog="python -m proxy.demo.server",
        description="An HTTP server that speaks OpenAI's API, with no model behind it.",
    )
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=0, help="0: any free one")
    options.add_argument("--pace", type=float, default=1.0, help="factor on all waiting; 0: none")
    options.add_argument(
        "--record", action="store_true", help="keep every request, to be read at GET /_seen"
    )
    arguments = options.parse_args()
    raise_file_limit()

    def started(port: int, stop: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        sys.stdout.write(f"listening on {arguments.host}:{port}\n")
        sys.stdout.flush()

    upstream = DemoUpstream(arguments.pace, record=arguments.record)
    try:
        asyncio.run(run(upstream, arguments.host, arguments.port, started))
    except OSError as error:
        sys.exit(
            f"Cannot listen on {arguments.host}:{arguments.port}: {os.strerror(error.errno or 0)}."
        )


if __name__ == "__main__":
    main()
