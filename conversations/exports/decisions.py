"""One row a decision: who decided what about which conversation, and when. Reasons and notes are columns for who may read what was said."""

from collections.abc import Iterable
from datetime import UTC

from django.db.models import QuerySet

from ..models import Decision
from .table import Stream

COLUMNS = ("id", "made", "reviewer", "conversation", "disposition", "newest_call")


class DecisionTable(Stream):
    def __init__(self, decisions: QuerySet[Decision], *, with_words: bool) -> None:
        self.with_words = with_words
        super().__init__(
            decisions.select_related("reviewer"),
            (*COLUMNS, "reason", "note") if with_words else COLUMNS,
        )

    def values(self, decisions: list[Decision]) -> Iterable[tuple[str, ...]]:
        for each in decisions:
            said = (
                str(each.id),
                each.made.astimezone(UTC).isoformat(),
                each.reviewer.get_username(),
            )
            about = (str(each.conversation_id), each.disposition, str(each.newest))
            yield (*said, *about, *([each.reason, each.note] if self.with_words else []))
