"""A conversation for its owner to keep: one branch as Markdown, or everything as JSON.

Files are named by their sha256 and not contained.
"""

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from ..models import Conversation, Message, Snapshot
from ..record import attachments, threads
from ..shape import Json
from ..visible import HIDDEN
from . import lines
from .call_words import role_name
from .tree import Node, build_tree

LONGEST = 80  # characters of a file's name


def make_file_name(title: str, suffix: str) -> str:
    """Keep letters, digits, blanks, hyphens and underscores of a title that a person wrote."""
    plain = HIDDEN.sub("", unicodedata.normalize("NFKC", title))
    words = re.sub(r"[^\w-]+", " ", plain).strip(" -_")
    return f"{words[:LONGEST].strip() or 'conversation'}.{suffix}"


def render_markdown(conversation: Conversation, at: UUID | None) -> bytes:
    """Write the branch through the message `at`; without one, the newest."""
    tree = build_tree(conversation.messages.for_owner(), _calls(conversation))
    line = lines.trace(tree, at)
    preamble = tree.path_to(line.call.preamble_id) if line.call else []
    title = " ".join(conversation.title.split()) or _("Untitled conversation")
    parts = [
        f"# {title}",
        _("Exported %(moment)s.") % {"moment": _format_moment(timezone.now())},
    ]
    for node in [*preamble, *line.nodes]:
        parts += [_heading(node), *_texts(_message(node.message))]
    return ("\n\n".join(parts) + "\n").encode(errors="replace")


def _heading(node: Node) -> str:
    answered = (call for call in node.calls if call.reply_id)
    call = max(answered, key=lambda call: call.id, default=None)
    name = _speaker(node.message.role, call)
    moment = f" · {_format_moment(call.closed)}" if call and call.closed else ""
    return f"## {' '.join(name.split())}{moment}"


def _speaker(role: str, call: Snapshot | None) -> str:
    if role == "tool":
        return _("Result of a tool")
    return role_name(role) or (call.model if call else "") or _("Assistant")


def render_json(conversation: Conversation) -> bytes:
    """Write every message and call that the owner may see, messages in the order of sending."""
    rows = conversation.messages.for_owner().order_by("snapshot", "depth", "id")
    content = {
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
                "cost_source": call.cost_source,
            }
            for call in _calls(conversation)
        ],
    }
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(content, default=str, option=options)


def _calls(conversation: Conversation) -> QuerySet[Snapshot]:
    return (
        conversation.snapshots.filter(kind__in=[Snapshot.Kind.CHAT, Snapshot.Kind.IMAGE])
        .defer("params", "response", "salt", "commitment")
        .order_by("id")
    )


def _message(row: Message) -> Json:
    message = threads.put_together(row.role, row.text, row.raw)
    return attachments.restore(message, attachments.describe_file)


def _format_moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _texts(message: Json) -> Iterator[str]:
    """List a message's texts as they are, and all else as JSON in a fence that it cannot close."""
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
