"""CSV with a row a call: the texts of this turn, only the figures, or the classic columns.

Rows come in the order of their seals. Names and titles are as they are when they are read; all else
never changes.
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext_lazy as _

from ..models import Snapshot, User
from ..people.identity import alias
from ..record import threads
from ..record.rebuild import Rebuilder
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
    "cost_source",
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
    "cost_source",
)

FIRST_OF_CALL = VALUES.index("kind")  # what is before it is of people and conversations

# Of each request the messages since the last assistant turn, and the reply.
TURNS = """
    WITH RECURSIVE turn AS (
        SELECT m.id AS head, m.id, m.parent_id, 0 AS back, m.role, m.text, m.raw
        FROM conversations_message m
        WHERE m.id = ANY(%(heads)s) AND m.role <> 'assistant'
        UNION ALL
        SELECT turn.head, m.id, m.parent_id, turn.back + 1, m.role, m.text, m.raw
        FROM turn JOIN conversations_message m ON m.id = turn.parent_id
        WHERE m.role <> 'assistant')
    SELECT head, role, text, raw FROM turn
    UNION ALL SELECT id, role, text, raw FROM conversations_message WHERE id = ANY(%(replies)s)"""


class CsvFormat(Format):
    suffix = "csv"
    columns: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        cls.head = BOM + csv_line(cls.columns)

    def person(self, user: User) -> tuple[str, str, str]:
        return self.names.name(user), self.names.job_title(user), self.names.department(user)


class FiguresTable(CsvFormat):
    """Rows that begin with FIGURES."""

    def figures(self, stretch: Stretch) -> Iterator[tuple[tuple[str, ...], UUID]]:
        """The figures of each call, and its id."""
        snapshots = Snapshot.objects.filter(id__in=stretch.seals).values(*VALUES)
        calls = {values["id"]: values for values in snapshots}
        owners = User.objects.in_bulk({values["owner"] for values in calls.values()})
        people = {pk: self.person(user) for pk, user in owners.items()}
        for call, number in stretch.seals.items():
            values, end_user = calls[call], calls[call]["end_user"]
            figures = (
                str(number),
                str(call),
                str(values["conversation_id"] or ""),
                values["conversation__title"] or "",
                *people[values["owner"]],
                alias(end_user) if self.names.hidden and end_user else end_user,
                self.names.clue(values["key"]),
                *(as_text(values[name]) for name in VALUES[FIRST_OF_CALL:]),
            )
            yield figures, call


class FiguresFormat(FiguresTable):
    name, label = "figures", _("CSV of figures")
    description = _(
        "One row per call: who, when, which model, tokens, cost and how it ended. No content and no"
        " titles."
    )
    columns = tuple(name for name in (*FIGURES, "schema_version") if name != "title")
    at_once = 5000

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        for figures, _call in self.figures(stretch):
            yield csv_line((*figures[:3], *figures[4:], SCHEMA_VERSION))


class TurnsFormat(FiguresTable):
    name, label = "turns", _("CSV by turn")
    description = _("One row per call: the new question, the answer, and the figures.")
    columns = (*FIGURES, "asked", "answered", "text_truncated", "text_sha256", "schema_version")

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        snapshots = Snapshot.objects.filter(id__in=stretch.seals)
        ends = {
            call: (head, reply)
            for call, head, reply in snapshots.values_list("id", "head_id", "reply_id")
        }
        texts = _texts_of(ends.values())
        for figures, call in self.figures(stretch):
            head, reply = ends[call]
            asked, answered = texts.get(head, ""), texts.get(reply, "")
            yield csv_line(
                (
                    *figures,
                    asked[:LONGEST],
                    answered[:LONGEST],
                    *table.cut_columns(asked=asked, answered=answered),
                    SCHEMA_VERSION,
                )
            )


class ClassicFormat(CsvFormat):
    name, label = "classic", _("CSV in the classic columns")
    description = _(
        "One row per call with its complete request and reply as JSON, in the columns of the"
        " classic gateway."
    )
    columns = table.COLUMNS
    at_once = table.AT_ONCE

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        calls = Snapshot.objects.select_related("owner", "conversation").in_bulk(
            list(stretch.seals)
        )
        messages = Rebuilder(
            (call.conversation_id for call in calls.values() if call.conversation_id), self.names
        )
        for call in map(calls.__getitem__, stretch.seals):
            request, response = messages.request(call), messages.response(call)
            yield csv_line(table.classic_row(call, self.names, request, response))


def _texts_of(ends: Collection[tuple[UUID | None, UUID | None]]) -> dict[UUID | None, str]:
    """By the last message of a request, its new messages; by a reply, its text."""
    heads = [head for head, _ in ends if head]
    replies = [reply for _, reply in ends if reply]
    texts: dict[UUID | None, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(TURNS, {"heads": heads, "replies": replies})
        for end, role, text, raw in cursor.fetchall():
            message = threads.put_together(role, text, raw)
            texts.setdefault(end, []).append(threads.extract_searchable_text(message))
    return {end: "\n\n".join(reversed(parts)) for end, parts in texts.items()}


def as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return "" if value is None else str(value)
