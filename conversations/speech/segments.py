"""What a message says, segment by segment, whatever its dialect; and how a part of it is read.

A `Shape` says which fields of a part hold what. `reading` takes these and nothing else, so that a
field which no shape names, or which holds something else than it should, is a segment of its own
kind: unseen. Nothing is lost between what is known and what is sent.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

Json = dict[str, Any]
FILE = "$attachment"  # the key of a reference that stands where a file was taken out


class SegmentKind(StrEnum):
    TEXT = "text"
    THINKING = "thinking"
    REFUSAL = "refusal"
    CALL = "call"  # of a tool that the client runs
    RESULT = "result"  # of such a call
    SERVER_CALL = "server_call"  # of a tool that the provider runs; what it found may be inside
    SERVER_RESULT = "server_result"
    CITATION = "citation"
    PICTURE = "picture"
    AUDIO = "audio"
    VIDEO = "video"
    DOCUMENT = "document"
    TOOL = "tool"  # that may be called
    SUMMARY = "summary"  # of a history that the provider has compacted
    UNSEEN = "unseen"  # a field or a part that none of these holds, with its name


class Segment(NamedTuple):
    kind: SegmentKind
    text: str = ""  # words: what is said, thought, cited; arguments or results that are a text
    name: str = ""  # of a tool, a document, a source; of what is unseen, with dots between fields
    call: str = ""  # the id of a call, which its result names
    address: str = ""  # of a picture, a document, a source: a URL, also one of data:
    file: Any = None  # base64, or the reference in its place
    value: Any = None  # JSON that is no text: arguments, a tool, what is unseen
    inner: "tuple[Segment, ...]" = ()  # of a result its texts and files; of any what is unseen
    type: str = ""  # what its dialect calls it, where it does


@dataclass(frozen=True, slots=True)
class Shape:
    """Which fields of a part hold what."""

    kind: SegmentKind
    text: tuple[str, ...] = ()  # each that is a string
    name: tuple[str, ...] = ()  # of these and the following the first that is
    call: tuple[str, ...] = ()
    address: tuple[str, ...] = ()
    file: tuple[str, ...] = ()
    value: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()  # parts: a text, an object or a list of them
    inner_kind: SegmentKind = SegmentKind.TEXT  # of texts inside
    untyped: str = "text"  # the type of objects inside that name none
    tools: tuple[str, ...] = ()  # lists of tools that may be called
    opened: tuple[str, ...] = ()  # objects whose fields are read as if they were the part's own
    default_name: str = ""


# Fields that say nothing to a person, or to a model's next turn: names of things, states, seals.
OPAQUE = frozenset(
    """
    id type role index status phase signature encrypted_content encrypted_index fingerprint
    cache_control detail format media_type container_id created_by expires_at logprobs
""".split()
)


def is_opaque(segment: Segment) -> bool:
    """Tell whether it is a field that pages fold away and hashes leave out."""
    return segment.kind == SegmentKind.UNSEEN and segment.name.rpartition(".")[2] in OPAQUE


def walk(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Yield segments and all that is inside them, in the order of the message."""
    waiting = [*segments][::-1]
    while waiting:
        segment = waiting.pop()
        yield segment
        waiting += segment.inner[::-1]


def join_texts(segments: Iterable[Segment], *kinds: SegmentKind, between: str = "\n") -> str:
    """Return the words of all segments of these kinds."""
    texts = (segment.text for segment in walk(segments) if segment.kind in kinds)
    return between.join(filter(None, texts))
