"""One conversation for reading: each message once, with its calls, one branch at a time."""

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
from ..record import growth, rebuild, threads

PAGE = 100  # messages


@dataclass(slots=True)
class DeskTurn:
    number: int  # of the message in this branch
    node: Node
    first_call: Snapshot  # in which the message first appeared
    versions: list[Node]  # in place of this message, itself included, oldest first
    # System messages, where the call that follows has others than the call before.
    prompt: list[Node] = field(default_factory=list)
    prompt_change: str = ""
    pieces: list[Piece] = field(default_factory=list)
    prompt_pieces: list[list[Piece]] = field(default_factory=list)
    growing: str = ""
    new: bool = False  # since the last decision

    @property
    def message(self) -> Message:
        return self.node.message

    @property
    def time(self) -> datetime:
        if self.message.origin == Message.Origin.RELAYED and self.first_call.closed:
            return self.first_call.closed
        return self.first_call.opened

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
    turns: list[DeskTurn]
    first: int  # of the page's messages, counted from 0
    length: int  # of the branch
    at: UUID | None
    loose: list[Snapshot]  # calls that stand at no message
    newest: UUID | None  # closed call of the conversation
    assessments: list[Snapshot]  # calls about the conversation, newest first

    @property
    def earlier(self) -> int | None:
        return max(0, self.first - PAGE) if self.first else None

    @property
    def later(self) -> int | None:
        return self.first + PAGE if self.first + PAGE < self.length else None


def with_files(conversations: QuerySet[Conversation]) -> QuerySet[Conversation]:
    """Load the ids and sha256 sums of their files, as `read` needs them."""
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
    """Read the branch through a message, or through a call; else that of the newest call.

    Three queries; payloads of the shown messages only.
    """
    calls = _calls_of(conversation)
    snapshots = [each for each in calls if each.conversation_id == conversation.id]
    grown = tree.build_tree(conversation.messages.defer("text", "raw"), snapshots)
    by_id = {snapshot.id: snapshot for snapshot in snapshots}
    if call in by_id:
        at = by_id[call].reply_id or by_id[call].head_id
    turns = _branch(grown, by_id, at)
    if first is None or not 0 <= first < len(turns):
        line = [turn.node for turn in turns]
        place = line.index(grown.nodes[at]) if at in grown.nodes else 0
        first = place - place % PAGE
    page = turns[first : first + PAGE]
    _fill(page, conversation, names)
    return Transcript(
        turns=page,
        first=first,
        length=len(turns),
        at=at,
        loose=[each for each in snapshots if (each.reply_id or each.head_id) not in grown.nodes],
        newest=max(
            (each.id for each in snapshots if each.status != Snapshot.Status.PENDING), default=None
        ),
        assessments=[each for each in reversed(calls) if each.about_id == conversation.id],
    )


def _calls_of(conversation: Conversation) -> list[Snapshot]:
    """Read the calls of a conversation, and those that asked a model about it."""
    rows = Snapshot.objects.filter(
        Q(conversation=conversation) | Q(about=conversation, kind=Snapshot.Kind.METADATA)
    ).select_related("assessment")
    payload = ("params", "response", "commitment", "salt", "user_agent", "classic")
    return list(rows.defer(*payload).order_by("id"))


def _branch(grown: tree.Tree, calls: dict[UUID, Snapshot], at: UUID | None) -> list[DeskTurn]:
    """Return the turns of the branch through `at`, without their texts."""
    roots = grown.roots or grown.preambles  # with system messages only, these are what can be read
    line = grown.line(at if at in grown.nodes else None) or [
        node for root in roots[-1:] for node in grown.line(root.message.id)
    ]
    turns = [
        DeskTurn(
            number=number,
            node=node,
            first_call=calls[node.message.snapshot_id],
            versions=node.parent.children if node.parent else roots,
        )
        for number, node in enumerate(line)
    ]
    _hang_prompts(turns, grown)
    return turns


def _fill(page: list[DeskTurn], conversation: Conversation, names: Names) -> None:
    """Read the texts and files of a page."""
    ids = [node.message.id for turn in page for node in (turn.node, *turn.prompt)]
    texts = rebuild.with_responses(Message.objects.all()).in_bulk(ids)
    reasoning = dict[UUID, str]()
    for message in texts.values():
        reasoning |= rebuild.find_reasoning(message.response or "{}")  # type: ignore[attr-defined]
    decision = conversation.review.decision if hasattr(conversation, "review") else None
    for turn in page:
        turn.new = decision is not None and turn.first_call.id > decision.newest
        turn.pieces = _pieces(texts[turn.message.id], names, reasoning)
        turn.prompt_pieces = [_pieces(texts[node.message.id], names, {}) for node in turn.prompt]
        pending = (each for each in turn.node.calls if each.status == Snapshot.Status.PENDING)
        turn.growing = "".join(growth.read_growth(each.id) for each in pending)
    all_pieces = [
        piece for turn in page for each in (turn.pieces, *turn.prompt_pieces) for piece in each
    ]
    file_pieces = [piece for piece in all_pieces if piece.file]
    if file_pieces:
        places = {file["sha256"]: file["id"] for file in conversation.files}  # type: ignore[attr-defined]
        for piece in file_pieces:
            piece.place = places.get(piece.file)  # type: ignore[arg-type]


def _hang_prompts(turns: list[DeskTurn], grown: tree.Tree) -> None:
    """Hang the system messages of a call, where they change, on the first message before it."""
    last: Node | None = None
    begins = 0
    for number, turn in enumerate(turns):
        if not turn.node.calls:
            continue
        node = prompt = grown.nodes.get(turn.node.calls[-1].preamble_id)  # type: ignore[arg-type]
        if prompt is not last:
            turns[begins].prompt_change = _describe_change(prompt, first=begins == 0)
        while node and prompt is not last:
            turns[begins].prompt.insert(0, node)
            node = node.parent
        last, begins = prompt, number + 1


def _describe_change(prompt: Node | None, *, first: bool) -> str:
    if prompt is None:
        return "no system prompt from here on"
    return "system prompt" if first else "system prompt changed"


def _pieces(message: Message, names: Names, reasoning: dict[UUID, str]) -> list[Piece]:
    whole = threads.put_together(message.role, message.text, message.raw)
    if message.id in reasoning:
        whole["reasoning_content"] = reasoning[message.id]
    return pieces(names.message(whole))
