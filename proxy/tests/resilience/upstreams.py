"""Upstreams that fail, and what they were sent."""

import json
import socket
import threading
from contextlib import suppress

from proxy.tests.wire import SSE, Answer, Wire, chunk, exactly, json_reply, word

CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Fine."}, "finish_reason": "stop"}
ANSWER = json.dumps(
    {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}
).encode()
FINE = json_reply(ANSWER)
STREAM = exactly(
    SSE, chunk(word("Fi")), chunk(word("ne.", "stop")), chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
)


class Mortal(Wire):
    """Can be killed, with whatever it is doing, and comes back at the same address."""

    def die(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in list(self.open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def revive(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        threading.Thread(target=self._accept, daemon=True).start()


def the_last(first: Wire, second: Wire) -> Wire:
    found = first if first.seen else second
    first.seen.clear()
    second.seen.clear()
    return found


def tries(snapshot) -> list[tuple[str, int | None, str]]:
    return [
        (each["upstream"], each["status"], each["error"])
        for each in json.loads(snapshot.attempts or "[]")
    ]


def no_stream(*events: object) -> Answer:
    """A stream that ends without an answer."""
    return exactly(
        SSE,
        *(chunk(b"data: %s\n\n" % json.dumps(event).encode()) for event in events),
        b"0\r\n\r\n",
    )


ROLE = {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}

NOT_NOW = {"error": {"message": "not now"}}

NO_ANSWERS = {  # at status 200, before anything of an answer
    "an error event": (no_stream({"error": {"message": "not now"}}), True, 200, "upstream_failed"),
    "an error event that names its status": (
        no_stream({"error": {"message": "not now", "code": 503}}),
        True,
        503,
        "upstream_failed",
    ),
    "an error event that means one": (
        no_stream({"error": {"message": "not now", "type": "rate_limit_error", "code": "busy"}}),
        True,
        429,
        "busy",
    ),
    "a role, then an error": (
        no_stream(ROLE, {"error": {"message": "not now"}}),
        True,
        200,
        "upstream_failed",
    ),
    "a filter's results, then an error": (
        no_stream({"choices": [], "prompt_filter_results": [{}]}, NOT_NOW),
        True,
        200,
        "upstream_failed",
    ),
    "usage, then an error": (
        no_stream({"choices": [], "usage": {"prompt_tokens": 9}}, NOT_NOW),
        True,
        200,
        "upstream_failed",
    ),
    "empty deltas, then an error": (
        no_stream({"choices": [{"index": 0, "delta": {}, "finish_reason": None}]}, ROLE, NOT_NOW),
        True,
        200,
        "upstream_failed",
    ),
    "signs of life, then an error": (
        exactly(
            SSE,
            chunk(b": working\n\n"),
            chunk(b'event: ping\ndata: {"type": "ping"}\n\n'),
            chunk(b"data: %s\n\n" % json.dumps(NOT_NOW).encode()),
            b"0\r\n\r\n",
        ),
        True,
        200,
        "upstream_failed",
    ),
    "a role, then the end": (no_stream(ROLE), True, 200, "upstream_truncated"),
    "a role, then a cut": (
        exactly(SSE, chunk(b": hello\n\n"), chunk(b"data: %s\n\n" % json.dumps(ROLE).encode())),
        True,
        200,
        "upstream_truncated",
    ),
    "a stream that ends": (no_stream(), True, 200, "upstream_truncated"),
    "a stream that is cut": (exactly(SSE), True, 200, "upstream_truncated"),
    "half an event": (exactly(SSE, chunk(b'data: {"choices": [')), True, 200, "upstream_truncated"),
    "no events": (no_stream("odd"), True, 200, "upstream_bad_reply"),
    "an error as JSON": (
        json_reply(b'{"error": {"message": "not now"}}'),
        False,
        200,
        "upstream_failed",
    ),
    "an error as JSON for a stream": (
        json_reply(b'{"error": {"message": "not now", "code": "500"}}'),
        True,
        500,
        "upstream_failed",
    ),
    "an error event for JSON": (
        no_stream({"error": {"message": "not now"}}),
        False,
        200,
        "upstream_failed",
    ),
    "a page": (
        json_reply(b"<html>Sign in</html>", kind="text/html"),
        False,
        200,
        "upstream_bad_reply",
    ),
    "JSON without an answer": (json_reply(b'{"choices": null}'), False, 200, "upstream_bad_reply"),
}
