"""CSV with a row a call: what was said in this turn, only the figures, or the classic columns.

Rows come in the order of their seals. Names and titles are as they are when they are read; all else never changes.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection

from ..models import Snapshot, User
from ..people.identity import alias
from ..record import threads
from ..record.rebuild import Messages
from . import table
from .format import Format
from .selection import Stretch
from .table import BOM, LONGEST, csv_line

SCHEMA_VERSION = "1"
FIGURES = (
    "seal",
    "id",
    "conversation",
    "title",
    "user_name",
    "job_title",
    "department",
    "end_user",
    "key",
    "kind",
    "status",
    "model",
    "served_model",
    "upstream",
    "use_case",
    "opened",
    "closed",
    "prompt_tokens",
    "completion_tokens",
    "estimated",
    "cost_usd",
    "finish_reason",
    "error_code",
)
VALUES = (
    "id",
    "conversation_id",
    "conversation__title",
    "owner",
    "end_user",
    "key",
    "kind",
    "status",
    "model",
    "served_model",
    "upstream",
    "use_case",
    "opened",
    "closed",
    "prompt_tokens",
    "completion_tokens",
    "estimated",
    "cost",
    "finish_reason",
    "error_code",
)

# Of each request the messages since the last assistant turn, and the reply.
SAID = """
    WITH RECURSIVE said AS (
        SELECT m.id AS head, m.id, m.parent_id, 0 AS back, m.role, m.text, m.raw FROM conversations_message m
        WHERE m.id = ANY(%(heads)s) AND m.role <> 'assistant'
        UNION ALL
        SELECT said.head, m.id, m.parent_id, said.back + 1, m.role, m.text, m.raw FROM said JOIN conversations_message m ON m.id = said.parent_id
        WHERE m.role <> 'assistant')
    SELECT head, role, text, raw FROM said
    UNION ALL SELECT id, role, text, raw FROM conversations_message WHERE id = ANY(%(replies)s)"""


class Table(Format):
    suffix = "csv"
    columns: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        cls.head = BOM + csv_line(cls.columns)

    def person(self, user: User) -> tuple[str, str, str]:
        return self.names.name(user), self.names.job_title(user), self.names.department(user)


class Figured(Table):
    """With FIGURES ahead."""

    def figures(self, stretch: Stretch) -> Iterator[tuple[tuple[str, ...], UUID]]:
        found = {
            id: values
            for id, *values in Snapshot.objects.filter(id__in=stretch.seals).values_list(*VALUES)
        }
        people = {
            id: self.person(user)
            for id, user in User.objects.in_bulk(
                {owner for _, _, owner, *_ in found.values()}
            ).items()
        }
        for id, number in stretch.seals.items():
            conversation, title, owner, end_user, key, *rest = found[id]
            who = (
                *people[owner],
                alias(end_user) if self.names.hidden and end_user else end_user,
                self.names.clue(key),
            )
            yield (
                (
                    str(number),
                    str(id),
                    str(conversation or ""),
                    title or "",
                    *who,
                    *map(text, rest),
                ),
                id,
            )


class FiguresFormat(Figured):
    name, label = "figures", "CSV of figures"
    says = "One row a call: who, when, which model, tokens, cost, how it ended. Nothing that was said, no titles."
    columns = tuple(name for name in (*FIGURES, "schema_version") if name != "title")
    at_once = 5000

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        for figures, _ in self.figures(stretch):
            yield csv_line((*figures[:3], *figures[4:], SCHEMA_VERSION))


class TurnsFormat(Figured):
    name, label = "turns", "CSV by turn"
    says = "One row a call: what was newly asked, what was answered, and the figures."
    columns = (*FIGURES, "asked", "answered", "text_truncated", "text_sha256", "schema_version")

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        ends = {
            id: (head, reply)
            for id, head, reply in Snapshot.objects.filter(id__in=stretch.seals).values_list(
                "id", "head_id", "reply_id"
            )
        }
        said = _said(ends.values())
        for figures, id in self.figures(stretch):
            head, reply = ends[id]
            asked, answered = said.get(head, ""), said.get(reply, "")
            yield csv_line(
                (
                    *figures,
                    asked[:LONGEST],
                    answered[:LONGEST],
                    *table.cut(asked=asked, answered=answered),
                    SCHEMA_VERSION,
                )
            )


class ClassicFormat(Table):
    name, label = "classic", "CSV in the classic columns"
    says = "One row a call with its whole request and reply as JSON, in the columns of the classic gateway."
    columns = table.COLUMNS
    at_once = table.AT_ONCE

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        calls = Snapshot.objects.select_related("owner", "conversation").in_bulk(
            list(stretch.seals)
        )
        messages = Messages(
            (call.conversation_id for call in calls.values() if call.conversation_id), self.names
        )
        for id in stretch.seals:
            yield csv_line(
                table.row(
                    calls[id], self.names, messages.request(calls[id]), messages.response(calls[id])
                )
            )


def _said(ends: Any) -> dict[UUID | None, str]:
    """By the last message of a request: what was newly asked. By a reply: what it says."""
    heads, replies = zip(*ends, strict=True) if ends else ((), ())
    with connection.cursor() as cursor:
        cursor.execute(
            SAID, {"heads": [id for id in heads if id], "replies": [id for id in replies if id]}
        )
        found: dict[UUID | None, list[str]] = {}
        for message, role, text, raw in cursor.fetchall():
            found.setdefault(message, []).append(
                threads.searchable_text(threads.put_together(role, text, raw))
            )
    return {message: "\n\n".join(reversed(texts)) for message, texts in found.items()}


def text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else f"{value:f}" if hasattr(value, "normalize") else str(value)
