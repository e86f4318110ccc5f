"""A conversation for its owner to keep: one branch as Markdown, or everything as JSON.

Files are named by their sha256 and not contained. It is written as it is read: of the texts, memory
holds a few MB, or one message.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import database, exact_json
from ..models import Conversation, Message, Snapshot
from ..packs import pack
from ..record import attachments, threads
from ..record.rebuild import MOST_BYTES
from ..shape import Json
from ..visible import HIDDEN
from . import lines
from .call_words import role_name
from .tree import Node, build_tree

MOST_ROWS = 1000  # messages that are read in one go
LONGEST = 80  # characters of a file's name


def make_file_name(title: str, suffix: str) -> str:
    """Keep letters, digits, blanks, hyphens and underscores of a title that a person wrote."""
    plain = HIDDEN.sub("", unicodedata.normalize("NFKC", title))
    words = re.sub(r"[^\w-]+", " ", plain).strip(" -_")
    return f"{words[:LONGEST].strip() or 'conversation'}.{suffix}"


def stream_markdown(conversation: Conversation, at: UUID | None) -> Iterator[bytes]:
    """Write the branch through the message `at`; without one, the newest."""
    tree = build_tree(conversation.messages.for_owner().without_texts(), _calls(conversation))
    line = lines.trace(tree, at)
    preamble = tree.path_to(line.call.preamble_id) if line.call else []
    title = " ".join(conversation.title.split()) or _("Untitled conversation")
    exported = _("Exported %(moment)s.") % {"moment": _format_moment(timezone.now())}
    yield f"# {title}\n\n{exported}".encode(errors="replace")
    nodes = [*preamble, *line.nodes]
    messages = read_texts([node.message for node in nodes])
    for node, (_row, message) in zip(nodes, messages, strict=True):
        parts = ["", _heading(node), *_texts(message)]
        yield "\n\n".join(parts).encode(errors="replace")
    yield b"\n"


def read_texts(rows: Iterable[Message]) -> Iterator[tuple[Message, Json]]:
    """Yield with each row its message, files named by their sha256.

    The rows come without texts (MessageQuerySet.without_texts). As many texts are read in one go as
    memory holds, and no connection is held while a message is written.
    """
    for part in pack(rows, lambda row: row.size, MOST_BYTES, MOST_ROWS):  # type: ignore[attr-defined]
        texts = Message.objects.filter(id__in=[row.id for row in part])
        found = {row: text for row, *text in texts.values_list("id", "text", "raw")}
        database.release()
        for row in part:
            message = threads.put_together(row.role, *found[row.id])
            yield row, attachments.restore(message, attachments.describe_file)


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


def stream_json(conversation: Conversation) -> Iterator[bytes]:
    """Write every message and call that the owner may see, messages in the order of sending."""
    rows = list(
        conversation.messages.for_owner().without_texts().order_by("snapshot", "depth", "id")
    )
    calls = list(_calls(conversation))
    head = {
        "id": conversation.id,
        "title": conversation.title,
        "started": conversation.started,
        "exported": timezone.now(),
    }
    yield _indent(head).removesuffix("\n}").encode()
    messages = (
        {"id": row.id, "parent": row.parent_id, "call": row.snapshot_id, "message": message}
        for row, message in read_texts(rows)
    )
    yield from _list_field("messages", messages)
    yield from _list_field("calls", map(_describe_call, calls))
    yield b"\n}\n"


def _list_field(name: str, values: Iterable[Json]) -> Iterator[bytes]:
    """Write a last field of an object, a list, one value at a time."""
    yield f',\n  "{name}": ['.encode()
    comma = ""
    for value in values:
        lines_of_value = _indent(value).replace("\n", "\n    ")  # no text has a bare line end
        yield f"{comma}\n    {lines_of_value}".encode()
        comma = ","
    yield b"\n  ]" if comma else b"]"


def _indent(value: Json) -> str:
    return orjson.dumps(value, default=_write, option=orjson.OPT_INDENT_2).decode()


def _describe_call(call: Snapshot) -> Json:
    return {
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


def _write(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return exact_json.write_number(value) if isinstance(value, exact_json.Number) else str(value)


def _calls(conversation: Conversation) -> QuerySet[Snapshot]:
    return (
        conversation.snapshots.filter(kind__in=[Snapshot.Kind.CHAT, Snapshot.Kind.IMAGE])
        .defer("params", "response", "salt", "commitment", "classic")
        .order_by("id")
    )


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
    text = exact_json.dumps(value, option=orjson.OPT_INDENT_2).decode()
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}json\n{text}\n{fence}"
