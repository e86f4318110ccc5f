"""One conversation for reading: each message once, with its calls, one branch at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Func, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import JSONObject
from django.utils.translation import gettext as _

from .. import exact_json
from ..models import Attachment, Conversation, Message, Snapshot
from ..packs import pack
from ..people.identity import Names
from ..reading import portions, tree
from ..reading.pieces import Piece, pieces, show_field
from ..reading.portions import CALLS, PROMPT, SHOWN
from ..reading.tree import Node
from ..record import growth, rebuild, threads
from ..search import entries
from ..search.hits import Finder
from ..shape import Json
from .hit_order import Hits

PAGE = 100  # messages


@dataclass(slots=True)
class DeskTurn:
    number: int  # of the message in this branch, from 1
    node: Node
    first_call: Snapshot  # in which the message first appeared
    versions: list[Node]  # in place of this message, itself included, oldest first
    # System messages, where the call that follows has others than the call before.
    prompt: list[Node] = field(default_factory=list)
    prompt_change: str = ""
    prompt_left_out: int = 0  # system messages
    pieces: list[Piece] = field(default_factory=list)
    prompt_pieces: list[list[Piece]] = field(default_factory=list)
    left_out: int = 0  # characters of it and of its prompt
    also_sent: list[Piece] = field(default_factory=list)  # beside the messages, where it is new
    growing: str = ""
    new: bool = False  # since the last decision
    cut: bool = False  # not all of its own text is shown
    prompts_shown: list[UUID] = field(default_factory=list)  # those of `prompt` that are not cut
    is_hit: bool = False  # of the search that the page was opened from
    has_hit_prompt: bool = False
    is_target: bool = False  # the page was opened at it
    is_prompt_target: bool = False

    @property
    def message(self) -> Message:
        return self.node.message

    @property
    def size(self) -> int:
        """The bytes that its texts may have."""
        size: int = sum(node.message.size for node in (self.node, *self.prompt))  # type: ignore[attr-defined]
        return size + self.thought

    @property
    def has_mark_beside(self) -> bool:
        """Whether what was also sent holds the words of the search."""
        return any(piece.find and piece.find(piece.text) for piece in self.also_sent)

    @property
    def thought(self) -> int:
        """The bytes of the response that may say what a model thought before it."""
        is_reply = self.message.origin == Message.Origin.RELAYED
        return self.first_call.thought if is_reply else 0  # type: ignore[attr-defined, no-any-return]

    @property
    def calls(self) -> list[Snapshot]:
        return self.node.calls[-CALLS:]

    @property
    def calls_left_out(self) -> int:
        return len(self.node.calls[:-CALLS])

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
    earlier: int | None  # the first message of the page before, and of the next one
    later: int | None
    length: int  # of the branch
    at: UUID | None
    loose: list[Snapshot]  # calls that stand at no message
    loose_left_out: int
    calls: dict[UUID, Snapshot]  # of the conversation
    grown: tree.Tree
    line: UUID | None  # the last message of the branch
    assessments: list[Snapshot]  # calls about the conversation, newest first
    hits: Hits

    @property
    def closed(self) -> int:
        """The number of closed calls of the conversation."""
        return sum(each.status != Snapshot.Status.PENDING for each in self.calls.values())

    def mark_overtaken(self) -> None:
        """Mark the assessments that do not take account of all that was answered."""
        answered = [
            each
            for each in self.calls.values()
            if each.kind == Snapshot.Kind.CHAT and each.status == Snapshot.Status.OK
        ]
        for call in self.assessments:
            before = (each for each in answered if each.closed and each.closed <= call.opened)
            covered = sum(1 for _ in before) if call.covers is None else call.covers
            call.overtaken = len(answered) > covered  # type: ignore[attr-defined]

    def describe(self) -> Json:
        """Say what the page shows, as the trail keeps it (conversations.reading.coverage)."""
        return {
            "at": self.at,
            "first": self.first,
            "end": self.first + len(self.turns),
            "length": self.length,
            "line": self.line,
            "cut": [turn.number - 1 for turn in self.turns if turn.cut],
            "prompts": [each for turn in self.turns for each in turn.prompts_shown],
            "calls": self.closed,
        }


def grow(
    conversation: Conversation, calls: list[Snapshot] | None = None
) -> tuple[tree.Tree, dict[UUID, Snapshot]]:
    """Build the tree of a conversation, without texts; and return its calls, oldest first."""
    found = calls if calls is not None else _calls_of(conversation)
    by_id = {each.id: each for each in found if each.conversation_id == conversation.id}
    return tree.build_tree(conversation.messages.without_texts(), by_id.values()), by_id


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


class Place(NamedTuple):
    """What an address asks for: a message, a call's messages, the page with a number."""

    at: UUID | None = None
    call: UUID | None = None
    first: int | None = None


class Found(NamedTuple):
    """What a search found in the conversation."""

    words: str = ""
    messages: Iterable[UUID] = ()


NOWHERE, NOTHING = Place(), Found()


def read(
    conversation: Conversation, names: Names, place: Place = NOWHERE, found: Found = NOTHING
) -> Transcript:
    """Read the branch through a message, or through a call; else through the first hit, or newest.

    Three queries; payloads of the shown messages only, which end at PAGE of them, or at a size.
    """
    calls = _calls_of(conversation)
    grown, by_id = grow(conversation, calls)
    hits = Hits(found.messages, grown)
    at, first = place.at, place.first
    beside = {row.id: by_id[row.snapshot_id] for row in grown.tools.values()}
    if at in beside:  # a hit in the tools opens at the call that brought them
        at = _end_of(beside[at])
    if place.call in by_id and at is None:
        at = _end_of(by_id[place.call])
    if at is None and first is None:
        at = hits.first
    target = grown.nodes.get(at) if at else None
    if target and target.path[0] in grown.preambles and grown.roots:  # read before a turn
        at = _end_of(by_id[target.message.snapshot_id])
    turns = _branch(grown, by_id, at)
    for turn in turns:
        turn.is_target = turn.node is target
        turn.is_prompt_target = target in turn.prompt
    if first is None or not 0 <= first < len(turns):
        targets = (i for i, turn in enumerate(turns) if turn.is_target or turn.is_prompt_target)
        first = next(targets, 0)
    portion = portions.find_portion([turn.size for turn in turns], first, PAGE)
    page = turns[portion.first : portion.end]
    hits.show([node for turn in page for node in (turn.node, *turn.prompt)], target)
    _fill(page, conversation, grown.tools, names)
    _mark(page, hits, found.words)
    loose = [each for each in by_id.values() if (each.reply_id or each.head_id) not in grown.nodes]
    return Transcript(
        turns=page,
        first=portion.first,
        earlier=portion.earlier,
        later=portion.later,
        length=len(turns),
        at=at,
        loose=loose[-CALLS:],
        loose_left_out=len(loose[:-CALLS]),
        calls=by_id,
        grown=grown,
        line=turns[-1].message.id if turns else None,
        assessments=[each for each in reversed(calls) if each.about_id == conversation.id],
        hits=hits,
    )


def _end_of(call: Snapshot) -> UUID | None:
    return call.reply_id or call.head_id


def _mark(page: list[DeskTurn], hits: Hits, words: str) -> None:
    """Mark the words of a search where a message holds them."""
    find = Finder(words).find
    for turn in page:
        turn.is_hit = turn.node in hits
        turn.has_hit_prompt = any(node in hits for node in turn.prompt)
        messages = [(turn.node, turn.pieces), *zip(turn.prompt, turn.prompt_pieces, strict=True)]
        for node, shown in messages:
            for piece in shown if node in hits else ():
                piece.find = find
        for piece in turn.also_sent if words else ():
            piece.find = find


def _calls_of(conversation: Conversation) -> list[Snapshot]:
    """Read the calls of a conversation, and those that asked a model about it."""
    rows = Snapshot.objects.filter(
        Q(conversation=conversation) | Q(about=conversation, kind=Snapshot.Kind.METADATA)
    ).select_related("assessment")
    payload = ("params", "response", "commitment", "salt", "user_agent", "classic")
    return list(rows.with_thought().defer(*payload).order_by("id"))


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
        for number, node in enumerate(line, 1)
    ]
    _hang_prompts(turns, grown)
    return turns


def _fill(
    page: list[DeskTurn], conversation: Conversation, tools: dict[UUID, Message], names: Names
) -> None:
    """Read the texts and files of a page."""
    ids = [node.message.id for turn in page for node in (turn.node, *turn.prompt)]
    ids += [row.id for row in _list_tools(page, tools)]
    thoughts = {turn.first_call.id for turn in page if turn.thought}
    ends = [turn.message.id for turn in page if _ends_call(turn)]
    messages = Message.objects.with_params(ends, portions.BYTES)
    texts = rebuild.with_responses(messages, thoughts).in_bulk(ids)
    reasoning = dict[UUID, str]()
    for message in texts.values():
        reasoning |= rebuild.find_reasoning(message.response or "{}")  # type: ignore[attr-defined]
    decision = conversation.review.decision if hasattr(conversation, "review") else None
    for turn in page:
        call = turn.first_call
        turn.new = decision is not None and not decision.saw(call.id, call.closed)
        turn.pieces, turn.left_out = _pieces(texts[turn.message.id], names, reasoning)
        turn.cut = turn.left_out > 0
        for node in turn.prompt:
            shown, left_out = _pieces(texts[node.message.id], names, {})
            turn.prompt_pieces.append(shown)
            turn.left_out += left_out
            if not left_out:
                turn.prompts_shown.append(node.message.id)
        pending = (each for each in turn.calls if each.status == Snapshot.Status.PENDING)
        turn.growing = "".join(growth.read_growth(each.id) for each in pending)[-SHOWN:]
    _fill_in_also_sent(page, texts, tools, names)
    all_pieces = [
        piece for turn in page for each in (turn.pieces, *turn.prompt_pieces) for piece in each
    ]
    file_pieces = [piece for piece in all_pieces if piece.file]
    if file_pieces:
        places = {file["sha256"]: file["id"] for file in conversation.files}  # type: ignore[attr-defined]
        for piece in file_pieces:
            piece.place = places.get(piece.file)  # type: ignore[arg-type]


def _fill_in_also_sent(
    page: list[DeskTurn], texts: dict[UUID, Message], tools: dict[UUID, Message], names: Names
) -> None:
    """Add what calls sent beside their messages: tools, metadata, …

    What a call of the page has sent before is not repeated.
    """
    before: dict[str, str] = {}
    for turn in page:
        if not _ends_call(turn):
            continue
        params = texts[turn.message.id].said  # type: ignore[attr-defined]
        row = tools.get(turn.first_call.preamble_id)  # type: ignore[arg-type]
        if params is None or (row and row.id not in texts):
            turn.also_sent = [Piece("text", _("Too long for this page: the call has it."))]
            continue
        sent = exact_json.loads(params)
        if row:
            sent |= exact_json.loads(texts[row.id].raw or "{}")
        fields = entries.select_request_fields(names.request(sent))
        said = [show_field(name, value) for name, value in fields.items()]
        new = [piece for piece in said if before.get(piece.label) != piece.text]
        before |= {piece.label: piece.text for piece in said}
        turn.also_sent, left_out = portions.cut_pieces(new)
        turn.left_out += left_out


def _list_tools(page: list[DeskTurn], tools: dict[UUID, Message]) -> list[Message]:
    """List the rows of the tools of calls that end on a page: the first, as many as it holds."""
    ends = (turn.first_call.preamble_id for turn in page if _ends_call(turn))
    rows = dict.fromkeys(tools[end] for end in ends if end in tools)
    return next(pack(rows, lambda row: row.size, portions.BYTES), [])  # type: ignore[attr-defined]


def _ends_call(turn: DeskTurn) -> bool:
    """Tell whether the message is the last of the call that brought it."""
    return turn.message.snapshot_id in {call.id for call in turn.node.calls}


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
        if node and prompt is not last:
            turns[begins].prompt = _short(node.path)
            turns[begins].prompt_left_out = len(node.path) - len(turns[begins].prompt)
        last, begins = prompt, number + 1


def _short(prompt: list[Node]) -> list[Node]:
    """Return the system messages that are shown: the first, as many as a portion holds."""
    return next(pack(prompt, lambda node: node.message.size, portions.BYTES, PROMPT))  # type: ignore[attr-defined]


def _describe_change(prompt: Node | None, *, first: bool) -> str:
    if prompt is None:
        return "no system prompt from here on"
    return "system prompt" if first else "system prompt changed"


def _pieces(message: Message, names: Names, reasoning: dict[UUID, str]) -> tuple[list[Piece], int]:
    """Split a message up to what a page shows of it; and the characters that are left out."""
    whole = threads.put_together(message.role, message.text, message.raw)
    if message.id in reasoning:
        whole["reasoning_content"] = reasoning[message.id]
    return portions.cut_pieces(pieces(names.message(whole)))
