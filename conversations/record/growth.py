"""An answer that is still on its way: all that has grown of it, and the wish to stop it."""

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import transaction

from ..database import execute
from ..models import Partial, Snapshot
from ..shape import Json

Channel = tuple[int | str, ...]  # the path to a string: choice, field of the message, item …
TEXT: Channel = (0, "content")


class Piece(NamedTuple):
    """What a string has grown by; `at` counts the characters before it."""

    channel: Channel
    at: int
    text: str


def save_pieces(snapshot: UUID, pieces: list[Piece]) -> None:
    """Save what a growing answer has grown by; nothing, where its call was closed by another."""
    rows = [
        {
            "channel": "" if piece.channel == TEXT else orjson.dumps(piece.channel).decode(),
            "at": piece.at,
            "text": piece.text.replace("\0", "\ufffd"),
        }
        for piece in pieces
    ]
    execute(GROW, {"snapshot": snapshot, "pieces": orjson.dumps(rows).decode()})


def replace_pieces(snapshot: UUID, pieces: list[Piece]) -> None:
    """Save all that an answer has grown to, in place of what was saved of it."""
    with transaction.atomic():
        Partial.objects.filter(snapshot=snapshot).delete()
        save_pieces(snapshot, pieces)


def read_growth(snapshot: UUID, after: int = 0) -> str:
    """Return what was saved of a growing answer's text after so many characters of it."""
    saved = Partial.objects.filter(snapshot=snapshot, channel="", at__gte=after).order_by("at")
    return _join(saved, after)


def _join(pieces: Iterable[Partial], start: int = 0) -> str:
    """Join pieces up to the first gap: a crash of PostgreSQL empties their table (Partial)."""
    text = ""
    for piece in pieces:
        if piece.at != start + len(text):
            break
        text += piece.text
    return text


def read_replies(snapshot: UUID) -> list[Json]:
    """Return the messages of all choices as far as they were saved."""
    replies: dict[int, Json] = {}
    saved = Partial.objects.filter(snapshot=snapshot).order_by("channel", "at")
    for channel, pieces in groupby(saved, attrgetter("channel")):
        whole_path: list[Any] = orjson.loads(channel) if channel else [*TEXT]
        choice, *path = whole_path
        if path and isinstance(path[0], str) and (text := _join(pieces)):
            reply = replies.setdefault(choice, {"role": "assistant", "content": None})
            _put(reply, path, text)
    return [_as_lists(reply) for _, reply in sorted(replies.items())]


def _put(value: Json, path: list[Any], text: str) -> None:
    """Set the string at a path; items of a list are kept by their place until all are there."""
    for key in path[:-1]:
        inner = value.get(key)
        if not isinstance(inner, dict):  # a text that went on as a list of parts
            inner = {0: {"type": "text", "text": inner}} if isinstance(inner, str) else {}
        value[key] = inner
        value = inner
    value[path[-1]] = text


def _as_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    grown = {key: _as_lists(each) for key, each in value.items()}
    if all(isinstance(key, int) for key in grown):
        return [each for _, each in sorted(grown.items())]
    return {str(key): each for key, each in grown.items()}  # a list that went on as an object


def ask_to_stop(snapshot: UUID) -> None:
    """Mark a pending call as one to stop. The process that runs it reads this within a second."""
    Snapshot.objects.filter(id=snapshot, status=Snapshot.Status.PENDING).update(stop=True)


def find_stopped(snapshots: list[UUID]) -> list[UUID]:
    """Return those of these calls that are to stop."""
    return [row[0] for row in execute(STOPPED, {"ids": snapshots}).fetchall()] if snapshots else []


GROW = """
    INSERT INTO conversations_partial (snapshot, channel, at, text)
    SELECT %(snapshot)s::uuid, p.channel, p.at, p.text
    FROM json_to_recordset(%(pieces)s::json) AS p (channel text, at int, text text)
    WHERE EXISTS (
        SELECT FROM conversations_snapshot WHERE id = %(snapshot)s::uuid AND status = 'pending'
    )
    ON CONFLICT DO NOTHING"""
STOPPED = "SELECT id FROM conversations_snapshot WHERE id = ANY(%(ids)s::uuid[]) AND stop"
