"""One conversation for reading: each message once, in order, with the calls behind it, one branch at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Func, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import JSONObject

from ..models import Attachment, Conversation, Message, Snapshot
from ..people.identity import Names
from ..reading import tree
from ..reading.pieces import Piece, pieces
from ..reading.tree import Node
from ..record import growth, threads

PAGE = 100  # messages


@dataclass(slots=True)
class Turn:
    number: int  # of the message in this branch
    node: Node
    brought: Snapshot  # the call in which it first appeared
    versions: list[Node]  # in place of this message, itself included, oldest first
    prompt: list[Node] = field(
        default_factory=list
    )  # system messages, where the call that follows has others than the call before
    prompt_change: str = ""
    pieces: list[Piece] = field(default_factory=list)
    prompt_pieces: list[list[Piece]] = field(default_factory=list)
    growing: str = ""
    new: bool = False  # since the last decision

    @property
    def message(self) -> Message:
        return self.node.message

    @property
    def said(self) -> datetime:
        return (
            self.brought.closed or self.brought.opened
            if self.message.origin == Message.Origin.RELAYED
            else self.brought.opened
        )

    @property
    def version(self) -> int:
        return self.versions.index(self.node) + 1

    @property
    def earlier_version(self) -> Node | None:
        return self.versions[self.version - 2] if self.version > 1 else None

    @property
    def later_version(self) -> Node | None:
        return self.versions[self.version] if self.version < len(self.versions) else None


@dataclass(slots=True)
class Transcript:
    turns: list[Turn]
    first: int  # of the page's messages, counted from 0
    length: int  # of the branch
    at: UUID | None
    loose: list[Snapshot]  # calls that stand at no message
    newest: UUID | None  # closed call of the conversation
    asked_about_it: list[
        Snapshot
    ]  # calls that asked a model about the conversation, newest first, each with what it came to

    @property
    def earlier(self) -> int | None:
        return max(0, self.first - PAGE) if self.first else None

    @property
    def later(self) -> int | None:
        return self.first + PAGE if self.first + PAGE < self.length else None


def with_files(conversations: QuerySet[Conversation]) -> QuerySet[Conversation]:
    """As `read` needs them: with what their files are known by."""
    sha256 = Func("sha256", Value("hex"), function="encode", output_field=TextField())
    return conversations.annotate(
        files=ArraySubquery(
            Attachment.objects.filter(conversation=OuterRef("pk")).values_list(
                JSONObject(id="id", sha256=sha256)
            )
        )
    )


def read(
    conversation: Conversation,
    names: Names,
    *,
    at: UUID | None = None,
    call: UUID | None = None,
    first: int | None = None,
) -> Transcript:
    """The branch through a message, or through a call; else that of the newest call. Three queries, payloads of the shown messages only."""
    found = Snapshot.objects.filter(
        Q(conversation=conversation) | Q(about=conversation, kind=Snapshot.Kind.METADATA)
    ).select_related("assessment")
    calls = list(
        found.defer("params", "response", "commitment", "salt", "user_agent", "classic").order_by(
            "id"
        )
    )
    snapshots = [each for each in calls if each.conversation_id == conversation.id]
    grown = tree.build_tree(conversation.messages.defer("text", "raw"), snapshots)
    by_id = {snapshot.id: snapshot for snapshot in snapshots}
    if call in by_id:
        at = by_id[call].reply_id or by_id[call].head_id
    roots = (
        grown.roots or grown.preambles
    )  # nothing but system messages: they are what there is to read
    line = grown.line(at if at in grown.nodes else None) or [
        node for root in roots[-1:] for node in grown.line(root.message.id)
    ]
    turns = [
        Turn(
            i, node, by_id[node.message.snapshot_id], node.parent.children if node.parent else roots
        )
        for i, node in enumerate(line)
    ]
    _prompts(turns, grown)
    if first is None or not 0 <= first < len(turns):
        place = line.index(grown.nodes[at]) if at in grown.nodes else 0
        first = place - place % PAGE
    page = turns[first : first + PAGE]
    texts = Message.objects.in_bulk(
        [node.message.id for turn in page for node in (turn.node, *turn.prompt)]
    )
    decision = conversation.review.decision if hasattr(conversation, "review") else None
    for turn in page:
        turn.new = decision is not None and turn.brought.id > decision.newest
        turn.pieces = _pieces(texts[turn.message.id], names)
        turn.prompt_pieces = [_pieces(texts[node.message.id], names) for node in turn.prompt]
        turn.growing = "".join(
            growth.read_growth(call.id)
            for call in turn.node.calls
            if call.status == Snapshot.Status.PENDING
        )
    if with_files := [
        piece
        for turn in page
        for each in (turn.pieces, *turn.prompt_pieces)
        for piece in each
        if piece.file
    ]:
        files = {file["sha256"]: file["id"] for file in conversation.files}  # type: ignore[attr-defined]
        for piece in with_files:
            piece.place = files.get(piece.file)  # type: ignore[arg-type]
    loose = [
        snapshot
        for snapshot in snapshots
        if (snapshot.reply_id or snapshot.head_id) not in grown.nodes
    ]
    closed = [snapshot.id for snapshot in snapshots if snapshot.status != Snapshot.Status.PENDING]
    return Transcript(
        page,
        first,
        len(turns),
        at,
        loose,
        max(closed, default=None),
        [each for each in reversed(calls) if each.about_id == conversation.id],
    )


def _prompts(turns: list[Turn], grown: tree.Tree) -> None:
    """Hang the system messages of each call on the first message of the stretch that leads to it, where they change."""
    last: Node | None = None
    begins = 0
    for i, turn in enumerate(turns):
        if not turn.node.calls:
            continue
        node = prompt = grown.nodes.get(turn.node.calls[-1].preamble_id)  # type: ignore[arg-type]
        if prompt is not last:
            turns[begins].prompt_change = (
                "no system prompt from here on"
                if prompt is None
                else "system prompt changed"
                if begins
                else "system prompt"
            )
        while node and prompt is not last:
            turns[begins].prompt.insert(0, node)
            node = node.parent
        last, begins = prompt, i + 1


def _pieces(message: Message, names: Names) -> list[Piece]:
    return pieces(names.message(threads.put_together(message.role, message.text, message.raw)))
