"""GET /api/usage: what was spent, from the same roll-ups as the report. One's own for everyone; everyone's with the right to see it."""

from datetime import UTC, datetime, timedelta

from rest_framework.response import Response

from conversations.models import AuditEvent, User
from conversations.people import audit
from conversations.people.access import may, reads_everything
from conversations.people.identity import Names
from conversations.report.figures import Assessed, Figures, Period, Report, ReportRow
from conversations.shape import Json

from .. import faults
from ..models import ApiKey
from .conversations import Own
from .openai import invalid
from .params import date_of, given_only


class Usage(Own):
    """`since` and `until` are days of UTC, the last 30 unless given; `of=everyone` asks for the whole company's."""

    http_method_names = ["get"]

    def get(self, request) -> Response:
        given_only(request, "since", "until", "of")
        caller, of = request.user, request.query_params.get("of", "me")
        if ApiKey.Scope.USAGE not in caller.scopes:
            raise faults.scope_missing("This key may not ask for usage figures.")
        if of not in ("me", "everyone"):
            raise invalid("of", "`of` must be me or everyone.")
        days = days_of(request.query_params)
        if of == "me":
            return Response(as_json(Report(days, owner=caller.owner)))
        user = User.objects.get(id=caller.owner)
        if not may(user, "view_usage"):
            raise faults.not_permitted(
                "Everyone's usage is shown to those who may see the usage report."
            )
        by_person = may(user, "view_usage_by_user")
        report = Report(
            days,
            by_person=by_person,
            titles=reads_everything(user),
            assessments=may(user, "view_assessments"),
            names=Names(user),
        )
        audit.record(
            user,
            AuditEvent.Action.LIST,
            of="usage report",
            via="API",
            since=days.since,
            until=days.until,
            by_person=by_person,
        )
        return Response(as_json(report))


def days_of(query) -> Period:
    until = (
        date_of(query["until"], "until").date() if "until" in query else datetime.now(UTC).date()
    )
    try:
        return Period(
            date_of(query["since"], "since").date()
            if "since" in query
            else until - timedelta(days=29),
            until,
        )
    except (ValueError, OverflowError) as problem:
        raise invalid("since", str(problem)) from None


def as_json(report: Report) -> Json:
    """Lists are the report's: by tokens, what is past their end in one row."""
    lists = {
        "people": report.persons,
        "models": report.models,
        "departments": report.departments,
        "job_titles": report.job_titles,
    }
    return {
        "since": report.days.since,
        "until": report.days.until,
        "days_in_a_step": report.days.step,
        "total": figures(report.total) | {"people": report.people},
        "before": figures(report.total_before) | {"people": report.people_before},
        "steps": [{"from": bucket} | figures(spent) for bucket, spent in report.buckets],
        "history": [{"name": name, "calls": calls} for name, calls in report.history],
        "conversations": [named(row) for row in report.conversations],
        "assessments": report.assessed
        and {"total": worth(report.assessed) | {"people": report.people_assessed}}
        | assessed_by(report),
    } | {name: [named(row) for row in rows] for name, rows in lists.items()}


def assessed_by(report: Report) -> Json:
    lists = {"people": report.assessed_persons, "departments": report.assessed_departments}
    return {
        name: [{"name": row.name} | worth(row.figures) | people(row) for row in rows]
        for name, rows in lists.items()
    }


def worth(assessed: Assessed) -> Json:
    return {
        "conversations": assessed.conversations,
        "work_related": assessed.work_related,
        "satisfaction_of_10": round(assessed.mean, 2),
        "seconds_saved": round(assessed.seconds),
        "assistant_seconds_saved": round(assessed.assistant_seconds),
        "worth_usd": round(assessed.worth, 2),
    }


def named(row: ReportRow) -> Json:
    return {"name": row.name} | figures(row.figures) | people(row)


def people(row: ReportRow) -> Json:
    return {} if row.people is None else {"people": row.people}


def figures(spent: Figures) -> Json:
    return {
        "calls": spent.calls,
        "failures": spent.failures,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "cost_usd": float(spent.cost),
    }
