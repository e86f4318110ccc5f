"""GET /api/usage: what was spent, from the same roll-ups as the report.

Callers see their own figures; those of the company need the right to see the report.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from conversations.models import AuditEvent, User
from conversations.people import audit
from conversations.people.access import may, reads_everything
from conversations.people.identity import Names
from conversations.report.figures import Assessed, Figures, Period, Report, ReportRights, ReportRow
from conversations.shape import Json

from .. import faults
from ..models import ApiKey
from .authentication import get_caller
from .conversations import OwnView
from .params import read_date, refuse_unknown
from .scoped import record_reading


class UsageView(OwnView):
    """The figures of a period: `since` and `until` are days of UTC, by default the last 30.

    `of=everyone` asks for the whole company's.
    """

    scopes = {"get": (ApiKey.Scope.USAGE,)}

    def get(self, request: Request) -> Response:
        refuse_unknown(request, "since", "until", "of")
        caller, of_whom = get_caller(request), request.query_params.get("of", "me")
        if of_whom not in ("me", "everyone"):
            raise faults.invalid_request("of", "`of` must be me or everyone.")
        period = read_period(request.query_params)
        titles = ApiKey.Scope.HISTORY in caller.scopes  # they are content: the first words
        if titles and caller.made_elsewhere:
            record_reading(request)
        if of_whom == "me":
            rights = ReportRights(titles=titles)
            return Response(report_to_json(Report(period, rights, owner=caller.owner)))
        user = User.objects.get(id=caller.owner)
        if not may(user, "view_usage"):
            raise faults.not_permitted(
                "Everyone's usage is shown to those who may see the usage report."
            )
        by_person = may(user, "view_usage_by_user")
        report = Report(
            period,
            ReportRights(
                by_person=by_person,
                titles=titles and reads_everything(user),
                assessments=may(user, "view_assessments"),
                names=Names(user),
            ),
        )
        http = request._request
        http.user = user
        audit.record(
            http,
            AuditEvent.Action.LIST,
            of="usage report",
            via="API",
            key=caller.key,
            since=period.since,
            until=period.until,
            by_person=by_person,
        )
        return Response(report_to_json(report))


def read_period(query: Mapping[str, str]) -> Period:
    """Read the days, both included. Raises Fault."""
    until = datetime.now(UTC).date()
    if "until" in query:
        until = read_date(query["until"], "until").date()
    try:
        if "since" in query:
            return Period(read_date(query["since"], "since").date(), until)
        return Period(until - timedelta(days=29), until)
    except (ValueError, OverflowError) as problem:
        raise faults.invalid_request("since", str(problem)) from None


def report_to_json(report: Report) -> Json:
    """Write the report as JSON: lists by tokens, with one row for what is past their end.

    A total of so few people that the reader could know them by it is null.
    """
    total: Json | None = figures_to_json(report.total) | {"people": report.people}
    before: Json | None = figures_to_json(report.total_before) | {"people": report.people_before}
    if report.too_few:
        total = None
    if report.too_few_before:
        before = None
    steps = [] if report.too_few else report.buckets
    history = [] if report.too_few else report.history
    lists = {
        "people": report.persons,
        "models": [] if report.too_few else report.models,
        "departments": report.departments,
        "job_titles": report.job_titles,
    }
    return {
        "since": report.days.since,
        "until": report.days.until,
        "days_in_a_step": report.days.step,
        "total": total,
        "before": before,
        "steps": [{"from": bucket} | figures_to_json(spent) for bucket, spent in steps],
        "history": [{"name": name, "calls": calls} for name, calls in history],
        "conversations": [row_to_json(row) for row in report.conversations],
        "assessments": assessments_to_json(report),
    } | {name: [row_to_json(row) for row in rows] for name, rows in lists.items()}


def assessments_to_json(report: Report) -> Json | None:
    if report.assessed is None:
        return None
    lists = {"people": report.assessed_persons, "departments": report.assessed_departments}
    return {"total": assessed_to_json(report.assessed) | {"people": report.people_assessed}} | {
        name: [
            {"name": row.name} | assessed_to_json(row.figures) | people_to_json(row) for row in rows
        ]
        for name, rows in lists.items()
    }


def assessed_to_json(assessed: Assessed) -> Json:
    return {
        "conversations": assessed.conversations,
        "work_related": assessed.work_related,
        "satisfaction_of_10": round(assessed.mean, 2),
        "seconds_saved": round(assessed.seconds),
        "assistant_seconds_saved": round(assessed.assistant_seconds),
        "worth_usd": round(assessed.worth, 2),
    }


def row_to_json(row: ReportRow[Figures]) -> Json:
    return {"name": row.name} | figures_to_json(row.figures) | people_to_json(row)


def people_to_json(row: ReportRow[Any]) -> Json:
    return {} if row.people is None else {"people": row.people}


def figures_to_json(spent: Figures) -> Json:
    return {
        "calls": spent.calls,
        "failures": spent.failures,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "cost_usd": float(spent.cost),
    }
