"""The callers, in a process of their own: one measurement.

    python benchmarks/load.py '{"what": "calls", …}'

Its parameters come as JSON, and its figures go out as JSON.
"""

import asyncio
import random
import re
import sys
import time
from statistics import quantiles

import orjson
import processes
from upstream import words

STAMP = re.compile(rb'"content":"(\d{16}) "')
HISTORY = 4  # questions and answers before the question of a call
HEAD = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n"
    "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n"
)


def make_request(key: str, body: dict) -> bytes:
    data = orjson.dumps(body)
    return HEAD.format(key, len(data)).encode() + data


def spread(values: list[float]) -> dict[str, float]:
    """Give p50, p99 and the largest of seconds, in ms."""
    at = quantiles(values, n=100, method="inclusive")
    return {
        "p50": round(at[49] * 1000, 2),
        "p99": round(at[98] * 1000, 2),
        "max": round(max(values) * 1000, 2),
    }


# Calls whose reply is one JSON document -----------------------------------------------------------


def make_messages(chance: random.Random, turns: int) -> list[dict]:
    """Make so many questions with their answers, and a question."""
    roles = ["user", "assistant"] * turns + ["user"]
    return [
        {"role": role, "content": words(chance, 300 if role == "user" else 400)} for role in roles
    ]


async def call_all(
    bodies: list[dict], *, port: int, key: str, at_once: int
) -> tuple[list[bytes], list[float]]:
    """Return the replies in order, and the seconds that each took.

    Each caller keeps its connection.
    """
    todo = list(enumerate(bodies))[::-1]
    replies = [b""] * len(bodies)
    took = []

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        while todo:
            number, body = todo.pop()
            data, began = make_request(key, body), time.perf_counter()
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                answer = head + await reader.read(1000)
                raise SystemExit(f"A call was answered {answer.decode(errors='replace')}")
            length = re.search(rb"(?i)content-length: (\d+)", head)[1]
            replies[number] = await reader.readexactly(int(length))
            took.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(caller() for _ in range(at_once)))
    return replies, took


async def calls(
    *,
    port: int,
    key: str,
    count: int,
    at_once: int,
    continued: bool = False,
    delay: float = 0,
    watched: dict[str, int],
) -> dict:
    """Measure `count` calls with 2 × HISTORY messages before the question.

    These are known ones of a conversation that goes on (`continued`), or all of them new.
    """
    chance = random.Random()
    how = {"port": port, "key": key, "at_once": at_once}
    turns = HISTORY - 1 if continued else HISTORY
    bodies = [{"model": "gpt-4o", "messages": make_messages(chance, turns)} for _ in range(count)]
    if delay:
        bodies = [body | {"metadata": {"delay": str(delay)}} for body in bodies]
    if continued:
        replies, _ = await call_all(bodies, **how)
        for body, reply in zip(bodies, replies, strict=True):
            answer = orjson.loads(reply)["choices"][0]["message"]["content"]
            body["messages"] += [
                {"role": "assistant", "content": answer},
                {"role": "user", "content": words(chance, 300)},
            ]
        await asyncio.sleep(1.5)  # the worker seals these calls
    before, began = {name: processes.cpu(pid) for name, pid in watched.items()}, time.perf_counter()
    _, took = await call_all(bodies, **how)
    return {"before": before, "wall": time.perf_counter() - began, "latency": spread(took)}


# Streams ------------------------------------------------------------------------------------------


class Reader(asyncio.Protocol):
    """One stream's reader: it counts the chunks, and adds how late each is to `lags` (s)."""

    def __init__(self, lags: list[float], data: bytes):
        self.lags = lags
        self.data = data
        self.chunks = 0
        self.rest = b""
        self.began, self.first = time.monotonic(), 0.0
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        self.transport = transport
        transport.write(self.data)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.rest += data
        end = 0
        for stamp in STAMP.finditer(self.rest):
            self.lags.append((now - int(stamp[1])) / 1e9)
            self.chunks, end = self.chunks + 1, stamp.end()
        if end:
            self.first = self.first or now / 1e9 - self.began
            self.rest = self.rest[end:]
        if self.rest.endswith(b"0\r\n\r\n"):
            self.transport.close()

    def connection_lost(self, problem) -> None:
        if not self.over.done():
            self.over.set_result(b"data: [DONE]\n\n" in self.rest)


async def streams(
    *,
    port: int,
    key: str,
    count: int,
    chunks: tuple[int, int],
    rate: float,
    ramp: float,
    limit: float,
    web: int,
    watched: dict[str, int],
) -> dict:
    """Measure `count` streams, each on a new connection.

    The CPU of `web` is read also between the ramp and the first end, its memory at the height.
    """
    chance, loop = random.Random(3), asyncio.get_running_loop()
    lags: list[float] = []
    lengths = [chance.randint(*chunks) for _ in range(count)]
    late: list[float] = []
    readers: list[Reader] = []
    problems: dict[str, int] = {}

    async def stream(number: int) -> None:
        await asyncio.sleep(number * ramp / count)
        metadata = {"chunks": str(lengths[number]), "rate": str(rate)}
        question = {"role": "user", "content": words(chance, 300)}
        body = {"model": "gpt-4o", "stream": True, "messages": [question], "metadata": metadata}
        data = make_request(key, body)
        _, reader = await loop.create_connection(lambda: Reader(lags, data), "127.0.0.1", port)
        readers.append(reader)
        has_ended = await reader.over
        if has_ended and reader.chunks == lengths[number]:
            late.append(time.monotonic() - reader.began - lengths[number] / rate)
        else:
            problem = reader.rest[:300].decode(errors="replace")
            problems[problem] = problems.get(problem, 0) + 1

    async def watch_the_middle() -> None:
        await asyncio.sleep(ramp + 0.5)
        used, seen = processes.cpu(web), len(lags)
        began = time.monotonic()
        await asyncio.sleep(max(0.5, chunks[0] / rate - ramp - 1))
        figures["middle"] = {
            "cpu": processes.cpu(web) - used,
            "chunks": len(lags) - seen,
            "seconds": time.monotonic() - began,
        }

    async def watch_the_height() -> None:
        idle = processes.rss(web)
        while True:
            await asyncio.sleep(0.25)
            reading = sum(1 for reader in readers if reader.chunks and not reader.over.done())
            figures["open"] = max(figures["open"], reading)
            figures["bytes"] = max(figures["bytes"], processes.rss(web) - idle)

    figures = {
        "before": {name: processes.cpu(pid) for name, pid in watched.items()},
        "open": 0,
        "bytes": 0,
    }
    began = time.monotonic()
    watchers = [loop.create_task(watch()) for watch in (watch_the_middle, watch_the_height)]
    try:
        async with asyncio.timeout(limit):
            await asyncio.gather(*(stream(number) for number in range(count)))
    except TimeoutError:
        problems[f"not over after {limit} s"] = count - len(late) - sum(problems.values())
    figures |= {
        "wall": time.monotonic() - began,
        "count": count,
        "complete": len(late),
        "over_a_second_late": sum(1 for seconds in late if seconds > 1),
    }
    for watcher in watchers:
        watcher.cancel()
    firsts = [reader.first for reader in readers if reader.first]
    return figures | {
        "problems": problems,
        "chunks": len(lags),
        "lag": spread(lags),
        "first": spread(firsts),
    }


if __name__ == "__main__":
    parameters = orjson.loads(sys.argv[1])
    measure = {"calls": calls, "streams": streams}[parameters.pop("what")]
    sys.stdout.buffer.write(orjson.dumps(asyncio.run(measure(**parameters))))
