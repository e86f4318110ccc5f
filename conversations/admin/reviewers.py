"""The reviewers' report of some days: a page, one for print with each decision, and CSV."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..downloads import download_headers
from ..exports.table import BOM, csv_line
from ..figures import count, spent
from ..models import AuditEvent, Decision, Review, SamplingPolicy
from ..people import audit
from ..people.access import auditable_decisions, reviews_departments
from ..people.identity import hides_people
from ..report import reviewing
from ..report.reviewing import ReviewerFigures
from ..search.days import DaysFilter
from .rights import require_rights

PRINTED = 1000  # decisions of a page for print; the CSV has all
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)
COLUMNS = (
    "reviewer",
    "decisions",
    *Decision.Disposition.values,
    "median_seconds",
    "median_bytes_read",
    "in_haste",
    "from_a_list",
    "second_line_percent",
    "second_line_required",
    "second_line_drawn",
    "second_line_checked",
    "second_line_agreed",
)


HEADS = (
    gettext_lazy("Median time"),
    gettext_lazy("Median length"),
    gettext_lazy("In haste"),
    gettext_lazy("From a list"),
    gettext_lazy("Second line"),
    gettext_lazy("Agreement"),
)


@require_rights("view_audit")
def page(request: HttpRequest) -> HttpResponse:
    form = DaysFilter(request.GET, request.user)
    decisions, printed = find_decisions(form), "print" in request.GET
    rows = reviewing.read_reviewers(decisions)
    audit.record(
        request, AuditEvent.Action.LIST, of="reviewers’ report", filter=form.chosen, printed=printed
    )
    context = {
        **admin.site.each_context(request),
        "title": _("Reviewers’ report"),
        "filter": form,
        "words": form.days() if form.is_valid() else "",
        "query": form.query(),
        "heads": [_("Reviewer"), _("Decisions"), *HEADS],
        "rows": [(row.name or _("All reviewers"), describe(row)) for row in rows],
        "second_line": describe_second_line(rows[0]) if rows else "",
        "policies": describe_policies(form) if rows else [],
        "haste": reviewing.HASTE,
        "printed": printed,
        "decisions": decisions.select_related("reviewer").order_by("-id")[:PRINTED],
        "left_out": max(rows[0].decisions - PRINTED, 0) if printed and rows else 0,
    }
    status = 200 if form.is_valid() else 400
    return TemplateResponse(request, "admin/reviewers.html", context, status=status)


@require_rights("view_audit")
def download_csv(request: HttpRequest) -> HttpResponse:
    form = DaysFilter(request.GET, request.user)
    if not form.is_valid():
        return HttpResponseRedirect(f"{reverse('admin:reviewers')}?{request.GET.urlencode()}")
    audit.record(
        request, AuditEvent.Action.EXPORT, of="reviewers’ report", filter=form.chosen, format="csv"
    )
    rows = map(write_row, reviewing.read_reviewers(find_decisions(form)))
    body = BOM + b"".join(csv_line(row) for row in (COLUMNS, *rows))
    headers = download_headers("reviewers.csv")
    return HttpResponse(body, content_type="text/csv; charset=utf-8", headers=headers)


def find_decisions(form: DaysFilter) -> QuerySet[Decision]:
    """Select the decisions of the days that the reader may see."""
    if not form.is_valid():
        return Decision.objects.none()
    decisions = auditable_decisions(form.reader, Decision.objects.all())
    return decisions.filter(id__gte=form.first_id or FIRST, id__lt=form.end_id or LAST)


def describe(row: ReviewerFigures) -> list[str]:
    """Write the figures of a row as the page shows them."""
    return [
        count(row.decisions),
        "–" if row.seconds is None else spent(row.seconds),
        describe_length(row.length),
        count(row.hasty),
        count(row.listed),
        f"{row.checked:,} of {row.drawn:,}",
        "–" if row.agreement is None else f"{row.agreement:.0f} %",
    ]


def describe_length(length: float | None) -> str:
    return "–" if length is None else f"{length / 1000:,.1f} kB"


def write_row(row: ReviewerFigures) -> tuple[str, ...]:
    percent = settings.SECOND_LINE_PERCENT
    figures: list[Any] = [
        row.decisions,
        *row.dispositions,
        "" if row.seconds is None else round(row.seconds, 1),
        "" if row.length is None else round(row.length),
        row.hasty,
        row.listed,
        percent,
        round(row.required(percent), 2),
        row.drawn,
        row.checked,
        row.agreed,
    ]
    return (row.name or "", *map(str, figures))


def describe_second_line(all_rows: ReviewerFigures) -> str:
    """Say what the sample for the second line should be, and what it came to."""
    percent = settings.SECOND_LINE_PERCENT
    if not percent and not all_rows.drawn:
        return _("No decisions are drawn for a second line: SECOND_LINE_PERCENT is 0.")
    share = 100 * all_rows.checked / all_rows.first if all_rows.first else 0
    text = _(
        "Second line: %(percent)s %% of %(first)s decisions are %(required)s. "
        "%(drawn)s were drawn, and %(checked)s of these decided by a second reviewer "
        "(%(share)s %% of all decisions)."
    )
    return text % {
        "percent": f"{percent:g}",
        "first": count(all_rows.first),
        "required": f"{all_rows.required(percent):,.1f}",
        "drawn": count(all_rows.drawn),
        "checked": count(all_rows.checked),
        "share": f"{share:.1f}",
    }


def describe_policies(form: DaysFilter) -> list[tuple[str, str, str]]:
    """Name each sampling policy that drew conversations begun in these days; what was decided."""
    reviews = Review.objects.filter(
        conversation__gte=form.first_id or FIRST, conversation__lt=form.end_id or LAST
    )
    if departments := reviews_departments(form.reader):
        known = SamplingPolicy.objects.known_to(departments)
        reviews = reviews.of_owners(department__in=departments).filter(policy__in=known)
    if hides_people(form.reader):  # a department may be one person
        reviews = reviews.filter(policy__department="")
    figures = reviewing.read_policies(reviews)
    policies = SamplingPolicy.objects.in_bulk([each.policy for each in figures])
    return [
        (
            str(policies[each.policy]),
            count(each.drawn),
            f"{each.decided:,} ({100 * each.decided / each.drawn:.0f} %)",
        )
        for each in figures
    ]
