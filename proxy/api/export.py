"""GET /api/export.csv and /api/export.jsonl: the log, for a reviewer's session or an `export` key.

`after` is a seal number, and `x-next-cursor` the `after` of the next pull. A pull holds the calls
that were closed and sealed when it began; one that was open is in the next pull, once. A pull is on
the audit trail before its first byte leaves.
"""

from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from rest_framework.request import Request

from conversations import database
from conversations.downloads import download_headers
from conversations.exports import selection
from conversations.exports.calls import ClassicFormat, FiguresFormat, TurnsFormat
from conversations.exports.faithful import LinesFormat
from conversations.exports.format import Format
from conversations.exports.selection import Selection
from conversations.ids import make_id
from conversations.models import AuditEvent, Snapshot, User
from conversations.people import audit
from conversations.people.access import may, readable
from conversations.people.identity import Names

from .. import faults
from ..models import ApiKey
from .authentication import get_caller
from .conversations import OwnView
from .params import read_date, refuse_unknown

TABLES: dict[str, type[Format]] = {
    each.name: each for each in (TurnsFormat, FiguresFormat, ClassicFormat)
}
FILTERS = ("since", "until", "user", "model", "status", "kind")
MAX_PURPOSE = 200  # characters of a purpose


class Pull(NamedTuple):
    """The calls that a request asks for, and why."""

    calls: QuerySet[Snapshot]
    after: int
    filters: dict[str, str]
    purpose: str


class ExportView(OwnView):
    scopes = {"get": (ApiKey.Scope.EXPORT,)}
    media_type = ""

    def make_format(self, request: Request, names: Names) -> Format:
        raise NotImplementedError

    def get(self, request: Request) -> StreamingHttpResponse:
        caller = get_caller(request)
        reader = User.objects.get(id=caller.owner)
        if not (may(reader, "view_content") and may(reader, "export_content")):
            raise faults.not_permitted("The log is exported by those who may export what was said.")
        names = Names(reader)
        pull, writer = read_pull(request, names), self.make_format(request, names)
        chosen = Selection(pull.calls, pull.after, selection.newest_seal())
        detail: dict[str, Any] = {
            "via": "API",
            "key": caller.key,
            "owner": reader.get_username(),
            "owner_id": reader.pk,
            "format": writer.name,
            "purpose": pull.purpose,
            "filter": pull.filters,
        }
        http = request._request
        http.user = reader
        with transaction.atomic():
            if caller.key:
                chosen, detail["rows"] = limit_to_day(caller.key, chosen)
            audit.record(
                http,
                AuditEvent.Action.EXPORT,
                Snapshot,
                **detail,
                after=chosen.after,
                last=chosen.last,
            )
        database.release()
        name = f"calls-{chosen.after + 1}-{chosen.last}.{writer.suffix}"
        response = StreamingHttpResponse(
            writer.stream(chosen), content_type=self.media_type, headers=download_headers(name)
        )
        response["x-next-cursor"] = str(chosen.last)
        response["Cache-Control"] = "no-store"
        return response


class TableExport(ExportView):
    media_type = "text/csv; charset=utf-8"

    def make_format(self, request: Request, names: Names) -> Format:
        refuse_unknown(request, *FILTERS, "purpose", "after", "of")
        name = request.GET.get("of", TurnsFormat.name)
        if name not in TABLES:
            raise faults.invalid_request("of", f"`of` must be one of {', '.join(TABLES)}.")
        return TABLES[name](names)


class LinesExport(ExportView):
    media_type = "application/jsonl"

    def make_format(self, request: Request, names: Names) -> Format:
        refuse_unknown(request, *FILTERS, "purpose", "after")
        return LinesFormat(names)


def read_pull(request: Request, names: Names) -> Pull:
    """Read the query. Raises Fault."""
    query = {name: str(value).replace("\0", "") for name, value in request.GET.items()}
    filters = {name: query[name] for name in FILTERS if name in query}
    purpose = " ".join(query.get("purpose", "").split())
    if not 0 < len(purpose) <= MAX_PURPOSE:
        raise faults.invalid_request(
            "purpose",
            f"`purpose` is missing: why the log is exported, in up to {MAX_PURPOSE} characters.",
        )
    for name, choices in (("status", Snapshot.Status.values), ("kind", Snapshot.Kind.values)):
        if name in filters and filters[name] not in choices:
            raise faults.invalid_request(name, f"`{name}` must be one of {', '.join(choices)}.")
    after = query.get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise faults.invalid_request(
            "after", "`after` must be the x-next-cursor of an earlier export, or 0."
        )
    calls = filter_calls(filters, names)
    begin = int(after)
    if "since" in filters:
        begin = max(begin, selection.seal_before(read_day(filters["since"], "since")))
    return Pull(calls, begin, filters, purpose)


def filter_calls(filters: dict[str, str], names: Names) -> QuerySet[Snapshot]:
    """Return the calls that the reader may read and the filters let through. Raises Fault."""
    equal = {name: filters[name] for name in ("model", "status", "kind") if name in filters}
    calls = readable(names.reader, Snapshot.objects.all()).filter(**equal)
    if "since" in filters:
        first = read_day(filters["since"], "since")
        calls = calls.filter(id__gte=make_id(first, first=True))
    if "until" in filters:
        end = read_day(filters["until"], "until") + timedelta(days=1)
        calls = calls.filter(id__lt=make_id(end, first=True))
    if "user" in filters:
        person = names.find_person(filters["user"])
        if person is None:
            raise faults.invalid_request("user", "There is no such user name.")
        calls = calls.filter(person.rows())
    return calls


def read_day(value: str, name: str) -> datetime:
    day = read_date(value, name)
    if not 1970 <= day.year < 9000:
        raise faults.invalid_request(name, f"`{name}` must be a day that a call can be of.")
    return day


def limit_to_day(prefix: str, wanted: Selection) -> tuple[Selection, int]:
    """Cut the selection to the rows that the key may export today, and count them. Raises Fault."""
    key, today = ApiKey.objects.get(prefix=prefix), datetime.now(UTC).date()
    chosen, rows = wanted.up_to(key.rows_left(today))
    if (chosen.last < wanted.last and not rows) or not key.spend(rows, today):
        midnight = datetime.combine(today + timedelta(days=1), time.min, UTC)
        wait = int((midnight - datetime.now(UTC)).total_seconds()) + 1
        raise faults.export_limit_reached(key.rows_a_day, wait)
    return chosen, rows
