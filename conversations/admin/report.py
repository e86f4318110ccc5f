"""The usage report: figures of conversations.report.figures drawn, in tables, and as CSV."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..downloads import download_headers
from ..exports.table import BOM, csv_line
from ..figures import count, money, short, spent
from ..models import AuditEvent
from ..people import audit
from ..people.access import may, reads_everything
from ..people.identity import Names
from ..report import charts
from ..report.figures import Assessed, Figures, Period, Report, ReportRights, ReportRow
from .rights import require_rights

MANIFOLD = 10  # times as much as before; of more, percent say nothing
IN_MEMORY = 1 << 20  # bytes of a CSV; a larger one is a file meanwhile
RANGES = {7: "7 days", 30: "30 days", 91: "Quarter", 365: "Year"}
DAY = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class PeriodForm(forms.Form):
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
    """A row as it is drawn, with the cells beside it."""

    row: ReportRow
    picture: SafeString
    cells: Sequence[str]


@dataclass
class Panel:
    name: str
    title: str
    heads: Sequence[str]
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    says: str = ""  # the figures in a sentence, for readers who do not see the picture
    # Drawn where a page shows them, not for a CSV.
    picture: Callable[[], SafeString] | None = None
    bars: Callable[[], list[Bar]] | None = None  # instead of the rows
    drawn: Sequence[str] = ()  # heads of the cells beside the bars
    legend: list[tuple[int, str]] = field(default_factory=list)
    missing: str = ""  # why there is nothing to show


@require_rights("view_usage")
def page(request: HttpRequest) -> HttpResponse:
    form, days = choose_period(request)
    report = make_report(request, days)
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
            (query_of(last_days(number)), label, days == last_days(number))
            for number, label in RANGES.items()
        ],
        "query": query_of(days),
        "tiles": tiles(report),
        "panels": panels(report),
        "fewest": report.fewest if report.fewest > 1 else 0,
    }
    status = 200 if form.is_valid() else 400
    return TemplateResponse(request, "admin/usage.html", context, status=status)


@require_rights("view_usage")
def download_csv(request: HttpRequest, panel: str) -> HttpResponseBase:
    """All rows of a panel's table, every day and everything that the page adds up as others."""
    form, days = choose_period(request)
    report = make_report(request, days, whole=True)
    table = find_panel(report, panel)
    if table is None or table.missing or not form.is_valid():
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
    name = f"usage-{panel}-{days.since}-{days.until}.csv"
    rows: Iterable[tuple[Any, ...]] = table.rows
    if panel == "conversations":
        rows = ((row.name, *usage_cells(row.figures)) for row in report.all_conversations())
        return _send(_write_lines(table.heads, rows), name)
    return _send(b"".join(_write_lines(table.heads, rows)), name)


def _send(lines: bytes | Iterator[bytes], name: str) -> HttpResponseBase:
    """Send a CSV; lines as they come are put together first, so that no connection waits."""
    headers, media_type = download_headers(name), "text/csv; charset=utf-8"
    if isinstance(lines, bytes):
        return HttpResponse(lines, content_type=media_type, headers=headers)
    file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (its response closes it)
    file.writelines(lines)
    file.seek(0)
    return FileResponse(file, content_type=media_type, headers=headers)


def _write_lines(heads: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
    yield BOM
    yield from (csv_line(tuple(map(write_cell, row))) for row in chain([heads], rows))


def write_cell(value: object) -> str:
    """Write a figure with the digits that it has: no exponent, and nothing as 0."""
    if isinstance(value, Decimal):
        return f"{value:f}" if value else "0"
    return str(value)


def choose_period(request: HttpRequest) -> tuple[PeriodForm, Period]:
    """Read the form; the period is the last 30 days unless it chooses a valid one."""
    usual = last_days(30)
    form = PeriodForm(
        {
            "since": request.GET.get("since", usual.since),
            "until": request.GET.get("until", usual.until),
        },
        auto_id="days-%s",
        label_suffix="",
    )
    return form, form.days if form.is_valid() else usual


def last_days(number: int) -> Period:
    return Period(today() - timedelta(days=number - 1), today())


def query_of(days: Period) -> str:
    return f"?since={days.since}&until={days.until}"


def make_report(request: HttpRequest, days: Period, *, whole: bool = False) -> Report:
    """Make the report with the figures that the reader may see."""
    reader = request.user
    return Report(
        days,
        ReportRights(
            by_person=may(reader, "view_usage_by_user"),
            titles=reads_everything(reader),
            assessments=may(reader, "view_assessments"),
            names=Names(reader),
        ),
        whole=whole,
    )


def today() -> date:
    return datetime.now(UTC).date()


# Tiles and panels ---------------------------------------------------------------------------------


def tiles(report: Report) -> list[tuple[str, str, str]]:
    """Return name, figure, and the change against as many days before."""
    if report.too_few:
        return [("People", _("fewer than %(number)d") % {"number": report.fewest}, "")]
    now, then = report.total, report.total_before
    pairs: list[tuple[str, Callable[[Any], str], float | Decimal, float | Decimal]] = [
        ("Calls", count, now.calls, then.calls),
        ("People", count, report.people, report.people_before),
        ("Tokens", short, now.tokens, then.tokens),
        ("Cost", money, now.cost, then.cost),
        ("Not answered", count, now.failures, then.failures),
    ]
    return [
        (
            name,
            write(value),
            "" if report.too_few_before else describe_change(value, before, write(before)),
        )
        for name, write, value, before in pairs
    ]


def describe_change(value: float | Decimal, before: float | Decimal, written: str) -> str:
    """In percent, up to ten times as much; of more, what it was before, as `written`."""
    if not before:
        return "none before" if value else ""
    if value > MANIFOLD * before:
        return _("%(number)s before") % {"number": written}
    percent = round(100 * (float(value) - float(before)) / float(before))
    if not percent:
        return _("unchanged")
    return f"{'+' if percent > 0 else '−'}{abs(percent):,} %"


def panels(report: Report) -> list[Panel]:
    return [panel for name in PANELS if (panel := find_panel(report, name))]


def find_panel(report: Report, name: str) -> Panel | None:
    """Return the panel, if it has this name and is one for the reader."""
    build = PANELS.get(name)
    panel = build(report) if build else None
    if panel and report.too_few:
        return Panel(name, panel.title, panel.heads, missing=_too_few(report))
    return panel


def people(report: Report) -> Panel:
    if not report.by_person:
        return departments_panel(report, "people")
    return bars("people", "Tokens by person", "Person", report.persons)


def models(report: Report) -> Panel:
    return bars("models", "Tokens by model", "Model", report.models)


def conversations(report: Report) -> Panel:
    head, hidden = "Conversation begun in these days", hidden_titles(report)
    return bars("conversations", "Tokens by conversation", head, report.conversations, hidden)


def departments(report: Report) -> Panel | None:
    return departments_panel(report, "departments") if report.by_person else None


def job_titles(report: Report) -> Panel:
    few = _too_few(report)
    return bars("job-titles", "Tokens by job title", "Job title", report.job_titles, few)


def departments_panel(report: Report, name: str) -> Panel:
    return bars(name, "Tokens by department", "Department", report.departments, _too_few(report))


def _too_few(report: Report) -> str:
    if report.fewest <= 1:
        return ""
    text = _("Fewer than %(number)d people made calls in this period.")
    return text % {"number": report.fewest}


def hidden_titles(report: Report) -> str:
    """Say why conversations are not named here."""
    if report.rights.titles and report.by_person:
        return ""
    return _(
        "Titles are shown only to readers who may see all conversations and the usage by person."
    )


def history(report: Report) -> Panel:
    series, buckets = report.history, report.days.buckets
    columns = zip(*(values for _name, values in series), strict=True)
    rows = [(bucket, *values) for bucket, values in zip(buckets, columns, strict=bool(series))]
    return Panel(
        "history",
        "Calls over time",
        (first_head(report), *(name for name, _values in series)),
        rows,
        says=describe_peak(report, rows),
        picture=lambda: charts.area(buckets, series),
        legend=list(enumerate(name for name, _values in series)),
        missing="" if series else "No calls.",
    )


def first_head(report: Report) -> str:
    return "Day" if report.days.step == 1 else "Seven days from"


def describe_peak(report: Report, rows: list[tuple[Any, ...]]) -> str:
    if not rows:
        return ""
    first, *numbers = max(rows, key=lambda row: sum(row[1:]))
    if report.by_person:
        text = _("Calls of the people with the most calls. The peak was %(peak)s, %(day)s.")
    else:
        text = _("Calls of the departments with the most calls. The peak was %(peak)s, %(day)s.")
    return text % {"peak": count(sum(numbers)), "day": write_day(first)}


def shares(report: Report) -> Panel:
    prompt, completion = report.total.prompt_tokens, report.total.completion_tokens
    rows = [("Prompt", prompt), ("Completion", completion)]
    tokens = prompt + completion
    percent = round(100 * prompt / tokens) if tokens else 0
    text = _("%(prompt)d %% of all tokens were in prompts, %(completion)d %% in completions.")
    return Panel(
        "tokens",
        "Prompt and completion tokens",
        ("Tokens", "Number"),
        rows,
        says=text % {"prompt": percent, "completion": 100 - percent} if tokens else "",
        picture=lambda: charts.ring([prompt, completion]),
        legend=[(n, f"{name} {short(value)}") for n, (name, value) in enumerate(rows)],
        missing="" if report.total.calls else "No calls.",
    )


def cost(report: Report) -> Panel:
    rows = [(day, figures.calls, figures.tokens, figures.cost) for day, figures in report.buckets]
    days = report.days.buckets
    return Panel(
        "cost",
        "Cost over time",
        (first_head(report), "Calls", "Tokens", "Cost in USD"),
        rows,
        says=_("%(cost)s in total.") % {"cost": money(report.total.cost)},
        picture=lambda: charts.columns(days, [float(row[3]) for row in rows], "$"),
        missing="" if report.total.calls else "No calls.",
    )


def assessments(report: Report) -> Panel | None:
    """Return no panel where no conversation was assessed."""
    if not report.people_assessed:
        return None
    panel = worth(
        "assessments", "Assessments by department", "Department", report.assessed_departments
    )
    panel.says = describe_worth(report)
    if not panel.rows and report.fewest_assessed > 1:
        text = _("Conversations of fewer than %(number)d people were assessed in this period.")
        panel.missing = text % {"number": report.fewest_assessed}
    return panel


def assessed_people(report: Report) -> Panel | None:
    rows = report.assessed_persons
    return worth("assessed-people", "Assessments by person", "Person", rows) if rows else None


def describe_worth(report: Report) -> str:
    total, people = report.assessed, report.people_assessed
    if not total:
        return ""
    text = _(
        "%(conversations)s conversations of %(people)s people: %(percent)s %% work-related, "
        "satisfaction %(satisfaction)s of 10, %(time)s saved, and %(assistants)s of assistants, "
        "worth %(worth)s. These are a model’s estimates."
    )
    return text % {
        "conversations": count(total.conversations),
        "people": count(people),
        "percent": f"{total.percent:.0f}",
        "satisfaction": f"{total.mean:.1f}",
        "time": spent(total.seconds),
        "assistants": spent(total.assistant_seconds),
        "worth": money(Decimal(total.worth)),
    }


def worth(name: str, title: str, head: str, rows: list[ReportRow[Assessed]]) -> Panel:
    longest = max((row.figures.conversations for row in rows), default=0)
    heads = (
        "Conversations",
        "Work-related",
        "Satisfaction of 10",
        "Seconds saved",
        "Assistants’ seconds saved",
        "Worth in USD",
    )
    return Panel(
        name,
        title,
        (*first_heads(head, rows), *heads),
        [(*first_cells(row), *worth_cells(row.figures)) for row in rows],
        bars=lambda: [draw_worth(row, longest) for row in rows],
        drawn=("Work-related", "Satisfaction", "Time saved"),
        legend=[(0, "Work-related"), (1, "Other conversations")],
    )


def worth_cells(figures: Assessed) -> tuple[Any, ...]:
    return (
        figures.conversations,
        figures.work_related,
        round(figures.mean, 2),
        round(figures.seconds),
        round(figures.assistant_seconds),
        f"{figures.worth:.2f}",
    )


def draw_worth(row: ReportRow[Assessed], longest: int) -> Bar:
    figures = row.figures
    other = figures.conversations - figures.work_related
    picture = charts.bar([figures.work_related, other], longest)
    cells = (f"{figures.percent:.0f} %", f"{figures.mean:.1f}", spent(figures.seconds))
    return Bar(row, picture, cells)


def bars(
    name: str, title: str, head: str, rows: list[ReportRow[Figures]], missing: str = ""
) -> Panel:
    longest = max((row.figures.tokens for row in rows), default=0)
    heads = ("Calls", "Prompt tokens", "Completion tokens", "Cost in USD")
    return Panel(
        name,
        title,
        (*first_heads(head, rows), *heads),
        [(*first_cells(row), *usage_cells(row.figures)) for row in rows],
        bars=lambda: [draw_usage(row, longest) for row in rows],
        drawn=("Prompt + completion", "Calls", "Cost"),
        legend=[(0, "Prompt"), (1, "Completion")],
        missing="" if rows else missing or "No calls.",
    )


def usage_cells(figures: Figures) -> tuple[Any, ...]:
    return figures.calls, figures.prompt_tokens, figures.completion_tokens, figures.cost


def draw_usage(row: ReportRow[Figures], longest: int) -> Bar:
    figures = row.figures
    picture = charts.bar([figures.prompt_tokens, figures.completion_tokens], longest)
    tokens = f"{short(figures.prompt_tokens)} + {short(figures.completion_tokens)}"
    return Bar(row, picture, (tokens, count(figures.calls), money(figures.cost)))


def first_heads(head: str, rows: Sequence[ReportRow]) -> tuple[str, ...]:
    """Return the heads of `first_cells`: groups count their people, people do not."""
    return (head, "People") if any(row.people is not None for row in rows) else (head,)


def first_cells(row: ReportRow) -> tuple[Any, ...]:
    return (row.name,) if row.people is None else (row.name, row.people)


def write_day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


PANELS: dict[str, Callable[[Report], Panel | None]] = {  # in the order of the page
    "history": history,
    "tokens": shares,
    "cost": cost,
    "people": people,
    "models": models,
    "conversations": conversations,
    "departments": departments,
    "job-titles": job_titles,
    "assessments": assessments,
    "assessed-people": assessed_people,
}
