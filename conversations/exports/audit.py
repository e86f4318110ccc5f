"""One row an audit event, for spreadsheets: who did what, when, with which row.

Words that were searched are a column for readers of content.
"""

from collections.abc import Iterable
from datetime import UTC

from django.db.models import QuerySet

from ..models import AuditEvent
from ..people.identity import Names
from .table import CsvStream, Line

COLUMNS = (
    "id",
    "at",
    "who",
    "action",
    "kind",
    "subject",
    "conversation",
    "address",
    "user_agent",
    "detail",
)


class AuditTable(CsvStream):
    def __init__(self, events: QuerySet[AuditEvent], names: Names, *, with_terms: bool) -> None:
        self.names = names
        self.with_terms = with_terms
        super().__init__(events, (*COLUMNS, "terms") if with_terms else COLUMNS)

    def values(self, events: list[AuditEvent]) -> Iterable[Line]:
        for event in map(self.names.event, events):
            subject = (event.kind, event.subject, str(event.conversation or ""))
            cells = (
                str(event.id),
                event.at.astimezone(UTC).isoformat(),
                event.actor_name,
                event.action,
                *subject,
                event.address or "",
                event.user_agent,
                event.detail,
                *([event.terms] if self.with_terms else []),
            )
            yield Line(event.id, cells, sum(map(len, cells)))
