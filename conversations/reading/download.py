"""A conversation for its owner to take along: one branch as Markdown, or everything as JSON. Files are named by their sha256, not contained."""

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.utils import timezone

from ..models import Conversation, Message, Snapshot
from ..record import attachments, threads
from ..shape import Json
from ..visible import HIDDEN
from . import tree, turns

LONGEST = 80  # characters of a file's name
WHO = {
    "user": "You",
    "system": "System prompt",
    "developer": "System prompt",
    "tool": "Result of a tool",
}


def name(title: str, suffix: str) -> str:
    """A file's name from a title: letters, digits, blanks, hyphens and underscores, whatever else somebody wrote there."""
    words = re.sub(r"[^\w-]+", " ", HIDDEN.sub("", unicodedata.normalize("NFKC", title))).strip(
        " -_"
    )
    return f"{words[:LONGEST].strip() or 'conversation'}.{suffix}"


def as_markdown(conversation: Conversation, at: UUID | None) -> bytes:
    """The branch through the message `at`; without one, the newest."""
    calls = list(_calls(conversation))
    grown = tree.build_tree(conversation.messages.for_owner(), calls)
    line = turns.line(grown, at)
    nodes = grown.path_to(line.call.preamble_id) if line.call else []
    parts = [
        f"# {' '.join(conversation.title.split()) or 'Untitled conversation'}",
        f"Exported {_moment(timezone.now())}.",
    ]
    for node in [*nodes, *line.nodes]:
        row = node.message
        call = max(
            (call for call in node.calls if call.reply_id), key=lambda call: call.id, default=None
        )
        who = WHO.get(row.role) or (call.model if call else "") or "Assistant"
        when = f" · {_moment(call.closed)}" if call and call.closed else ""
        parts += [f"## {' '.join(who.split())}{when}", *_said(_message(row))]
    return ("\n\n".join(parts) + "\n").encode(errors="replace")


def as_json(conversation: Conversation) -> bytes:
    rows = conversation.messages.for_owner().order_by("snapshot", "depth", "id")
    found = {
        "id": conversation.id,
        "title": conversation.title,
        "started": conversation.started,
        "exported": timezone.now(),
        "messages": [
            {
                "id": row.id,
                "parent": row.parent_id,
                "call": row.snapshot_id,
                "message": _message(row),
            }
            for row in rows
        ],
        "calls": [
            {
                "id": call.id,
                "kind": call.kind,
                "model": call.model,
                "served_model": call.served_model,
                "use_case": call.use_case,
                "status": call.status,
                "error": call.error,
                "opened": call.opened,
                "closed": call.closed,
                "last_message": call.head_id,
                "reply": call.reply_id,
                "prompt_tokens": call.prompt_tokens,
                "completion_tokens": call.completion_tokens,
                "cost": call.cost,
            }
            for call in _calls(conversation)
        ],
    }
    return orjson.dumps(found, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _calls(conversation: Conversation):
    return (
        conversation.snapshots.filter(kind__in=[Snapshot.Kind.CHAT, Snapshot.Kind.IMAGE])
        .defer("params", "response", "salt", "commitment")
        .order_by("id")
    )


def _message(row: Message) -> Json:
    return attachments.restore(
        threads.put_together(row.role, row.text, row.raw), attachments.describe_file
    )


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"


def _said(message: Json) -> Iterator[str]:
    """Text as it was written; what is no text, as JSON in a fence that nothing in it closes."""
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text
        elif not threads.is_empty(part):
            yield _fenced(part)
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        yield refusal
    for key in ("tool_calls", "function_call"):
        if message.get(key):
            yield _fenced(message[key])


def _fenced(value: Any) -> str:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}json\n{text}\n{fence}"
