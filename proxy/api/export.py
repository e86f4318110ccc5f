"""GET /api/export.csv and /api/export.jsonl: the log, for a reviewer's session or a key with the scope `export`.

`after` is a seal number, and `x-next-cursor` the `after` of the next pull. Only calls that were closed and sealed when the pull began are in it:
one that was open is in the next, once. On the audit trail before the first byte.
"""

from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import StreamingHttpResponse

from conversations import database
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
from .conversations import Own
from .openai import invalid
from .params import date_of, given_only

TABLES: dict[str, type[Format]] = {
    each.name: each for each in (TurnsFormat, FiguresFormat, ClassicFormat)
}
FILTERS = ("since", "until", "user", "model", "status", "kind")
LONGEST = 200  # characters of a purpose


class Pull(NamedTuple):
    """What is asked for."""

    calls: QuerySet[Snapshot]
    after: int
    chosen: dict[str, str]
    purpose: str


class Export(Own):
    http_method_names = ["get"]
    media_type = ""

    def format(self, request, names: Names) -> Format:
        raise NotImplementedError

    def get(self, request) -> StreamingHttpResponse:
        caller = request.user
        reader = User.objects.get(id=caller.owner)
        if caller.key and ApiKey.Scope.EXPORT not in caller.scopes:
            raise faults.scope_missing("This key may not export the log.")
        if not (may(reader, "view_content") and may(reader, "export_content")):
            raise faults.not_permitted("The log is exported by those who may export what was said.")
        names = Names(reader)
        pull, made = asked(request, names), self.format(request, names)
        chosen = Selection(pull.calls, pull.after, selection.newest())
        what = {
            "via": "API",
            "key": caller.key,
            "format": made.name,
            "purpose": pull.purpose,
            "filter": pull.chosen,
        }
        http = request._request
        http.user = reader
        with transaction.atomic():
            if caller.key:
                chosen, what["rows"] = within_the_day(caller.key, chosen)
            audit.record(
                http,
                AuditEvent.Action.EXPORT,
                Snapshot,
                **what,
                after=chosen.after,
                last=chosen.last,
            )
        database.release()
        response = StreamingHttpResponse(made.stream(chosen), content_type=self.media_type)
        response["x-next-cursor"] = str(chosen.last)
        response["Content-Disposition"] = (
            f'attachment; filename="calls-{chosen.after + 1}-{chosen.last}.{made.suffix}"'
        )
        response["X-Content-Type-Options"] = "nosniff"
        response["Cache-Control"] = "no-store"
        return response


class AsCSV(Export):
    media_type = "text/csv; charset=utf-8"

    def format(self, request, names: Names) -> Format:
        given_only(request, *FILTERS, "purpose", "after", "of")
        of = request.GET.get("of", TurnsFormat.name)
        if of not in TABLES:
            raise invalid("of", f"`of` must be one of {', '.join(TABLES)}.")
        return TABLES[of](names)


class AsLines(Export):
    media_type = "application/jsonl"

    def format(self, request, names: Names) -> Format:
        given_only(request, *FILTERS, "purpose", "after")
        return LinesFormat(names)


def asked(request, names: Names) -> Pull:
    reader = names.reader
    given = {name: value.replace("\0", "") for name, value in request.GET.items()}
    chosen = {name: given[name] for name in FILTERS if name in given}
    purpose = " ".join(given.get("purpose", "").split())
    if not 0 < len(purpose) <= LONGEST:
        raise invalid(
            "purpose",
            f"`purpose` is missing: why the log is exported, in up to {LONGEST} characters.",
        )
    for name, choices in (("status", Snapshot.Status.values), ("kind", Snapshot.Kind.values)):
        if name in chosen and chosen[name] not in choices:
            raise invalid(name, f"`{name}` must be one of {', '.join(choices)}.")
    after = given.get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise invalid("after", "`after` must be the x-next-cursor of an earlier export, or 0.")
    calls = readable(reader, Snapshot.objects.all()).filter(
        **{name: chosen[name] for name in ("model", "status", "kind") if name in chosen}
    )
    begin = int(after)
    if "since" in chosen:
        first = day_of(chosen["since"], "since")
        calls = calls.filter(id__gte=make_id(first, first=True))
        begin = max(begin, selection.before(first))
    if "until" in chosen:
        calls = calls.filter(
            id__lt=make_id(day_of(chosen["until"], "until") + timedelta(days=1), first=True)
        )
    if "user" in chosen:
        calls = calls.filter(owner=owner_of(chosen["user"], names))
    return Pull(calls, begin, chosen, purpose)


def owner_of(name: str, names: Names) -> User:
    """By user name or external id, exactly; by alias, where people have one."""
    people = readable(names.reader, User.objects.all())
    found = (
        people.filter(Q(username=name) | Q(external_id=name)).first()
        if name and names.by_name
        else None
    )
    if found is None and name and names.hidden:
        found = next(
            (
                person
                for person in people.filter(id__in=names.find(name, 2))
                if names.name(person) == name
            ),
            None,
        )
    if found is None:
        raise invalid("user", "There is no such user name.")
    return found


def day_of(value: str, name: str) -> datetime:
    day = date_of(value, name)
    if not 1970 <= day.year < 9000:
        raise invalid(name, f"`{name}` must be a day that a call can be of.")
    return day


def within_the_day(prefix: str, whole: Selection) -> tuple[Selection, int]:
    """No more than the key may export today; and how many rows that are. Raises Fault."""
    key, today = ApiKey.objects.get(prefix=prefix), datetime.now(UTC).date()
    chosen, rows = whole.up_to(key.rows_left(today))
    if (chosen.last < whole.last and not rows) or not key.spend(rows, today):
        midnight = datetime.combine(today + timedelta(days=1), time.min, UTC)
        wait = int((midnight - datetime.now(UTC)).total_seconds()) + 1
        raise faults.export_limit_reached(key.rows_a_day, wait)
    return chosen, rows
