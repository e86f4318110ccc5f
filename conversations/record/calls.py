"""What comes into the record and what goes out of it: a request, an open call, and its outcome."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple, Self
from uuid import UUID

from .. import exact_json
from ..models import Snapshot
from ..shape import Json
from ..speech import dialects
from ..speech.recorded import Recorded
from . import threads

TITLE = 50  # characters of the first user message
OPENING = re.compile(r"\s*<([A-Za-z][\w-]{0,63})>")  # a tag
REFUSED_KEPT = 64 << 10  # bytes of a refused request
REFUSED = "$refused"  # the field of a record's request that describes one which is not kept whole


class UnknownConversation(Exception):
    """The root id names no conversation of this owner."""


class Received(NamedTuple):
    """A body as it came: its beginning, and what tells whether another is the same."""

    start: bytes  # of REFUSED_KEPT bytes at most
    length: int
    sha256: str  # hex

    @classmethod
    def of(cls, data: bytes) -> Self:
        return cls(data[:REFUSED_KEPT], len(data), sha256(data).hexdigest())

    def describe(self) -> Json:
        text = self.start.decode(errors="replace")
        return {REFUSED: {"length": self.length, "sha256": self.sha256, "text": text}}


@dataclass(slots=True, kw_only=True)
class CallRequest:
    """A request as it will leave.

    `body` is what is sent; `messages` are those of it that the record threads, in order (for an
    image: its prompt).
    """

    owner: int
    kind: str
    model: str
    body: Json
    messages: list[Json] = field(default_factory=list)
    sent: bytes = b""  # the bytes that leave
    received: Received | None = None  # what a program sent, whether or not it could be read
    upstream: str = ""
    root: UUID | None = None  # the conversation that the client names
    session_key: str | None = None  # or the client's own name for one
    end_user: str = ""  # cleaned: the person for whom a shared key speaks
    use_case: str = ""  # the name of the one whose system prompt leads the messages
    threads_by_content: bool = True  # may continue a conversation that its messages repeat
    # Whether the client says that it has sent this before. None: it may have, without a word.
    is_retry: bool | None = False
    title: str = ""
    key: str = ""  # the prefix of the API key
    address: str | None = None
    user_agent: str = ""
    opened: datetime | None = None  # none: now
    classic_id: UUID | None = None  # of an imported row: conversations.imports.classic
    classic: Json | None = None
    classic_root: str | None = None  # of the conversation, where this call begins it
    about: UUID | None = None  # the conversation that it titles or assesses, being in none itself
    covers: int | None = None  # answered calls of that conversation, of which it takes account

    def split(self) -> Recorded:
        """Bring it in the form of its record. All but a chat keeps its body whole."""
        if self.kind == Snapshot.Kind.CHAT and self.messages:
            return dialects.split_request(self.body | {"messages": self.messages}, "chat")
        return Recorded(self.body, *threads.split_preamble(self.messages))


@dataclass(slots=True)
class Call:
    """An open snapshot: what its close has to know."""

    id: UUID
    conversation: UUID | None
    owner: int
    model: str
    kind: str
    opened: datetime
    thread_key: bytes
    head: UUID | None = None  # the last message of the request, its path hash, its depth
    head_hash: bytes | None = None
    head_words: bytes | None = None  # its word hash
    head_depth: int = -1


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How a call ended.

    `replies` are the assistant messages of its choices, `response` the upstream's JSON with them.
    """

    status: str
    replies: list[Json] = field(default_factory=list)
    response: Json | None = None
    served_model: str = ""
    finish_reason: str = ""
    upstream_id: str = ""
    upstream: str = ""  # that served, where it is not the first that was meant to
    attempts: list[Json] = field(default_factory=list)  # where the first of them failed
    upstream_request_id: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    estimated: bool = False
    cost: Decimal | None = None
    cost_source: str = ""  # of Snapshot.CostSource
    error_code: str = ""
    error: str = ""
    first_byte: datetime | None = None
    closed: datetime | None = None


def shorten_refused(request: CallRequest) -> Json:
    """Return the body as a refusal keeps it: whole where it was read and is small.

    One with a name that is ours is described: nothing that a caller sent is taken for our words.
    """
    received = request.received or Received.of(exact_json.dumps(request.body))
    is_kept = request.body and received.length <= REFUSED_KEPT
    if not received.length or (is_kept and not dialects.find_reserved(request.body)):
        return request.body
    return received.describe()


def make_title(messages: list[Json]) -> str:
    """Make a title of the beginning of the first question; without any, of what a user said."""
    asked = [message for message in messages if message.get("role") == "user"]
    questions = (extract_question(message) for message in asked)
    texts = (threads.extract_text(message).strip() for message in asked)
    text = next(filter(None, questions), "") or next(filter(None, texts), "")
    return " ".join(text[: 4 * TITLE].split())[:TITLE]


def extract_question(message: Json) -> str:
    """Return what a person asked in a user message: not what an agent put before it in tags.

    Such are <system-reminder>…</system-reminder>, <environment_context>…</environment_context>.
    """
    text = threads.extract_text(message)
    start = 0
    while opening := OPENING.match(text, start):
        closing = f"</{opening[1]}>"
        end = text.find(closing, opening.end())
        if end < 0:
            break
        start = end + len(closing)
    return text[start:].strip()


def estimate_tokens(text: str) -> int:
    """Count tokens where no upstream did: one for four bytes, near for English, high for code."""
    return -(-len(text.encode(errors="replace")) // 4)
