"""A conversation's line as its pages show it: turns with their pieces, versions and calls. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..models import Snapshot
from ..record import threads
from ..shape import Json
from . import markdown
from .call_words import (
    CallProblem,
    describe_figures,
    describe_finish,
    describe_problem,
    role_name,
)
from .lines import TreeLine, siblings, unanswered
from .portions import SHOWN
from .tree import Node, Tree
from .turn_pieces import Files, PieceKind, TurnPiece, split_message, tool_call

LONGEST_ALT = 300  # characters of a question that describe the images of its answer


@dataclass(slots=True)
class TurnVersion:
    """The place of a turn among its versions, and the ids that show its neighbours."""

    number: int
    count: int
    before: UUID | None
    after: UUID | None


class TurnKind(StrEnum):
    """The look of a turn; templates know these words. An aside is a tool's or a system message."""

    QUESTION = "question"
    ANSWER = "answer"
    ASIDE = "aside"


@dataclass(slots=True)
class PageTurn:
    anchor: UUID
    kind: TurnKind
    speaker: str
    pieces: list[TurnPiece] = field(default_factory=list)
    call: Snapshot | None = None
    question: UUID | None = None  # the message that can be edited
    claimed: bool = False
    figures: str = ""
    note: str = ""
    version: TurnVersion | None = None
    problem: CallProblem | None = None

    @property
    def heading(self) -> str:
        match self.kind:
            case TurnKind.QUESTION:
                return _("%(speaker)s asked") % {"speaker": self.speaker}
            case TurnKind.ANSWER:
                return _("%(speaker)s answered") % {"speaker": self.speaker}
        return self.speaker

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
class TurnContent:
    """What the rows of a tree leave out: messages by id, files taken out of them, growing text."""

    messages: dict[UUID, Json]
    files: Files
    read_growth: Callable[[UUID], str]


def build_turns(
    tree: Tree, line: TreeLine, first: int, end: int, content: TurnContent
) -> list[PageTurn]:
    """Make the turns of a line from the node number `first` up to `end`."""
    turns = [_turn(tree, node, content) for node in line.nodes[first:end]]
    tools = {call: name for message in content.messages.values() for call, name in _tools(message)}
    for turn in turns:
        call = content.messages[turn.anchor].get("tool_call_id")
        if turn.kind == TurnKind.ASIDE and (name := tools.get(str(call))):
            turn.speaker = _("Result of %(tool)s") % {"tool": name}
    if line.open and end == len(line.nodes) and (turns or not line.nodes):
        turns.append(_open_turn(line, line.open, content))
    return turns


def _turn(tree: Tree, node: Node, content: TurnContent) -> PageTurn:
    if node.message.role == "assistant":
        return _answer(tree, node, content)
    anchor, message = node.message.id, content.messages[node.message.id]
    is_question = node.message.role == "user"
    turn = PageTurn(
        anchor,
        TurnKind.QUESTION if is_question else TurnKind.ASIDE,
        role_name(node.message.role)
        or _("Result of %(tool)s") % {"tool": message.get("name") or _("a tool")},
        split_message(message, content.files, as_markdown=False),
        question=anchor if is_question else None,
    )
    turn.version = _version([sibling.message.id for sibling in siblings(node, tree)], anchor)
    return _describe_images(turn, _("Image sent with the question"))


def _answer(tree: Tree, node: Node, content: TurnContent) -> PageTurn:
    anchor, parent = node.message.id, node.parent
    calls = [call for call in node.calls if call.reply_id]
    call = max(calls, key=lambda call: call.id) if calls else None
    turn = PageTurn(
        anchor,
        TurnKind.ANSWER,
        (call.model if call else "") or _("Assistant"),
        split_message(content.messages[anchor], content.files, as_markdown=True),
        call,
        claimed=node.claimed,
    )
    versions = [sibling.message.id for sibling in siblings(node, tree)]
    if parent and unanswered(parent):
        versions.append(parent.message.id)
    turn.version = _version(versions, anchor)
    if call:
        turn.figures, turn.note = describe_figures(call), describe_finish(call)
        turn.problem = describe_problem(call)
    question = content.messages.get(parent.message.id) if parent else None
    if not question:
        return _describe_images(turn, _("Image in the answer"))
    return _describe_images(turn, threads.extract_text(question).strip()[:LONGEST_ALT])


def _describe_images(turn: PageTurn, alt: str) -> PageTurn:
    for piece in turn.pieces:
        piece.alt = alt
    return turn


def _open_turn(line: TreeLine, call: Snapshot, content: TurnContent) -> PageTurn:
    turn = PageTurn(
        call.id,
        TurnKind.ANSWER,
        call.model or _("Assistant"),
        call=call,
        problem=describe_problem(call),
    )
    if line.nodes:
        node = line.nodes[-1]
        replies = [child.message.id for child in node.children if child.message.role == "assistant"]
        turn.version = _version([*replies, node.message.id], node.message.id)
    if turn.pending and (text := content.read_growth(call.id)):
        turn.pieces = [TurnPiece(PieceKind.HTML, markdown.html(text[:SHOWN]))]
        words = len(text.split())
        turn.note = ngettext("%(count)s word so far", "%(count)s words so far", words) % {
            "count": f"{words:,}"
        }
    return turn


def _version(ids: list[UUID], this: UUID) -> TurnVersion | None:
    if len(ids) < 2 or this not in ids:
        return None
    at = ids.index(this)
    before = ids[at - 1] if at else None
    after = ids[at + 1] if at + 1 < len(ids) else None
    return TurnVersion(at + 1, len(ids), before, after)


def _tools(message: Json) -> Iterator[tuple[str, str]]:
    """List the id of each tool call and the name of the tool."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict) and call.get("id"):
            yield str(call["id"]), tool_call(call).name
