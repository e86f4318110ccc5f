"""A line of a conversation as its pages show it: turns in order, each with what it says, its versions and how its call ended. Pure.

A question whose newest call brought no reply (it waits, or it failed) ends the line: that call stands where the answer would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.safestring import SafeString

from .. import shape
from ..models import Attachment, Snapshot
from ..record import threads
from ..record.attachments import MARK
from . import markdown, rendered
from .attachment_response import RASTER
from .tree import Node, Tree

USELESS = {
    "content_policy_violation",
    "moderation_blocked",
    "content_filter",
    "invalid_request_error",
}  # what the same question meets again
TOO_LONG = {"context_length_exceeded", "string_above_max_length"}


@dataclass(slots=True)
class TurnPiece:
    """A part of a message: `kind` is text, html, image, file, link, call, json or note."""

    kind: str
    text: str | SafeString = ""
    name: str = ""
    attachment: Attachment | None = None
    alt: str = ""


@dataclass(slots=True)
class Problem:
    """How a call ended, where that was not well, and what to do: retry, edit, new (conversation) or nothing."""

    title: str
    text: str = ""
    action: str = ""


@dataclass(slots=True)
class Version:
    """Which of how many, and the ids that show the neighbours."""

    number: int
    count: int
    before: UUID | None
    after: UUID | None


@dataclass(slots=True)
class Turn:
    anchor: UUID
    kind: str  # question, answer or aside (a tool, a system message)
    who: str
    pieces: list[TurnPiece] = field(default_factory=list)
    call: Snapshot | None = None
    question: UUID | None = None  # the message that can be edited
    claimed: bool = False
    figures: str = ""
    note: str = ""
    version: Version | None = None
    problem: Problem | None = None

    @property
    def pending(self) -> bool:
        return self.call is not None and self.call.status == Snapshot.Status.PENDING

    @property
    def can_be_regenerated(self) -> bool:
        return (
            self.call is not None
            and self.call.kind == Snapshot.Kind.CHAT
            and not self.pending
            and not self.problem
        )


@dataclass(slots=True)
class Line:
    """The nodes from a root down; `open` is the call that stands where the last one's answer would."""

    nodes: list[Node]
    target: Node | None
    open: Snapshot | None

    def exchanges(self) -> list[int]:
        """Where each begins: at a question that follows none."""
        roles = [node.message.role for node in self.nodes]
        return [
            i
            for i, role in enumerate(roles)
            if role == "user" and (i == 0 or roles[i - 1] != "user")
        ]

    def first_of(self, count: int) -> int:
        """Where the last `count` exchanges begin; earlier where the target is."""
        starts = self.exchanges()
        first = starts[-count] if len(starts) > count else 0
        if self.target in self.nodes:
            at = self.nodes.index(self.target)
            first = min(first, max((start for start in starts if start <= at), default=0))
        return first

    @property
    def call(self) -> Snapshot | None:
        """The newest call of the line: what it was asked with is what the next question is asked with."""
        calls = [call for node in self.nodes for call in node.calls]
        return self.open or (max(calls, key=lambda call: call.id) if calls else None)


def line(tree: Tree, at: UUID | None) -> Line:
    """Through the message `at` and on to the newest; without one, of the newest call."""
    target = tree.nodes.get(at) if at else None
    node = target or tree.newest
    nodes = node.path if node else []
    while nodes and not (call := unanswered(nodes[-1])) and nodes[-1].children:
        nodes.append(nodes[-1].children[-1])
    return Line(nodes, target, call if nodes else None)


def unanswered(node: Node) -> Snapshot | None:
    """The newest call that this message ends, if it brought no reply and nothing that follows is newer."""
    call = max(
        (call for call in node.calls if call.reply_id is None),
        key=lambda call: call.id,
        default=None,
    )
    newest = max(
        (
            id
            for child in node.children
            for id in (child.message.snapshot_id, *(call.id for call in child.calls))
        ),
        default=None,
    )
    return call if call and (newest is None or call.id > newest) else None


def siblings(node: Node, tree: Tree) -> list[Node]:
    return (
        node.siblings
        if node.parent
        else [root for root in tree.roots if root.message.role == node.message.role] or [node]
    )


def turns(
    tree: Tree,
    shown: Line,
    first: int,
    said: dict[UUID, shape.Json],
    files: dict[str, Attachment],
    grown: Callable[[UUID], str],
) -> list[Turn]:
    """`said`: message id → the message, its files taken out; `files`: their sha256 in hex → the row."""
    made = [_turn(tree, node, said, files) for node in shown.nodes[first:]]
    tools = {id: name for message in said.values() for id, name in _tools(message)}
    for turn in made:
        if turn.kind == "aside" and (name := tools.get(str(said[turn.anchor].get("tool_call_id")))):
            turn.who = f"Result of {name}"
    if shown.open and (made or not shown.nodes):
        made.append(_open_turn(shown, grown))
    return made


def _turn(
    tree: Tree, node: Node, said: dict[UUID, shape.Json], files: dict[str, Attachment]
) -> Turn:
    anchor, message = node.message.id, said[node.message.id]
    if node.message.role != "assistant":
        who = {"user": "You", "system": "System prompt", "developer": "System prompt"}.get(
            node.message.role
        ) or f"Result of {message.get('name') or 'a tool'}"
        kind = "question" if node.message.role == "user" else "aside"
        turn = Turn(
            anchor,
            kind,
            who,
            pieces(message, files, as_markdown=False),
            question=anchor if kind == "question" else None,
        )
        turn.version = _version([sibling.message.id for sibling in siblings(node, tree)], anchor)
        return _described(turn, "A picture that was sent along")
    calls = [call for call in node.calls if call.reply_id]
    call = max(calls, key=lambda call: call.id) if calls else None
    turn = Turn(
        anchor,
        "answer",
        (call.model if call else "") or "Assistant",
        pieces(message, files, as_markdown=True),
        call,
        claimed=node.claimed,
    )
    waiting = node.parent and unanswered(node.parent)
    turn.version = _version(
        [
            *(sibling.message.id for sibling in siblings(node, tree)),
            *([node.parent.message.id] if waiting and node.parent else []),
        ],
        anchor,
    )
    if call:
        turn.figures, turn.note, turn.problem = figures(call), _note(call), problem(call)
    asked = said.get(node.parent.message.id) if node.parent else None
    return _described(
        turn, threads.plain_text(asked).strip()[:300] if asked else "A picture that was answered"
    )


def _described(turn: Turn, alt: str) -> Turn:
    for piece in turn.pieces:
        piece.alt = alt
    return turn


def _open_turn(shown: Line, grown: Callable[[UUID], str]) -> Turn:
    call = shown.open
    assert call
    turn = Turn(call.id, "answer", call.model or "Assistant", call=call, problem=problem(call))
    if shown.nodes:
        node = shown.nodes[-1]
        replies = [child.message.id for child in node.children if child.message.role == "assistant"]
        turn.version = _version([*replies, node.message.id], node.message.id)
    if turn.pending and (text := grown(call.id)):
        turn.pieces = [TurnPiece("html", markdown.html(text))]
        turn.note = f"{len(text.split()):,} words so far"
    return turn


def _version(ids: list[UUID], this: UUID) -> Version | None:
    if len(ids) < 2 or this not in ids:
        return None
    at = ids.index(this)
    return Version(
        at + 1, len(ids), ids[at - 1] if at else None, ids[at + 1] if at + 1 < len(ids) else None
    )


# What a message says --------------------------------------------------------------------------------------------


def pieces(
    message: shape.Json, files: dict[str, Attachment], *, as_markdown: bool
) -> list[TurnPiece]:
    """With `as_markdown`, its text is Markdown."""
    content = message.get("content")
    found = [
        piece
        for part in (content if isinstance(content, list) else [content])
        for piece in _part(part, files, as_markdown)
    ]
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        found.append(TurnPiece("note", refusal, "The model declined"))
    calls = message.get("tool_calls")
    calls = calls if isinstance(calls, list) else []
    if message.get("function_call"):
        calls = [*calls, {"function": message["function_call"]}]
    return found + [_call(call) for call in calls]


def _part(part: Any, files: dict[str, Attachment], as_markdown: bool) -> list[TurnPiece]:
    if threads.is_empty(part):
        return []
    if isinstance(part, str):
        return [TurnPiece("html", rendered.html(part)) if as_markdown else TurnPiece("text", part)]
    if not isinstance(part, dict):
        return [TurnPiece("json", as_json(part), "Content")]
    if (file := _file(part, files)) is not None:
        return [file]
    kind = part.get("type")
    if kind in ("text", "input_text", "output_text", None) and isinstance(
        text := part.get("text"), str
    ):
        return _part(text, files, as_markdown)
    if kind == "refusal" and isinstance(text := part.get("refusal"), str):
        return [TurnPiece("note", text, "The model declined")]
    value = part.get("image_url") or part.get("file") or part.get("input_audio") or part.get("text")
    inner = value if isinstance(value, dict) else {"url": value}
    for held in (inner, *inner.values()):
        if isinstance(held, dict) and (file := _file(held, files)) is not None:
            file.name = str(inner.get("filename") or file.name)
            return [file]
    url = inner.get("url")
    if isinstance(url, str) and url.startswith("data:"):
        return [
            TurnPiece(
                "note", f"{len(url):,} characters, kept in the message itself", "A small file"
            )
        ]
    if isinstance(url, str) and markdown.LINK.match(url):
        return [TurnPiece("link", url, "image not loaded")]
    return [TurnPiece("json", as_json(part), str(kind or "Content"))]


def _file(value: shape.Json, files: dict[str, Attachment]) -> TurnPiece | None:
    """Where a file was taken out of a message."""
    inner = value.get(MARK)
    row = files.get(inner[0]) if isinstance(inner, list) and inner else None
    if row is None:
        return None
    return TurnPiece(
        "image" if row.media_type in RASTER else "file", size(row.size), row.media_type, row
    )


def _call(call: Any) -> TurnPiece:
    function = call.get("function") or call.get("custom") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return TurnPiece("json", as_json(call), "Tool call")
    arguments = function.get("arguments", function.get("input", ""))
    try:
        text = as_json(json.loads(str(arguments)))
    except ValueError:
        text = str(arguments)
    return TurnPiece("call", text, str(function.get("name") or "a tool"))


def _tools(message: shape.Json) -> Iterator[tuple[str, str]]:
    """The id of each tool call, and the name of what it calls."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict) and call.get("id"):
            yield str(call["id"]), _call(call).name


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


# How a call ended -----------------------------------------------------------------------------------------------


def problem(call: Snapshot) -> Problem | None:
    match call.status:
        case Snapshot.Status.FAILED if call.error_code in TOO_LONG:
            return Problem("Too long for the model", call.error, "new")
        case Snapshot.Status.FAILED if call.error_code in USELESS:
            return Problem("The model's provider refused this", call.error, "edit")
        case Snapshot.Status.FAILED:
            return Problem(
                "The answer was cut off" if call.reply_id else "No answer", call.error, "retry"
            )
        case Snapshot.Status.REFUSED:
            return Problem("Not sent", call.error, "edit")
        case Snapshot.Status.CANCELLED:
            return Problem("Stopped", "", "again")
        case Snapshot.Status.INTERRUPTED:
            return Problem("Interrupted", call.error, "retry")
    return None


def _note(call: Snapshot) -> str:
    return {
        "length": "Ended at the token limit.",
        "content_filter": "Ended by the provider's content filter.",
    }.get(call.finish_reason, "")


def figures(call: Snapshot) -> str:
    """model · use case · tokens · cost"""
    tokens = call.total_tokens
    parts = [call.model, call.use_case]
    if tokens is not None:
        parts.append("about " * call.estimated + count(tokens, "token"))
    if call.cost is not None:
        parts.append(money(call.cost))
    return " · ".join(part for part in parts if part)


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def money(cost: Decimal, *, in_cents: bool = False) -> str:
    """US dollars, as exact as is of interest."""
    least, exact = (
        (Decimal("0.01"), Decimal(0)) if in_cents else (Decimal("0.0001"), Decimal("0.1"))
    )
    if 0 < cost < least:
        return f"<${least}"
    return f"${cost:,.4f}" if 0 < cost < exact else f"${cost:,.2f}"


def size(bytes: int) -> str:
    if bytes < 1000:
        return count(bytes, "byte")
    return f"{bytes / 1000:,.0f} kB" if bytes < 1_000_000 else f"{bytes / 1_000_000:,.1f} MB"
