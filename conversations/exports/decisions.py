"""One row a decision: who decided what about which conversation, and when.

Reasons and notes are columns for readers of content.
"""

from collections.abc import Iterable
from datetime import UTC

from django.db.models import QuerySet

from ..models import Decision
from .calls import as_text
from .table import CsvStream, Line

COLUMNS = (
    "id",
    "made",
    "reviewer",
    "conversation",
    "disposition",
    "newest_call",
    "messages_shown",
    "messages",
    "branches_opened",
    "branches",
    "messages_uncovered",
    "addressee",
    "until",
    "seconds",
    "bytes_read",
    "drawn_for_second",
    "second_of",
)


class DecisionTable(CsvStream):
    def __init__(self, decisions: QuerySet[Decision], *, with_words: bool) -> None:
        self.with_words = with_words
        super().__init__(
            decisions.select_related("reviewer", "addressee"),
            (*COLUMNS, "reason", "note") if with_words else COLUMNS,
        )

    def values(self, decisions: list[Decision]) -> Iterable[Line]:
        for each in decisions:
            cells = (
                str(each.id),
                each.made.astimezone(UTC).isoformat(),
                each.reviewer.get_username(),
                str(each.conversation_id),
                each.disposition,
                str(each.newest),
                *map(as_text, (each.shown, each.messages, each.opened, each.branches)),
                as_text(None if each.uncovered is None else len(each.uncovered)),
                each.addressee.get_username() if each.addressee else "",
                as_text(each.until),
                *map(as_text, (each.seconds, each.length, each.drawn, each.second_of_id)),
                *([each.reason, each.note] if self.with_words else []),
            )
            yield Line(each.id, cells, sum(map(len, cells)))
