"""Conversations as one page of HTML, made for print, in which nothing runs or is loaded.

Each message is there once, in every branch, with the calls behind it.
Messages are text, as on the review desk: no Markdown is rendered, and characters that hide or
reorder are named. A conversation is complete up to the seal at which the export is frozen.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from django.core.files.storage import default_storage
from django.db.models import Exists, OuterRef
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..models import Conversation, Message, Seal, Snapshot
from ..people.identity import Names
from ..reading import tree
from ..reading.attachment_response import RASTER
from ..reading.pieces import Piece, pieces
from ..record import attachments, rebuild, threads
from .format import Format
from .selection import Stretch

ENOUGH = 5_000_000  # bytes of a picture that is shown; a larger one is named


@dataclass(slots=True)
class Part:
    """A piece of a message; with its picture, where it is a file that a browser shows."""

    piece: Piece
    picture: str = ""


@dataclass(slots=True)
class TranscriptTurn:
    number: int  # of the message in its line
    message: Message
    at: datetime
    calls: list[Snapshot]
    parts: list[Part]
    # System messages, where the call that follows has others than the call before.
    prompt: list[list[Part]] = field(default_factory=list)
    prompt_change: str = ""


@dataclass(slots=True)
class TranscriptLine:
    """One way through the tree, from where it leaves those before it."""

    turns: list[TranscriptTurn]
    # The number of the message of which it is another version; 0: it is the newest line.
    instead_of: int


class TranscriptsFormat(Format):
    name, suffix = "transcript", "html"
    label = _("HTML transcripts, for print")
    description = _(
        "Conversations one after another, with every message, branch and file. To print, or to save"
        " as a PDF."
    )
    tail = b"</main>\n</body>\n</html>\n"
    stem, conversations = "transcripts", True
    part, at_once = 200, 20

    def __init__(self, names: Names, folder: Path | None = None) -> None:
        super().__init__(names, folder)
        self.head = _head()

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        conversations = Conversation.objects.select_related("owner").in_bulk(list(stretch.seals))
        self.names.load(conversations.values())
        for conversation in map(conversations.__getitem__, stretch.seals):
            owner, names = conversation.owner, self.names
            person = (names.name(owner), names.job_title(owner), names.department(owner))
            if conversation.end_user:
                person = (names.person(conversation), names.claim(conversation), "")
            context = {
                "conversation": conversation,
                "who": [part for part in person if part],
                "lines": read_lines(conversation, last, self.names),
                "last": last,
            }
            with timezone.override(UTC):
                page = render_to_string("exports/transcript.html", context)
            yield page.encode()


@cache
def _head() -> bytes:
    style = render_to_string("exports/transcript.css")
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
    context = {"style": style, "policy": policy}
    return render_to_string("exports/transcript_head.html", context).encode()


def read_lines(conversation: Conversation, last: int, names: Names) -> list[TranscriptLine]:
    """The lines of a conversation: the newest first, then where others left it."""
    sealed = Exists(Seal.objects.filter(subject=OuterRef("pk"), number__lte=last))
    calls = {
        call.id: call
        for call in conversation.snapshots.filter(sealed)
        .defer("params", "response", "commitment", "salt", "classic")
        .order_by("id")
    }
    messages = [message for message in conversation.messages.all() if message.snapshot_id in calls]
    texts = {message.id: message.text for message in messages}
    for message in messages:
        if message.echo_of_id in texts:
            message.text = (texts[message.echo_of_id] or "").strip()
    grown = tree.build_tree(messages, calls.values())
    reading = _Reading(names, rebuild.read_reasoning(messages))
    return [
        TranscriptLine(list(_turns(line, number, grown, calls, reading)), instead_of)
        for line, number, instead_of in _unfold(grown.roots or grown.preambles)
    ]


class _Reading(NamedTuple):
    """How people are named, and what models thought before their replies, by row."""

    names: Names
    reasoning: dict[UUID, str]


class _Opening(NamedTuple):
    """The message with which a line begins."""

    node: tree.Node
    number: int
    instead_of: int


def _unfold(roots: list[tree.Node]) -> Iterator[tuple[list[tree.Node], int, int]]:
    """Yield lines in which each message is once.

    With each the number of its first message, and of the one that it is another version of.
    """
    waiting = [_Opening(root, 1, 1) for root in roots[:-1]]
    following = [_Opening(roots[-1], 1, 0)] if roots else []
    while following:
        opening, *following = following
        line, number = [opening.node], opening.number
        while line[-1].children:
            number += 1
            waiting += [_Opening(other, number, number) for other in line[-1].children[:-1]]
            line.append(line[-1].children[-1])
        yield line, opening.number, opening.instead_of
        following, waiting = waiting + following, []


def _turns(
    line: list[tree.Node],
    first: int,
    grown: tree.Tree,
    calls: dict[UUID, Snapshot],
    reading: _Reading,
) -> Iterator[TranscriptTurn]:
    prompts = _prompts(line, grown)
    for i, node in enumerate(line):
        change, prompt = prompts.get(i, ("", []))
        yield TranscriptTurn(
            number=first + i,
            message=node.message,
            at=_time_of(node.message, calls[node.message.snapshot_id]),
            calls=node.calls,
            parts=_parts(node.message, reading),
            prompt=[_parts(each.message, reading) for each in prompt],
            prompt_change=change,
        )


def _time_of(message: Message, call: Snapshot) -> datetime:
    """When the call that brought the message ended, for an answer; when it began, for others."""
    is_answer = message.origin == Message.Origin.RELAYED
    return call.closed if is_answer and call.closed else call.opened


def _prompts(line: list[tree.Node], grown: tree.Tree) -> dict[int, tuple[str, list[tree.Node]]]:
    """By the place in the line from which on the calls have other system messages than before."""
    prompts: dict[int, tuple[str, list[tree.Node]]] = {}
    begins, newest = 0, list[tree.Node]()
    for i, node in enumerate(line):
        if not node.calls:
            continue
        prompt = grown.path_to(node.calls[-1].preamble_id)
        if prompt != newest:
            change = "system prompt" if prompt else "no system prompt from here on"
            prompts[begins] = (change, prompt)
        newest, begins = prompt, i + 1
    return prompts


def _parts(message: Message, reading: _Reading) -> list[Part]:
    whole = threads.put_together(message.role, message.text, message.raw)
    if message.id in reading.reasoning:
        whole["reasoning_content"] = reading.reasoning[message.id]
    shown = reading.names.message(whole)
    return [
        Part(piece, _picture(piece.file) if piece.kind == "file" else "") for piece in pieces(shown)
    ]


def _picture(digest: str) -> str:
    """The data: address of a picture that a browser may show; empty for other files."""
    name = attachments.storage_name(bytes.fromhex(digest))
    try:
        if default_storage.size(name) > ENOUGH:
            return ""
        with default_storage.open(name) as file:
            data = file.read()
    except FileNotFoundError:
        return ""
    media_type = attachments.detect_media_type(data)
    if media_type not in RASTER or sha256(data).hexdigest() != digest:
        return ""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
