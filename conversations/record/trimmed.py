"""Which recorded path a history repeats that its client has trimmed.

It is looked for by word hashes where path hashes are not known: two queries more, for such calls
only. Of the paths that say the same, the one that goes furthest is taken, and of those the newest,
as with path hashes. A turn that has files or thoughts which the recorded one lacks ends the path:
what it and all later ones say is the client's own claim.

Many conversations may say the same of different pictures. Twice MOST of their paths are read at
most: those that go furthest, and those that have the files of the history and its opening. Where
all of them lack what was sent, the history begins a conversation.
"""

from typing import NamedTuple
from uuid import UUID

from ..database import execute
from ..models import Message
from ..shape import Json
from . import attachments, threads, words
from .paths import PathRow, read_rows

MOST = 8  # paths of either sort that are read, where none before has all that was sent


class Scope(NamedTuple):
    """Where may be looked: among the owner's conversations, or in one of them only."""

    owner: int
    conversation: UUID | None


class TrimmedPath(NamedTuple):
    """A recorded path, and the turns that repeat it, by their index."""

    conversation: UUID
    preamble: UUID | None  # of the call that brought the path's last reply
    rows: dict[int, PathRow]
    is_whole: bool  # to its last reply

    @property
    def length(self) -> int:
        """So many of the turns are on the path."""
        return max(self.rows) + 1


class Candidate(NamedTuple):
    """A reply whose path says what the turns do."""

    reply: UUID
    conversation: UUID
    preamble: UUID | None  # of the call that brought it


def find_path(
    scope: Scope, turns: list[Json], word_hashes: list[bytes], path: list[bytes], known: int
) -> TrimmedPath | None:
    """Find the recorded path of a history that goes beyond its `known` turns.

    `path` are its path hashes: up to the first trimmed reply they are those on record.
    """
    units = words.list_units(turns)
    replies = [
        unit.indexes[0]
        for unit in units
        if unit.indexes[0] >= known and turns[unit.indexes[0]].get("role") == "assistant"
    ]
    if not replies:
        return None
    files: list[attachments.Blob] = []
    attachments.lighten(turns, files)
    values = scope._asdict() | {
        "hashes": [word_hashes[reply] for reply in replies],
        "opening": path[replies[0] - 1] if replies[0] else None,
        "files": [file.sha256 for file in files],
        "most": MOST,
    }
    longest: TrimmedPath | None = None
    for row in execute(SAME_WORDS, values).fetchall():
        found = _follow(Candidate(*row), turns, units)
        if found and found.length > max(known, longest.length if longest else 0):
            longest = found
        if found and found.is_whole:
            break  # those that follow are no longer
    return longest


def _follow(candidate: Candidate, turns: list[Json], units: list[words.Unit]) -> TrimmedPath | None:
    """Follow the path to a reply for as long as the turns add nothing to it."""
    recorded = read_rows(candidate.reply)
    kept = words.list_units([row.message for row in recorded])
    rows: dict[int, PathRow] = {}
    relayed = -1
    for sent, known in zip(units, kept, strict=False):
        told = [turns[index] for index in sent.indexes]
        repeated = [recorded[index] for index in known.indexes]
        if sent.words != known.words or _has_more(told, repeated, candidate.conversation):
            break
        for index, row in zip(sent.indexes, known.indexes, strict=False):
            rows[index] = recorded[row]
            if recorded[row].origin == Message.Origin.RELAYED:
                relayed = index
    # A question is repeated by many; only with an answer is it this conversation's.
    is_whole = bool(rows) and rows[max(rows)].id == candidate.reply
    rows = {index: row for index, row in rows.items() if index <= relayed}
    if not rows:
        return None
    return TrimmedPath(candidate.conversation, candidate.preamble, rows, is_whole)


def _has_more(sent: list[Json], recorded: list[PathRow], conversation: UUID) -> bool:
    """Tell whether messages have files or thoughts that those on record lack.

    The rows of a path may be trimmed themselves: then all spellings of it are read.
    """
    if not words.list_extras(sent):
        return False
    extras = words.list_extras([attachments.lighten(message, []) for message in sent])
    if extras <= words.list_extras([row.message for row in recorded]):
        return False
    values = {"conversation": conversation, "hashes": [row.path_hash for row in recorded]}
    spellings = execute(SPELLINGS, values).fetchall()
    return not extras <= words.list_extras([threads.put_together(*row) for row in spellings])


SPELLINGS = """
    SELECT role, text, raw FROM conversations_message
    WHERE conversation_id = %(conversation)s AND path_hash = ANY(%(hashes)b::bytea[])"""
# The owner is looked up for each message, as in `place`.
SAME_WORDS = """
    SELECT id, conversation_id, preamble_id
    FROM (
        SELECT *, row_number() OVER (ORDER BY depth DESC, snapshot_id DESC) AS further,
            row_number() OVER (
                ORDER BY files DESC, is_begun DESC, depth DESC, snapshot_id DESC
            ) AS nearer
        FROM (
            SELECT m.id, m.conversation_id, m.depth, m.snapshot_id, s.preamble_id,
                bool_or(p.path_hash = %(opening)b::bytea)
                    OVER (PARTITION BY m.conversation_id) IS TRUE AS is_begun,
                (
                    SELECT count(*) FROM conversations_attachment a
                    WHERE a.conversation_id = m.conversation_id
                        AND a.sha256 = ANY(%(files)b::bytea[])
                ) AS files
            FROM (
                SELECT message_id FROM conversations_wordhash
                WHERE hash = ANY(%(hashes)b::bytea[])
                UNION
                SELECT id FROM conversations_message
                WHERE role = 'assistant' AND path_hash = ANY(%(hashes)b::bytea[])
            ) AS named
            JOIN conversations_message m ON m.id = named.message_id
            JOIN conversations_snapshot s ON s.id = m.snapshot_id
            LEFT JOIN conversations_message p ON p.id = m.parent_id
            WHERE m.origin = 'relayed'
                AND m.conversation_id = coalesce(%(conversation)s::uuid, m.conversation_id)
                AND (
                    SELECT owner_id FROM conversations_conversation WHERE id = m.conversation_id
                ) = %(owner)s
        ) AS told
    ) AS ranked
    WHERE further <= %(most)s OR nearer <= %(most)s
    ORDER BY depth DESC, files DESC, is_begun DESC, snapshot_id DESC"""
