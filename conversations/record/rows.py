"""What one write brings into a conversation: rows for the messages that it lacks, and their files.

`build_rows` makes those of a request at its place, `build_reply_rows` those of the replies below
its last message. Both take files out of the messages and know how a row is told apart from an
echo, so that `writes` only has to bind what they give.
"""

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

import orjson

from .. import exact_json
from ..models import Message
from ..shape import Json
from ..speech.recorded import Recorded
from . import attachments, threads, words
from .calls import Call
from .place import Place

MESSAGE = "$message"  # in a kept response: the id of the row that holds the message


class MessageRow(NamedTuple):
    """A message as it is inserted: a threads.Position, then what stands there."""

    id: UUID
    parent: UUID | None
    depth: int
    path_hash: bytes
    role: str
    text: str | None
    raw: str | None
    origin: str
    echo_of: UUID | None


@dataclass(slots=True)
class Rows:
    """Rows and files of one write, and the ends of the two paths that a call refers to."""

    messages: list[MessageRow] = field(default_factory=list)
    word_hashes: dict[UUID, bytes] = field(default_factory=dict)  # of replies that have one
    files: list[attachments.Blob] = field(default_factory=list)
    preamble: UUID | None = None  # the last message of the preamble
    head: threads.Position | None = None  # of the last turn

    def encode(self, value: Json) -> str:
        """Return the JSON text of a value; its files join those of the messages."""
        return exact_json.dumps(attachments.lighten(value, self.files)).decode()

    def bind(self) -> dict[str, str]:
        """Messages, hashes and files as one parameter each: arrays take twice the CPU to bind."""
        messages = [row._asdict() | {"path_hash": row.path_hash.hex()} for row in self.messages]
        files = [
            {
                "sha256": blob.sha256.hex(),
                "size": len(blob.data),
                "media_type": clean(blob.media_type, 100),
            }
            for blob in {blob.sha256: blob for blob in self.files}.values()
        ]
        hashes = [{"id": row, "hash": value.hex()} for row, value in self.word_hashes.items()]
        named = {"messages": messages, "files": files, "word_hashes": hashes}
        return {name: orjson.dumps(rows).decode() for name, rows in named.items()}


def build_rows(recorded: Recorded, place: Place) -> Rows:
    """Make rows of what a request says that its conversation does not hold yet."""
    rows = Rows()
    if place.conversation is None:
        return rows
    turns = recorded.turns
    if turns:
        rows.head = place.path.find_position(len(turns) - 1)
    for depth in range(place.known, len(turns)):
        position = place.path.find_position(depth)
        row = _build_row(turns[depth], position, rows.files)
        if position.path_hash in place.relayed and row.role == "assistant":
            row = _as_relayed(row, turns[depth], place.relayed[position.path_hash])
        rows.messages.append(row)
    if recorded.preamble:
        _add_preamble(rows, recorded.preamble, place)
    return rows


def build_reply_rows(replies: list[Json], call: Call) -> Rows:
    """Make a row of each reply, folded as most clients will send it back."""
    rows = Rows()
    if call.conversation is None:
        return rows
    parent, depth = call.head or threads.TURNS, call.head_depth + 1
    for reply in replies:
        message = _fold(reply)
        [reply_id] = threads.make_message_ids(call.thread_key, call.conversation, parent, [message])
        path_hash = threads.hash_next(call.thread_key, call.head_hash, message)
        parts = threads.take_apart(attachments.lighten(message, rows.files))
        position = threads.Position(reply_id, call.head, depth, path_hash)
        rows.messages.append(MessageRow(*position, *parts, Message.Origin.RELAYED, None))
        word_hash = words.hash_next(call.thread_key, call.head_words, message)
        if word_hash and word_hash != path_hash:
            rows.word_hashes[reply_id] = word_hash
    return rows


def refer_to_rows(response: Json, replies: list[Json], rows: Rows) -> Json:
    """Put, in place of each reply in a response, the id of its row and what the row leaves out."""
    choices = []
    for choice, reply, row in zip(
        response.get("choices") or [], replies, rows.messages, strict=False
    ):
        message = _fold(reply)
        rest = {
            name: value
            for name, value in reply.items()
            if name not in message or (name == "role" and value != message["role"])
        }
        choices.append(choice | {"message": rest | {MESSAGE: str(row.id)}})
    return response | {"choices": choices} if choices else response


def _fold(reply: Json) -> Json:
    """Spell a reply as its row does: an assistant's, by whatever role or none it came."""
    return threads.fold_reply(reply) | {"role": "assistant"}


def clean(text: str, longest: int = 500) -> str:
    """Cut text to what a column holds and a log line may show.

    No NUL, no control characters, no half of a surrogate pair.
    """
    text = text[:longest]
    if text.isascii() and text.isprintable():
        return text  # most are, and every call cleans a dozen
    return "".join(
        c if c >= " " or c == "\n" else "\ufffd" for c in text.encode(errors="replace").decode()
    )


def _add_preamble(rows: Rows, preamble: list[Json], place: Place) -> None:
    """Name the preamble, and add its rows where the call before this one had another."""
    assert place.conversation is not None
    ids = threads.make_message_ids(place.key, place.conversation, threads.PREAMBLE, preamble)
    rows.preamble = ids[-1]
    if rows.preamble == place.preamble:
        return
    path = threads.Path(ids, threads.hash_preamble(place.key, preamble))
    for depth, message in enumerate(preamble):
        rows.messages.append(_build_row(message, path.find_position(depth), rows.files))


def _build_row(
    message: Json, position: threads.Position, files: list[attachments.Blob]
) -> MessageRow:
    """Make the row of a message that a client sent."""
    parts = threads.take_apart(attachments.lighten(message, files))
    is_claim = message.get("role") == "assistant"
    origin = Message.Origin.CLAIMED if is_claim else Message.Origin.SENT
    return MessageRow(*position, *parts, origin, None)


def _as_relayed(row: MessageRow, message: Json, text_of: UUID | None) -> MessageRow:
    """Return the row of a reply that came back; `text_of` is the row that has its text, if any."""
    row = row._replace(origin=Message.Origin.RELAYED)
    if text_of and row.text is not None and threads.is_echo(message):
        return row._replace(text=None, echo_of=text_of)
    return row
