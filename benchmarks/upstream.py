"""A mock upstream that costs little: replies made beforehand, one clock that writes all streams.

    python benchmarks/upstream.py PORT

A request's `metadata` asks for `delay` (seconds before the reply) or, of a stream, for `chunks` and
their `rate` a second. Each chunk says when it left (nanoseconds of CLOCK_MONOTONIC), so that its
reader knows how late it is.
"""

import asyncio
import heapq
import random
import sys
import time
from itertools import count, cycle
from pydoc_data.topics import topics

import orjson

TICK = 0.005  # seconds between two looks at what is due
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nx-request-id: req-0123456789abcdef\r\n"
EVENT = (
    b'data: {"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk",'
    b'"created":1760000000,"model":"gpt-4o-2024-08-06",'
    b'"service_tier":"default","system_fingerprint":"fp_0123456789","choices":[%s],"usage":%s}\n\n'
)
CHUNK = EVENT % (
    b'{"index":0,"delta":{"content":"%016d "},"logprobs":null,"finish_reason":null}',
    b"null",
)
CHUNK = b"%x\r\n%s\r\n" % (len(CHUNK % 0), CHUNK)
LAST = EVENT % (b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}', b"null")
LAST += (
    EVENT % (b"", b'{"prompt_tokens":250,"completion_tokens":200,"total_tokens":450}')
    + b"data: [DONE]\n\n"
)
LAST = b"%x\r\n%s\r\n0\r\n\r\n" % (len(LAST), LAST)


def words(chance: random.Random, size: int) -> str:
    """Write `size` bytes: a number that no other text has, and prose that comes with Python."""
    start = chance.randrange(len(PROSE) - size)
    return f"{chance.randrange(10**9):09} {PROSE[start : start + size - 11]}."


PROSE = " ".join(" ".join(topics.values()).encode("ascii", "ignore").decode().split())


def reply(answer: str, number: int) -> bytes:
    """Make a completion as OpenAI spells it, with its headers."""
    usage = {
        "prompt_tokens": 250,
        "completion_tokens": 200,
        "total_tokens": 450,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    message = {"role": "assistant", "content": answer, "refusal": None, "annotations": []}
    completion = {
        "id": f"chatcmpl-B9MBs8CjcvOU2jLn4n570S5q{number:05}",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }
    body = orjson.dumps(completion)
    return HEAD % b"application/json" + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Client(asyncio.Protocol):
    """The server's side of one connection, which carries one request after the other."""

    def __init__(self, clock: "Clock", short: cycle, long: cycle):
        self.clock = clock
        self.short, self.long = short, long
        self.received = b""
        self.chunks, self.pause = 0, 0.0

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if b"\r\n\r\n" not in self.received:
            return
        head, rest = self.received.split(b"\r\n\r\n", 1)
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(rest) < int(length or 0):
            return
        self.received = b""
        wishes = orjson.loads(rest).get("metadata", {}) if b'"metadata"' in rest else {}
        if b'"stream":true' in rest:
            self.chunks, self.pause = int(wishes["chunks"]), 1 / float(wishes["rate"])
            self.transport.write(
                HEAD % b"text/event-stream" + b"Transfer-Encoding: chunked\r\n\r\n"
            )
            self.clock.add(time.monotonic(), self.more)
        else:
            answer = next(self.long if b'"model":"gpt-4o-mini"' in rest else self.short)
            if delay := float(wishes.get("delay", 0)):
                self.clock.add(time.monotonic() + delay, lambda due: self.transport.write(answer))
            else:
                self.transport.write(answer)

    def more(self, due: float) -> None:
        if self.transport.is_closing():
            return
        self.chunks -= 1
        if self.chunks < 0:
            self.transport.write(LAST)
        else:
            self.transport.write(CHUNK % time.monotonic_ns())
            self.clock.add(due + self.pause, self.more)


class Clock:
    """One timer for all streams: a timer each would cost more than what it starts."""

    def __init__(self) -> None:
        self.due, self.order = [], count()

    def add(self, when: float, task) -> None:
        heapq.heappush(self.due, (when, next(self.order), task))

    async def run(self) -> None:
        while True:
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                when, task = heapq.heappop(self.due)[::2]
                task(when)
            await asyncio.sleep(TICK)


async def main(port: int) -> None:
    chance, clock = random.Random(2), Clock()
    envelope = len(reply("", 0).partition(b"\r\n\r\n")[2])
    short = cycle([reply(words(chance, 1024 - envelope), number) for number in range(500)])
    long = cycle([reply(words(chance, 900), number) for number in range(2000)])
    server = await asyncio.get_running_loop().create_server(
        lambda: Client(clock, short, long), "127.0.0.1", port, backlog=2048
    )
    async with server:
        await clock.run()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
