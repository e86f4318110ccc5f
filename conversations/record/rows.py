"""The messages of a request as rows: those that are none yet."""

from uuid import UUID

from ..models import Message
from ..shape import Json
from . import attachments, threads


def build_rows(
    messages: list[Json],
    ids: list[UUID],
    path: list[bytes],
    known: int,
    relayed: dict[bytes, UUID],
    blobs: list[attachments.Blob],
) -> list[threads.MessageRow]:
    """The messages that are no rows yet."""
    rows = []
    for depth in range(known, len(messages)):
        message, origin, echo_of = messages[depth], Message.Origin.SENT, None
        if message.get("role") == "assistant":
            origin, echo_of = Message.Origin.CLAIMED, relayed.get(path[depth])
            if echo_of:
                origin = Message.Origin.RELAYED
        role, text, raw = threads.take_apart(attachments.lighten(message, blobs))
        if echo_of and threads.is_echo(message) and text is not None:
            text = None
        else:
            echo_of = None
        rows.append(
            threads.MessageRow(
                ids[depth],
                ids[depth - 1] if depth else None,
                depth,
                role,
                text,
                raw,
                origin,
                echo_of,
                path[depth],
            )
        )
    return rows
