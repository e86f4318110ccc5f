"""Server-sent events: bytes as they arrive → whole events, and what each says. Pure."""

import re
from collections.abc import Iterator

from conversations import exact_json

DONE = b"[DONE]"  # the end mark
LONGEST_END = 8  # bytes of its spellings
BOM = b"\xef\xbb\xbf"
# The first line of a stream, whatever it is labelled: a field of an event, or a comment.
FIRST_LINE = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry|error)?:")
# Data that says nothing: an empty value, a comment in the place of data, a word of a connection.
NOTHING = re.compile(
    rb"(?:null|\"\"|\[\s*\]|:[^{]*|\W*(?:ping|pong|heart.?beat|keep.?alive)\W*)?", re.IGNORECASE
)
SIGN_OF_LIFE = b":\n\n"  # a comment: clients read on


def is_stream(begin: bytes) -> bool:
    """Tell by its first bytes whether a body is a stream; its content type may say anything."""
    return FIRST_LINE.match(begin) is not None


class Cutter:
    """Cuts what arrives into whole events, in time linear in its bytes.

    Lines may end in LF, CRLF, CR or all of them; they leave with LF. A BOM ahead is dropped: to
    clients the first field would have another name with it.
    """

    def __init__(self) -> None:
        self.size = 0  # bytes of the event that is not whole yet
        self._held: list[bytes] = []
        self._begun = self._after_cr = False

    def cut(self, data: bytes) -> bytes:
        """Return the events that became whole by these bytes."""
        if not self._begun:
            data = self._begin(data)
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        if not self._held and data.endswith(b"\n\n"):
            return data
        if (end := data.rfind(b"\n\n") + 2) == 1:  # none: the blank line may be cut in two
            end = int(data[:1] == b"\n" and self._held[-1:] != [] and self._held[-1][-1:] == b"\n")
        if not end:
            self._hold(data)
            return b""
        whole = b"".join([*self._held, data[:end]])
        self._held, self.size = [], 0
        self._hold(data[end:])
        return whole

    def finish(self) -> bytes:
        """Return the last event where it lacks only its blank line; half an event is dropped."""
        rest = b"".join(self._held)
        self._held, self.size = [], 0
        data = b"".join(data for _, data, _, _ in read(rest))
        try:
            if data != DONE:
                exact_json.loads(data)
        except ValueError:
            return b""
        return rest.rstrip(b"\n") + b"\n\n"

    def _hold(self, data: bytes) -> None:
        if data:
            self._held.append(data)
            self.size += len(data)

    def _begin(self, data: bytes) -> bytes:
        data = b"".join([*self._held, data])
        self._held, self.size = [], 0
        self._begun = len(data) >= len(BOM) or not BOM.startswith(data)
        return data.removeprefix(BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        if self._after_cr and data:
            data = data.removeprefix(b"\n")  # of a CRLF that was cut in two
            self._after_cr = False
        self._after_cr = self._after_cr or data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def read(piece: bytes) -> Iterator[tuple[bytes, bytes, int, int]]:
    """Yield of each event its name, its data, and where it starts and ends in the piece.

    Comments are skipped. A field `error` counts as an event of that name: some servers write it.
    """
    if piece.startswith(b"data:") and piece.find(b"\n") == len(piece) - 2:  # most are one
        yield b"", _strip(piece[5:]), 0, len(piece)
        return
    start = 0
    for block in piece.split(b"\n\n"):
        end = start + len(block) + 2
        if block.startswith(b"data:") and b"\n" not in block:
            yield b"", _strip(block[5:]), start, end
        elif block:
            name, data = _read_fields(block)
            if data is not None:
                yield name, data, start, end
        start = end


def _strip(data: bytes) -> bytes:
    """Return data without space around it; the end mark as OpenAI spells it."""
    data = data.strip()
    is_end = len(data) <= LONGEST_END and data.strip(b'"[]').upper() == b"DONE"
    return DONE if is_end else data


def hush(piece: bytes) -> bytes:
    """Put a comment in the place of each event that is but a sign of life: clients parse its data.

    So is one with a name of its own whose data is no object. One that says an error is none.
    """
    if piece.startswith(b"data: {") and piece.find(b"\n") == len(piece) - 2:  # most are one
        return piece
    kept, last = [], 0
    for name, data, start, end in read(piece):
        is_named = name not in (b"", b"message", b"error") and not data.startswith((b"{", b"["))
        if name != b"error" and data != DONE and (is_named or NOTHING.fullmatch(data)):
            kept += [piece[last:start], SIGN_OF_LIFE]
            last = end
    return b"".join([*kept, piece[last:]]) if kept else piece


def _read_fields(block: bytes) -> tuple[bytes, bytes | None]:
    name, data = b"", []
    for line in block.split(b"\n"):
        field, value = line.partition(b":")[::2]
        if field == b"event":
            name = value.strip()
        elif field == b"data":
            data.append(value.strip())
        elif field == b"error":
            name = field
            data.append(value.strip())
    return name, _strip(b"\n".join(data)) if data else None


def write(data: object) -> bytes:
    return b"data: %s\n\n" % exact_json.dumps(data)
