"""The usage report as a page: the figures of conversations.report.figures, drawn and in tables, and each table as a CSV."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from ..exports.table import BOM, csv_line
from ..figures import count, money, short, spent
from ..models import AuditEvent
from ..people import audit
from ..people.access import may, reads_everything
from ..people.identity import Names
from ..report import charts
from ..report.figures import Assessed, Figures, Period, Report, ReportRow

RANGES = {7: "7 days", 30: "30 days", 91: "Quarter", 365: "Year"}
DAY = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class DaysForm(forms.Form):
    since = forms.DateField(label="From", widget=DAY)
    until = forms.DateField(label="To", widget=DAY)

    def clean(self) -> None:
        if len(self.cleaned_data) == 2:
            try:
                self.days = Period(**self.cleaned_data)
            except ValueError as problem:
                raise ValidationError(str(problem)) from None


@dataclass
class Bar:
    """A row as it is drawn, and what stands beside it."""

    row: ReportRow
    picture: SafeString
    cells: Sequence[str]


@dataclass
class Panel:
    name: str
    title: str
    heads: Sequence[str]
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    says: str = ""  # the figures in a sentence, for whoever does not see the picture
    picture: SafeString | None = None
    bars: list[Bar] = field(default_factory=list)  # instead of the rows, on the page
    drawn: Sequence[str] = ()  # what stands beside the bars
    legend: list[tuple[int, str]] = field(default_factory=list)
    missing: str = ""  # why there is nothing to show


def page(request: HttpRequest) -> HttpResponse:
    if not may(request.user, "view_usage"):
        raise PermissionDenied
    form, days = chosen(request)
    report = read(request, days)
    audit.record(
        request,
        AuditEvent.Action.LIST,
        of="usage report",
        since=days.since,
        until=days.until,
        by_person=report.by_person,
    )
    context = {
        **admin.site.each_context(request),
        "title": "Usage report",
        "form": form,
        "days": days,
        "ranges": [
            (
                f"?since={today() - timedelta(days=n - 1)}&until={today()}",
                said,
                days == Period(today() - timedelta(days=n - 1), today()),
            )
            for n, said in RANGES.items()
        ],
        "query": f"?since={days.since}&until={days.until}",
        "tiles": tiles(report),
        "panels": panels(report),
        "fewest": report.fewest if report.fewest > 1 else 0,
    }
    return TemplateResponse(
        request, "admin/usage.html", context, status=200 if form.is_valid() else 400
    )


def csv(request: HttpRequest, panel: str) -> HttpResponse:
    if not may(request.user, "view_usage"):
        raise PermissionDenied
    form, days = chosen(request)
    report = read(request, days)
    found = next((each for each in panels(report) if each.name == panel), None)
    if found is None or found.missing or not form.is_valid():
        raise Http404
    audit.record(
        request,
        AuditEvent.Action.EXPORT,
        of="usage report",
        panel=panel,
        since=days.since,
        until=days.until,
        by_person=report.by_person,
    )
    body = BOM + b"".join(
        csv_line(tuple(str(value) for value in row)) for row in (found.heads, *found.rows)
    )
    headers = {
        "Content-Disposition": f'attachment; filename="usage-{panel}-{days.since}-{days.until}.csv"',
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(body, content_type="text/csv; charset=utf-8", headers=headers)


def chosen(request: HttpRequest) -> tuple[DaysForm, Period]:
    """The last 30 days unless chosen, or where the choice is none."""
    usual = Period(today() - timedelta(days=29), today())
    form = DaysForm(
        {
            "since": request.GET.get("since", usual.since),
            "until": request.GET.get("until", usual.until),
        },
        auto_id="days-%s",
        label_suffix="",
    )
    return form, form.days if form.is_valid() else usual


def read(request: HttpRequest, days: Period) -> Report:
    who = request.user
    by_person, assessments = may(who, "view_usage_by_user"), may(who, "view_assessments")
    return Report(
        days,
        by_person=by_person,
        titles=reads_everything(who),
        assessments=assessments,
        names=Names(who),
    )


def today() -> date:
    return datetime.now(UTC).date()


# What stands on it ----------------------------------------------------------------------------------------------


def tiles(report: Report) -> list[tuple[str, str, str]]:
    """Name, figure, and how it compares with as many days before."""
    now, then = report.total, report.total_before
    pairs: list[tuple[str, str, float | Decimal, float | Decimal]] = [
        ("Calls", count(now.calls), now.calls, then.calls),
        ("People", count(report.people), report.people, report.people_before),
        ("Tokens", short(now.tokens), now.tokens, then.tokens),
        ("Cost", money(now.cost), now.cost, then.cost),
        ("Not answered", count(now.failures), now.failures, then.failures),
    ]
    return [
        (name, said, change(float(value), float(before))) for name, said, value, before in pairs
    ]


def change(value: float, before: float) -> str:
    if not before:
        return "none before" if value else ""
    percent = round(100 * (value - before) / before)
    return "as before" if not percent else f"{'+' if percent > 0 else '−'}{abs(percent):,} %"


def panels(report: Report) -> list[Panel]:
    whose, shown = ("person", "people") if report.by_person else ("department", "departments")
    few = f"Fewer than {report.fewest} people called in these days." if report.fewest > 1 else ""
    return [
        history(report, shown),
        shares(report),
        cost(report),
        bars(
            "people",
            f"Tokens by {whose}",
            whose.capitalize(),
            report.persons if report.by_person else report.departments,
            "" if report.by_person else few,
        ),
        bars("models", "Tokens by model", "Model", report.models),
        bars(
            "conversations",
            "Tokens by conversation",
            "Conversation begun in these days",
            report.conversations,
            titles(report),
        ),
        *(
            [bars("departments", "Tokens by department", "Department", report.departments, few)]
            if report.by_person
            else []
        ),
        bars("job-titles", "Tokens by job title", "Job title", report.job_titles, few),
        *assessed(report),
    ]


def titles(report: Report) -> str:
    """Why conversations are not named here."""
    return (
        ""
        if report.titles and report.by_person
        else "Titles are content and belong to people: shown to those who may read both."
    )


def history(report: Report, shown: str) -> Panel:
    series, buckets = report.history, report.days.buckets
    rows = (
        [
            (bucket, *values)
            for bucket, *values in zip(buckets, *(values for _, values in series), strict=True)
        ]
        if series
        else []
    )
    most = max(rows, key=lambda row: sum(row[1:]), default=None)
    return Panel(
        "history",
        "Calls over time",
        ("Day" if report.days.step == 1 else "Seven days from", *(name for name, _ in series)),
        rows,
        says=f"Calls by {shown} who made most. The highest is {count(sum(most[1:]))}, {said(most[0])}."
        if most
        else "",
        picture=charts.area(buckets, series),
        legend=list(enumerate(name for name, _ in series)),
        missing="" if series else "No calls.",
    )


def shares(report: Report) -> Panel:
    prompt, completion = report.total.prompt_tokens, report.total.completion_tokens
    rows = [("Prompt", prompt), ("Completion", completion)]
    percent = round(100 * prompt / (prompt + completion)) if prompt + completion else 0
    return Panel(
        "tokens",
        "Prompt and completion tokens",
        ("Tokens", "Number"),
        rows,
        says=f"{percent} % of all tokens were sent, {100 - percent} % came back.",
        picture=charts.ring([prompt, completion]),
        legend=[(n, f"{name} {short(value)}") for n, (name, value) in enumerate(rows)],
        missing="" if prompt + completion else "No tokens.",
    )


def cost(report: Report) -> Panel:
    rows = [(day, figures.calls, figures.tokens, figures.cost) for day, figures in report.buckets]
    return Panel(
        "cost",
        "Cost over time",
        ("Day" if report.days.step == 1 else "Seven days from", "Calls", "Tokens", "Cost in USD"),
        rows,
        says=f"{money(report.total.cost)} in all.",
        picture=charts.columns([row[0] for row in rows], [float(row[3]) for row in rows], "$"),
        missing="" if report.total.cost else "Nothing that has a price.",
    )


def assessed(report: Report) -> list[Panel]:
    """None where nobody was assessed."""
    whole, people = report.assessed, report.people_assessed
    if not people:
        return []
    few = (
        f"Conversations of fewer than {report.fewest_assessed} people were assessed in these days."
        if report.fewest_assessed > 1
        else ""
    )
    says = whole and (
        f"{count(whole.conversations)} conversations of {count(people)} people: {whole.percent:.0f} % work-related, satisfaction {whole.mean:.1f} of 10, "
        f"{spent(whole.seconds)} saved, and {spent(whole.assistant_seconds)} of assistants, worth {money(Decimal(whole.worth))}. A model’s estimates."
    )
    found = [
        worth(
            "assessments",
            "Assessments by department",
            "Department",
            report.assessed_departments,
            few,
            says or "",
        )
    ]
    return found + (
        [worth("assessed-people", "Assessments by person", "Person", rows)]
        if (rows := report.assessed_persons)
        else []
    )


def worth(
    name: str,
    title: str,
    head: str,
    rows: list[ReportRow[Assessed]],
    missing: str = "",
    says: str = "",
) -> Panel:
    longest, counted = (
        max((row.figures.conversations for row in rows), default=0),
        any(row.people is not None for row in rows),
    )
    heads = (
        "Conversations",
        "Work-related",
        "Satisfaction of 10",
        "Seconds saved",
        "Assistants’ seconds saved",
        "Worth in USD",
    )
    cells = [
        (
            row.name,
            *((row.people,) if counted else ()),
            row.figures.conversations,
            row.figures.work_related,
            round(row.figures.mean, 2),
            round(row.figures.seconds),
            round(row.figures.assistant_seconds),
            f"{row.figures.worth:.2f}",
        )
        for row in rows
    ]
    drawn = [
        Bar(
            row,
            charts.bar(
                [row.figures.work_related, row.figures.conversations - row.figures.work_related],
                longest,
            ),
            (f"{row.figures.percent:.0f} %", f"{row.figures.mean:.1f}", spent(row.figures.seconds)),
        )
        for row in rows
    ]
    return Panel(
        name,
        title,
        (head, "People", *heads) if counted else (head, *heads),
        cells,
        says=says,
        bars=drawn,
        drawn=("Work-related", "Satisfaction", "Time saved"),
        legend=[(0, "Work-related"), (1, "Other conversations")],
        missing="" if rows else missing,
    )


def bars(
    name: str, title: str, head: str, rows: list[ReportRow[Figures]], missing: str = ""
) -> Panel:
    longest = max((row.figures.tokens for row in rows), default=0)
    heads, counted = (
        ("Calls", "Prompt tokens", "Completion tokens", "Cost in USD"),
        any(row.people is not None for row in rows),
    )
    return Panel(
        name,
        title,
        (head, "People", *heads) if counted else (head, *heads),
        [cells(row) for row in rows],
        bars=[
            Bar(
                row,
                charts.bar([row.figures.prompt_tokens, row.figures.completion_tokens], longest),
                beside(row.figures),
            )
            for row in rows
        ],
        drawn=("Prompt + completion", "Calls", "Cost"),
        legend=[(0, "Prompt"), (1, "Completion")],
        missing="" if rows else missing or "No calls.",
    )


def beside(figures: Figures) -> tuple[str, ...]:
    return (
        f"{short(figures.prompt_tokens)} + {short(figures.completion_tokens)}",
        count(figures.calls),
        money(figures.cost),
    )


def cells(row: ReportRow[Figures]) -> tuple[Any, ...]:
    people = () if row.people is None else (row.people,)
    return (
        row.name,
        *people,
        row.figures.calls,
        row.figures.prompt_tokens,
        row.figures.completion_tokens,
        row.figures.cost,
    )


def said(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
