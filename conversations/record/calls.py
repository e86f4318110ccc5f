"""What comes into the record and what goes out of it: a request, an open call, and how it ended."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from ..shape import Json
from . import threads

TITLE = 50  # characters of the first user message


class UnknownConversation(Exception):
    """The root id names no conversation of this owner."""


@dataclass(slots=True, kw_only=True)
class CallRequest:
    """A request as it will leave. `body` is what is sent; `messages` what of it is said, in order (for an image: its prompt)."""

    owner: int
    kind: str
    model: str
    body: Json
    messages: list[Json] = field(default_factory=list)
    sent: bytes = b""  # the bytes that leave
    upstream: str = ""
    root: UUID | None = None  # the conversation that the client names
    session_key: str | None = None  # or its own name for one
    end_user: str = ""
    use_case: str = ""  # the name of the one whose system prompt leads the messages
    by_content: bool = True  # may be threaded by what it says
    retried: bool = False  # the client says that it has sent this before
    title: str = ""
    key: str = ""
    address: str | None = None
    user_agent: str = ""
    at: datetime | None = None
    classic_id: UUID | None = None  # of an imported row: conversations.imports.classic
    classic: Json | None = None
    classic_root: str | None = None  # of the conversation, where this call begins it
    about: UUID | None = None  # the conversation that it is to title or to assess, in none itself


@dataclass(slots=True)
class Call:
    """An open snapshot: what its close has to know."""

    id: UUID
    conversation: UUID | None
    owner: int
    model: str
    kind: str
    opened: datetime
    key: bytes
    head: UUID | None = None
    head_hash: bytes | None = None
    head_depth: int = -1


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How a call ended. `replies` are the assistant messages of its choices, `response` the rest of the upstream's JSON."""

    status: str
    replies: list[Json] = field(default_factory=list)
    response: Json | None = None
    served_model: str = ""
    finish_reason: str = ""
    upstream_id: str = ""
    upstream: str = ""  # that served, where it is not the one that was meant to
    attempts: list[Json] = field(default_factory=list)  # where the first did not do
    upstream_request_id: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    estimated: bool = False
    cost: Decimal | None = None
    error_code: str = ""
    error: str = ""
    first_byte: datetime | None = None
    closed: datetime | None = None


def make_title(messages: list[Json]) -> str:
    """The beginning of the first thing that the user says."""
    said = next(
        (
            text
            for message in messages
            if message.get("role") == "user" and (text := threads.plain_text(message).strip())
        ),
        "",
    )
    return " ".join(said[: 4 * TITLE].split())[:TITLE]


def estimate_tokens(text: str) -> int:
    """Tokens, where nobody counted them: a token for four bytes, which is near for English and high for code."""
    return -(-len(text.encode(errors="replace")) // 4)
