"""Server-sent events of a chat completion: a stream's bytes → its reply, and back. Pure."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from conversations.shape import Json

from ..protocols.usage import find_usage, merge_usage

DIGEST = 16 * 1024  # bytes that may wait to be parsed
NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
DONE = re.compile(rb"data: *\[DONE\]\r?\n\r?\n")


def length_of_whole(buffer: bytes) -> int:
    """Bytes of the part of `buffer` that consists of whole events."""
    return max(
        buffer.rfind(b"\n\n") + 2 if b"\n\n" in buffer else 0,
        buffer.rfind(b"\r\n\r\n") + 4 if b"\r\n\r\n" in buffer else 0,
    )


def read_events(raw: bytes) -> Iterator[bytes]:
    """Yield the data of each event; skip comments and other fields."""
    for block in raw.replace(b"\r\n", b"\n").split(b"\n\n"):
        if block.startswith(b"data:") and b"\n" not in block:
            yield block[5:].lstrip(b" ")
        elif lines := [
            line[5:].lstrip(b" ") for line in block.split(b"\n") if line.startswith(b"data:")
        ]:
            yield b"\n".join(lines)


def drop_usage(piece: bytes) -> bytes:
    """Drop the events that carry nothing but usage; everything else stays byte for byte."""
    if not NO_CHOICES.search(piece):
        return piece
    return b"".join(
        block for block in re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)", piece) if not _usage_only(block)
    )


def _usage_only(block: bytes) -> bool:
    try:
        event = orjson.loads(b"".join(read_events(block)))
        return event["choices"] == [] and bool(event.get("usage"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def change_events(piece: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Have the data of each event changed; an event that stays equal keeps its bytes."""
    blocks = re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)", piece)
    return b"".join(_change_event(block, change) for block in blocks)


def _change_event(block: bytes, change: Callable[[bytes], bytes]) -> bytes:
    data = b"".join(read_events(block))
    changed = change(data)
    return block if changed == data else b"data: %s\n\n" % changed


def mend(buffer: bytes) -> bytes:
    """Give the last event of a stream the blank line that it lacks, or drop half an event."""
    end = length_of_whole(buffer)
    data = b"".join(read_events(buffer[end:]))
    try:
        if data != b"[DONE]":
            orjson.loads(data)
    except ValueError:
        return buffer[:end]
    return buffer.rstrip(b"\r\n") + b"\n\n"


def drop_done(piece: bytes) -> bytes:
    return DONE.sub(b"", piece)


class StreamedReply:
    """What a stream amounts to so far, parsed now and then so that little of it is held."""

    def __init__(self) -> None:
        self._raw: list[bytes] = []
        self._size = 0
        self.waiting = 0  # bytes since the text was last taken
        self.head: Json = {}  # id, created, model and whatever else the first event says
        self.usage: Json | None = None
        self.error: Any = None
        self.done = False  # [DONE] was seen
        self.bad = 0  # events that made no sense
        self._choices: dict[int, _Choice] = {}
        self._taken = 0  # pieces of the first choice's text that take_text has given away

    def feed(self, piece: bytes) -> None:
        self._raw.append(piece)
        self._size += len(piece)
        self.waiting += len(piece)
        if self._size > DIGEST:
            self.digest()

    def digest(self) -> None:
        raw = b"".join(self._raw)
        self._raw, self._size = [], 0
        for data in read_events(raw):
            if data == b"[DONE]":
                self.done = True
                continue
            if not data:
                continue  # a sign of life
            try:
                self._add(orjson.loads(data))
            except (ValueError, AttributeError, TypeError, KeyError):
                self.bad += 1

    def _add(self, event: Json) -> None:
        if event.get("error"):
            self.error = event["error"]
        self.usage = merge_usage(self.usage, find_usage(event))
        if not self.head and event.get("id"):
            self.head = {
                key: value
                for key, value in event.items()
                if key not in ("choices", "usage", "object", "obfuscation")
            }
        for choice in event.get("choices") or ():
            index = choice.get("index")
            self._choices.setdefault(index if type(index) is int else 0, _Choice()).add(choice)

    @property
    def begun(self) -> bool:
        """Whether something of an answer came."""
        return bool(self._choices)

    @property
    def finished(self) -> bool:
        """Whether every choice has said why it ended."""
        return bool(self._choices) and all(
            choice.finish_reason for choice in self._choices.values()
        )

    def take_text(self) -> str:
        """Return the first choice's text since the last time."""
        self.waiting = 0
        choice = self._choices.get(0)
        if choice is None:
            return ""
        pieces, self._taken = choice.text[self._taken :], len(choice.text)
        return "".join(pieces)

    def completion(self) -> Json | None:
        """Return the JSON that `stream: false` would have given; None before the first choice."""
        if not self._choices:
            return None
        choices = [
            {"index": index} | choice.as_json() for index, choice in sorted(self._choices.items())
        ]
        return self.head | {"object": "chat.completion", "choices": choices, "usage": self.usage}


class _Choice:
    def __init__(self) -> None:
        self.role = "assistant"
        self.text: list[str] = []
        self.finish_reason: str | None = None
        self.tools: dict[int, Json] = {}
        self.words: dict[str, list[str]] = {}
        self.more: dict[str, Any] = {}
        self.logprobs: Any = None

    def add(self, choice: Json) -> None:
        for key, value in (choice.get("delta") or {}).items():
            if value is None:
                continue
            if key == "content":
                self.text.append(str(value))
            elif key == "role":
                self.role = str(value)
            else:
                self._add_field(key, value)
        if isinstance(logprobs := choice.get("logprobs"), dict):
            self._add_logprobs(logprobs)
        self.finish_reason = choice.get("finish_reason") or self.finish_reason

    def _add_field(self, key: str, value: Any) -> None:
        if key == "tool_calls":
            for part in value:
                self._add_tool(part)
        elif key == "function_call" and isinstance(value, dict):  # how tools were called once
            _grow(self.more.setdefault(key, {"name": "", "arguments": ""}), value)
        elif isinstance(value, str):  # refusal, reasoning_content and whatever comes next
            self.words.setdefault(key, []).append(value)
        elif isinstance(value, list):
            self.more[key] = self.more.get(key, []) + value
        else:
            self.more[key] = value

    def _add_logprobs(self, logprobs: Json) -> None:
        for key, value in logprobs.items():
            self.logprobs = self.logprobs or {}
            before = self.logprobs.get(key) or []
            self.logprobs[key] = before + value if isinstance(value, list) else value

    def _add_tool(self, part: Json) -> None:
        index = part.get("index")
        if type(index) is not int:  # some do not count: an id begins a call
            index = len(self.tools) if part.get("id") or not self.tools else max(self.tools)
        call = self.tools.setdefault(index, {"id": None, "type": "function"})
        for key, value in part.items():
            if key == "function" and value is not None:
                _grow(call.setdefault("function", {"name": "", "arguments": ""}), value)
            elif key != "index" and value is not None:
                call[key] = value

    def as_json(self) -> Json:
        text = "".join(self.text)
        message: Json = {"role": self.role, "content": text if text or not self.tools else None}
        message |= {key: "".join(pieces) for key, pieces in self.words.items()} | self.more
        if self.tools:
            message["tool_calls"] = [call for _, call in sorted(self.tools.items())]
        choice: Json = {"message": message, "finish_reason": self.finish_reason}
        return choice | {"logprobs": self.logprobs} if self.logprobs else choice


def _grow(function: Json, piece: Json) -> None:
    function["name"] = piece.get("name") or function["name"]
    function["arguments"] += piece.get("arguments") or ""


def make_stream(completion: Json) -> bytes:
    """Turn a JSON reply into the stream that the caller wanted, usage included."""
    head = {key: value for key, value in completion.items() if key not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"
    out: list[Json] = []
    for choice in completion.get("choices") or ():
        delta = dict(choice.get("message") or {})
        if delta.get("tool_calls"):
            delta["tool_calls"] = [
                call | {"index": i} for i, call in enumerate(delta["tool_calls"])
            ]
        index = choice.get("index", 0)
        reason = choice.get("finish_reason") or "stop"
        out.append(head | {"choices": [{"index": index, "delta": delta, "finish_reason": None}]})
        out.append(head | {"choices": [{"index": index, "delta": {}, "finish_reason": reason}]})
    if completion.get("usage"):
        out.append(head | {"choices": [], "usage": completion["usage"]})
    return b"".join(b"data: %s\n\n" % orjson.dumps(event) for event in out) + b"data: [DONE]\n\n"


def make_error_event(error: Json) -> bytes:
    return b"data: %s\n\n" % orjson.dumps({"error": error})
