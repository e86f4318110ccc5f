"""The review queue as a page: its tabs, its filter, the day's work, and its rows, page by page."""

from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import PermissionDenied
from django.db.models import TextField
from django.db.models.functions import Cast, JSONObject
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from .. import review
from ..ids import first_id_of, parse_uuid
from ..models import AuditEvent, Conversation, Decision, Review, SamplingPolicy, User
from ..models.review import Place
from ..people import audit
from ..people.access import may, readable
from ..people.persons import fit_column
from ..refusals import find_ticked, show_again, takes_form
from ..search.queue import TABS, QueueFilter
from .changelist import RowCount
from .patience import TookTooLong, limit_statements, show_stopped
from .queue import (
    closed_calls,
    describe_many,
    queue_url,
    read_list,
    reviewers_only,
    sign_list,
)

SHOWN = 50  # rows of a page
CAP = 1000  # rows that are counted
OFFERED = 500  # departments, and policies
SHOWN_WITH = ("conversation__owner", "assignee", "decision", "policy")
PERCENT = Cast("percent", TextField())  # not a float
POLICY = JSONObject(id="id", percent=PERCENT, department="department", model="model")


@reviewers_only
def page(request: HttpRequest) -> HttpResponse:
    chosen, leads = QueueFilter(request.GET.dict(), request.user), may(request.user, "lead")
    try:
        after, before = read_place(request, "after"), read_place(request, "before")
    except ValueError:
        return HttpResponseRedirect(queue_url(chosen))
    rows = chosen.reviews().select_related(*SHOWN_WITH).annotate(fit=fit_column("conversation__"))
    if leads:
        rows = rows.annotate(calls=RowCount(closed_calls().values("pk")))
    try:
        with limit_statements():
            counts = count_rows(request, chosen)
            found = rows.read_page(SHOWN + 1, after=after, before=before)
    except TookTooLong:
        record_list(request, chosen, stopped=True)
        return show_stopped(request, "Review queue")
    more = len(found) > SHOWN
    if (after and not found) or (before and not more):
        return HttpResponseRedirect(queue_url(chosen))  # as the first page would be, or less
    found = found[-SHOWN:] if before else found[:SHOWN]
    event = record_list(request, chosen, rows=len(found))
    for row in found:
        row.conversation.fit = row.fit  # type: ignore[attr-defined]
    chosen.names.load(row.conversation for row in found)
    ticked = find_ticked(request, "review-bulk", "conversation")
    for row in found:
        row.ticked = str(row.pk) in ticked  # type: ignore[attr-defined]
    context = {
        **admin.site.each_context(request),
        "title": "Review queue",
        "chosen": chosen,
        "rows": found,
        "names": chosen.names,
        "cap": CAP,
        "now": chosen.now,
        "leads": leads,
        "bulk": review.BULK,
        "shown": sign_list(request, event, find_bases(found)) if leads else "",
        "later_page": chosen.query(after=str(found[-1].place)) if before or more else "",
        "earlier_page": chosen.query(before=str(found[0].place)) if before or after else "",
    }
    return TemplateResponse(request, "admin/queue.html", context | counts)


@takes_form(partial(reverse, "admin:review-queue"))
@reviewers_only
def decide_many(request: HttpRequest) -> HttpResponseBase:
    """Decide “no issue” about the selected conversations, as a Lead."""
    if not may(request.user, "lead"):
        raise PermissionDenied
    selected = map(parse_uuid, request.POST.getlist("conversation")[: review.BULK + 1])
    ids = [each for each in selected if each]
    conversations = readable(request.user, Conversation.objects.filter(id__in=ids))
    try:
        reason, shown = request.POST.get("reason", "")[:500], read_list(request)
        count = review.no_issue(request, conversations, shown, reason)
    except review.ReviewRefused as problem:
        return show_again(request, "review-bulk", problem, partial(page, request))
    messages.success(request, describe_many(count, len(ids) - count))
    return HttpResponseRedirect(queue_url(QueueFilter.of_request(request)))


def find_bases(rows: list[Review]) -> dict[UUID, review.Basis]:
    """Say of each row how far it has come."""
    return {row.pk: review.Basis(row.calls, row.decision_id) for row in rows}  # type: ignore[attr-defined]


def count_rows(request: HttpRequest, chosen: QueueFilter) -> dict[str, Any]:
    """Count the tabs and the day's work, and offer the values of the filter. One query."""
    capped = [chosen.reviews(tab) for tab in TABS] + [chosen.due_today()]
    today = first_id_of(timezone.localdate())
    done = Decision.objects.filter(reviewer=request.user.pk, id__gte=today).order_by()
    policies = chosen.policies().order_by("-pk").values_list(POLICY)
    me = User.objects.filter(username=request.user.get_username())  # one row to hang them on
    [row] = me.values_list(
        ArraySubquery(chosen.departments()[:OFFERED]),
        ArraySubquery(policies[:OFFERED]),
        RowCount(done.values("pk")),
        *(RowCount(rows.order_by().values("pk")[: CAP + 1]) for rows in capped),
    )
    chosen.offer(row[0] or [], map(read_policy, row[1] or []))
    done_today, counted = row[2], row[3:]
    tabs = [(*tab, rows) for tab, rows in zip(chosen.tabs, counted, strict=False)]
    return {"tabs": tabs, "done": done_today, "today": done_today + min(counted[-1], CAP)}


def read_policy(fields: dict[str, Any]) -> SamplingPolicy:
    return SamplingPolicy(**fields | {"percent": Decimal(fields["percent"])})


def read_place(request: HttpRequest, name: str) -> Place | None:
    """Read a place of the query string. Raises ValueError where it is none."""
    return Place.read(request.GET[name]) if name in request.GET else None


def record_list(request: HttpRequest, chosen: QueueFilter, **detail: Any) -> AuditEvent:
    action, fields = AuditEvent.Action.LIST, chosen.fields_chosen
    return audit.record(
        request, action, of="review queue", which=chosen.tab, filter=fields, **detail
    )
