"""The path from a root to a message, as its rows hold it."""

from typing import NamedTuple
from uuid import UUID

from ..database import execute
from ..shape import Json
from . import threads


class PathRow(NamedTuple):
    """A message of a path as it was sent, its files still taken out."""

    id: UUID
    path_hash: bytes
    origin: str
    echo_of: UUID | None
    message: Json


def read_rows(head: UUID | None) -> list[PathRow]:
    """Read the rows from a root to this one."""
    if head is None:
        return []
    rows = execute(PATH, {"head": head}).fetchall()
    return [
        PathRow(
            row,
            bytes(path_hash),
            origin,
            echo_of,
            threads.put_together(role, text if echoed is None else echoed.strip(), raw),
        )
        for row, path_hash, origin, echo_of, role, text, raw, echoed in rows
    ]


def read_path(head: UUID | None) -> list[Json]:
    """Read the messages from a root to this one, their files still taken out."""
    return [row.message for row in read_rows(head)]


PATH = """
    WITH RECURSIVE walk AS (
        SELECT id, parent_id, depth, role, text, raw, origin, echo_of_id, path_hash
        FROM conversations_message WHERE id = %(head)s
        UNION ALL
        SELECT m.id, m.parent_id, m.depth, m.role, m.text, m.raw, m.origin, m.echo_of_id,
            m.path_hash
        FROM walk JOIN conversations_message m ON m.id = walk.parent_id)
    SELECT walk.id, walk.path_hash, walk.origin, walk.echo_of_id, walk.role, walk.text, walk.raw,
        echoed.text
    FROM walk LEFT JOIN conversations_message echoed ON echoed.id = walk.echo_of_id
    ORDER BY walk.depth"""
