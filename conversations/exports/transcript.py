"""Conversations as one page of HTML, made for print: each message once, every branch, with the calls behind it. Nothing in it runs or is loaded.

What was said is text, as on the review desk: no Markdown is rendered, and characters that hide or reorder are named. A conversation is whole
up to the seal at which the export is frozen.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from django.core.files.storage import default_storage
from django.db.models import Exists, OuterRef
from django.template.loader import render_to_string
from django.utils import timezone

from ..models import Conversation, Message, Seal, Snapshot
from ..people.identity import Names
from ..reading import tree
from ..reading.attachment_response import RASTER
from ..reading.pieces import Piece, pieces
from ..record import attachments, threads
from .format import Format
from .selection import Stretch

ENOUGH = 5_000_000  # bytes of a picture that is shown; a larger one is named


@dataclass(slots=True)
class Part:
    """A piece of a message; of a file, its picture."""

    piece: Piece
    picture: str = ""


@dataclass(slots=True)
class Turn:
    number: int  # of the message in its line
    message: Message
    said: datetime
    calls: list[Snapshot]
    parts: list[Part]
    prompt: list[list[Part]] = field(
        default_factory=list
    )  # system messages, where the call that follows has others than the call before
    prompt_change: str = ""


@dataclass(slots=True)
class Line:
    """One way through the tree, from where it leaves those before it."""

    turns: list[Turn]
    instead_of: (
        int  # the number of the message that it gives another version of; 0: it is the newest line
    )


class TranscriptsFormat(Format):
    name, label, suffix = "transcript", "HTML transcripts, for print", "html"
    says = "Conversations as they read: every message and branch, files shown, one after another. To print, or to keep as a PDF."
    tail = b"</main>\n</body>\n</html>\n"
    stem, part, at_once, conversations = "transcripts", 200, 20, True

    def __init__(self, names: Names, folder: Path | None = None) -> None:
        super().__init__(names, folder)
        self.head = _head()

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        found = Conversation.objects.select_related("owner").in_bulk(list(stretch.seals))
        for id in stretch.seals:
            conversation = found[id]
            owner = conversation.owner
            who = [
                said
                for said in (
                    self.names.name(owner),
                    self.names.job_title(owner),
                    self.names.department(owner),
                )
                if said
            ]
            context = {
                "conversation": conversation,
                "who": who,
                "lines": read(conversation, last, self.names),
                "last": last,
            }
            with timezone.override(UTC):
                page = render_to_string("exports/transcript.html", context)
            yield page.encode()


@cache
def _head() -> bytes:
    style = render_to_string("exports/transcript.css")
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{base64.b64encode(sha256(style.encode()).digest()).decode()}'"
    return render_to_string(
        "exports/transcript_head.html", {"style": style, "policy": policy}
    ).encode()


def read(conversation: Conversation, last: int, names: Names) -> list[Line]:
    """The newest line first, then where others left it."""
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
    return [
        Line(list(_turns(line, number, grown, calls, names)), instead_of)
        for line, number, instead_of in _unfolded(grown.roots or grown.preambles)
    ]


def _unfolded(roots: list[tree.Node]) -> Iterator[tuple[list[tree.Node], int, int]]:
    """Each message once: lines, the number of their first message, and of the one that they give another version of."""
    waiting = [(root, 1, 1) for root in roots[:-1]]
    following = [(roots[-1], 1, 0)] if roots else []
    while following:
        node, number, instead_of = following.pop(0)
        line, first = [node], number
        while line[-1].children:
            number += 1
            waiting += [(other, number, number) for other in line[-1].children[:-1]]
            line.append(line[-1].children[-1])
        yield line, first, instead_of
        following, waiting = waiting + following, []


def _turns(
    line: list[tree.Node], first: int, grown: tree.Tree, calls: dict[UUID, Snapshot], names: Names
) -> Iterator[Turn]:
    prompts = _prompts(line, grown)
    for i, node in enumerate(line):
        brought = calls[node.message.snapshot_id]
        said = (
            brought.closed if node.message.origin == Message.Origin.RELAYED else None
        ) or brought.opened
        change, prompt = prompts.get(i, ("", []))
        turn = Turn(first + i, node.message, said, node.calls, _parts(node.message, names))
        turn.prompt_change, turn.prompt = change, [_parts(each.message, names) for each in prompt]
        yield turn


def _prompts(line: list[tree.Node], grown: tree.Tree) -> dict[int, tuple[str, list[tree.Node]]]:
    """By the place in the line from which on the calls have other system messages than before."""
    found: dict[int, tuple[str, list[tree.Node]]] = {}
    begins, newest = 0, list[tree.Node]()
    for i, node in enumerate(line):
        if not node.calls:
            continue
        prompt = grown.path_to(node.calls[-1].preamble_id)
        if prompt != newest:
            found[begins] = ("system prompt" if prompt else "no system prompt from here on", prompt)
        newest, begins = prompt, i + 1
    return found


def _parts(message: Message, names: Names) -> list[Part]:
    shown = names.message(threads.put_together(message.role, message.text, message.raw))
    return [
        Part(piece, _picture(piece.file) if piece.kind == "file" else "") for piece in pieces(shown)
    ]


def _picture(digest: str) -> str:
    """A data: address of what a browser may show; else nothing, and the file is named."""
    name = attachments.storage_name(bytes.fromhex(digest))
    try:
        if default_storage.size(name) > ENOUGH:
            return ""
        with default_storage.open(name) as file:
            data = file.read()
    except FileNotFoundError:
        return ""
    media_type = attachments.detect_media_type(data)
    return (
        f"data:{media_type};base64,{base64.b64encode(data).decode()}"
        if media_type in RASTER and sha256(data).hexdigest() == digest
        else ""
    )
