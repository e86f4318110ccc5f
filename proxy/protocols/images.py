"""OpenAI's streams of pictures: partial ones, and then each whole one as an event. Pure.

Events pass as they came. Of a whole answer the record keeps the pictures, and only counts the
partial ones, which each show the same picture less well; of a broken one it keeps the newest
partial picture, which is the last that the caller saw. The last whole picture is the end of an
answer: it is held until its record is closed, or another event follows.
"""

import time
from dataclasses import dataclass
from typing import Any

from conversations import bounded_json
from conversations.shape import Json

from . import errors, events
from .chat import END, MOST_VALUES, problem
from .merge import Channel
from .usage import find_usage, merge_usage

PARTIAL, COMPLETED = ".partial_image", ".completed"
OF_PICTURE = ("b64_json", "url", "revised_prompt")
NOT_HEAD = {*OF_PICTURE, "type", "usage", "created_at", "partial_image_index", "data", "error"}


@dataclass(frozen=True)
class Pictures:
    """Streams of one call: `name` is image_generation or image_edit, `count` what it asked for."""

    name: str
    count: int = 1

    problem = staticmethod(problem)

    def new_reply(self) -> "Reply":
        return Reply(self.count)

    def as_stream(self, answer: Json) -> bytes:
        """Write each picture as an event, the usage with the last."""
        pictures = [item for item in answer.get("data") or [] if isinstance(item, dict)]
        head = {key: value for key, value in answer.items() if key not in ("data", "created")}
        usage = {"usage": head.pop("usage")} if "usage" in head else {}
        kind = self.name + COMPLETED
        written = []
        for i, picture in enumerate(pictures, 1):
            event: Json = {"type": kind, "created_at": answer.get("created")}
            event |= head | picture | (usage if i == len(pictures) else {})
            written.append(b"event: %s\n" % kind.encode() + events.write(event))
        return b"".join(written)

    def as_document(self, answer: Json, *_stand_ins: str) -> Json:
        document = {key: value for key, value in answer.items() if key != "partial_images"}
        return document | {"created": answer["created"] or int(time.time())}


def read_count(body: Json) -> int:
    """Read how many pictures a body asks for, as JSON or as a form's text."""
    text = str(body.get("n") or 1)
    return int(text) if text.isdecimal() and len(text) < 3 else 1


class Reply:
    """What a stream of pictures amounts to so far."""

    waiting = 0  # no string of it grows

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.done = self.bad = False
        self.answered = False
        self.error: Any = None
        self.notice: Any = None  # the words of an event that no picture followed yet
        self.held = b""
        self.usage: Json | None = None
        self.partials = 0
        self._head: Json = {}
        self._pictures: list[Json] = []
        self._newest: Json | None = None  # the partial picture of one that is not whole yet

    def feed(self, piece: bytes) -> bytes:
        """Take whole events in. Return those that the caller gets: all before one that ends it."""
        passed, last = [], 0
        for name, data, start, end in events.read(piece):
            passed += [self.held, piece[last:start]]
            self.held, last = b"", end
            before = len(self._pictures)
            try:
                self._read(name, data)
            except (ValueError, RecursionError):
                self.bad = True
            if self.ended:
                return b"".join(passed)
            if len(self._pictures) > before:
                self.held = piece[start:end]
            else:
                passed.append(piece[start:end])
        if self.held:
            self.held += piece[last:]
        else:
            passed.append(piece[last:])
        return b"".join(passed)

    def _read(self, name: bytes, data: bytes) -> None:
        """Raises ValueError, RecursionError."""
        if name == b"error":
            self.error = errors.parse(data)
            return
        if not data:
            return  # a sign of life
        if data == events.DONE:
            self.finish()
            self.done = self.error is None
            return
        event = bounded_json.parse(data, MOST_VALUES)
        if type(event) is not dict:
            raise ValueError
        kind = str(event.get("type") or name.decode(errors="replace"))
        is_failed = kind == "error" or kind.endswith(".failed")
        said = errors.find(event, is_failed=is_failed)
        if said is not None and not is_failed and errors.is_notice(event):
            self.notice = said
        else:
            self.error = said
        if self.error is None:
            self._add(kind, event)

    def _add(self, kind: str, event: Json) -> None:
        self.usage = merge_usage(self.usage, find_usage(event))
        whole = event.get("data")
        pictures = whole if isinstance(whole, list) else [event]
        found = [
            {key: each[key] for key in OF_PICTURE if each.get(key) is not None}
            for each in pictures
            if isinstance(each, dict) and (each.get("b64_json") or each.get("url"))
        ]
        self._head |= {key: each for key, each in event.items() if key not in NOT_HEAD}
        if created := event.get("created_at"):
            self._head["created"] = created
        if not found:
            return
        self.answered, self.notice = True, None
        if kind.endswith(PARTIAL):
            self.partials += 1
            self._newest = found[0] | {"partial_image_index": event.get("partial_image_index")}
        else:
            self._pictures += found
            self._newest = None

    @property
    def ended(self) -> bool:
        return self.done or self.bad or self.error is not None

    @property
    def begun(self) -> bool:
        return self.answered

    @property
    def finished(self) -> bool:
        return bool(self._pictures)

    @property
    def complete(self) -> bool:
        return len(self._pictures) >= self.count

    @property
    def end(self) -> bytes:
        """The API has no end mark; one that an upstream sends passes."""
        return END if self.done else b""

    def finish(self) -> None:
        if not (self.done or self.finished) and self.error is None:
            self.error = self.notice

    def take(self) -> list[tuple[Channel, str]]:
        return []

    def whole(self) -> Json | None:
        """Return the document; None before the first picture."""
        pictures = self._pictures + ([self._newest] if self._newest else [])
        if not pictures:
            return None
        answer: Json = {"created": None} | self._head | {"data": pictures}
        if self.partials:
            answer["partial_images"] = self.partials
        return answer | ({"usage": self.usage} if self.usage else {})
