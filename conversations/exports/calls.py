"""CSV with a row a call: the texts of this turn, only the figures, or the classic columns.

Rows come in the order of their seals. Names and titles are as they are when they are read; all else
never changes.
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext_lazy as _

from ..models import Snapshot, User
from ..packs import pack
from ..record import threads
from ..record.rebuild import MOST_BYTES, MOST_STEPS, rebuild_many
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
    {of_turns} UNION ALL {of_replies} FROM conversations_message WHERE id = ANY(%(replies)s)"""
TEXTS = TURNS.format(
    of_turns="SELECT head, role, text, raw FROM turn",
    of_replies="SELECT id, role, text, raw",
)
TEXT_SIZES = TURNS.format(
    of_turns="""SELECT head, sum(coalesce(octet_length(text), 0) + coalesce(octet_length(raw), 0))
        FROM turn GROUP BY head""",
    of_replies="SELECT id, coalesce(octet_length(text), 0) + coalesce(octet_length(raw), 0)",
)


class CallEnds(NamedTuple):
    """The last message of a call's request, and its reply."""

    head: UUID | None
    reply: UUID | None


Ends = Collection[CallEnds]


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
        self.names.load_end_users((each["owner"], each["end_user"]) for each in calls.values())
        for call, number in stretch.seals.items():
            values = calls[call]
            figures = (
                str(number),
                str(call),
                str(values["conversation_id"] or ""),
                values["conversation__title"] or "",
                *people[values["owner"]],
                self.names.name_end_user(values["owner"], values["end_user"]),
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
            call: CallEnds(head, reply)
            for call, head, reply in snapshots.values_list("id", "head_id", "reply_id")
        }
        steps = {call.id: call.steps for call in stretch.measure_calls()}
        for near in pack(self.figures(stretch), lambda row: steps[row[1]], MOST_STEPS):
            for part in _split(near, ends):
                texts = _texts_of([ends[call] for _figures, call in part])
                for figures, call in part:
                    asked, answered = map(texts.get, ends[call])
                    yield self.row(figures, asked or "", answered or "")

    def row(self, figures: tuple[str, ...], asked: str, answered: str) -> bytes:
        """Write the figures of a call with its texts; a longer text than a cell holds is cut."""
        return csv_line(
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
        for call, messages in rebuild_many(stretch.measure_calls(), self.names):
            request, response = messages.request(call), messages.response(call)
            yield csv_line(table.classic_row(call, self.names, request, response))


Row = tuple[tuple[str, ...], UUID]  # the figures of a call, and its id


def _split(rows: list[Row], ends: dict[UUID, CallEnds]) -> Iterator[list[Row]]:
    """Split rows by the bytes of their texts."""
    sizes = _measure_texts([ends[call] for _figures, call in rows])
    return pack(rows, lambda row: sum(sizes.get(end, 0) for end in ends[row[1]]), MOST_BYTES)


def _texts_of(ends: Ends) -> dict[UUID | None, str]:
    """By the last message of a request, its new messages; by a reply, its text."""
    texts: dict[UUID | None, list[str]] = {}
    for end, role, text, raw in _select(TEXTS, ends):
        message = threads.put_together(role, text, raw)
        texts.setdefault(end, []).append(threads.extract_searchable_text(message))
    return {end: "\n\n".join(reversed(parts)) for end, parts in texts.items()}


def _measure_texts(ends: Ends) -> dict[UUID | None, int]:
    """The bytes of what `_texts_of` reads."""
    return dict(_select(TEXT_SIZES, ends))


def _select(sql: str, ends: Ends) -> list[Any]:
    heads = [each.head for each in ends if each.head]
    replies = [each.reply for each in ends if each.reply]
    with connection.cursor() as cursor:
        cursor.execute(sql, {"heads": heads, "replies": replies})
        return cursor.fetchall()


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
