"""Lists of conversations and calls: what a search found, and what is done with ticked rows.

Ticked rows are chosen anew by what the reader may read. Every change is a POST.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import cases, review
from ..exports.table import CallTable
from ..ids import parse_uuid
from ..models import AuditEvent, Conversation, Snapshot
from ..people import audit
from ..people.access import may, readable
from ..people.identity import Names
from ..refusals import find_ticked, show_again, takes_form
from ..search.calls import CallFilter
from ..search.hits import Snippet
from ..visible import HIDDEN
from . import hits, queue
from .changelist import Action, EvidenceAdmin, KeysetChangeList

TICKED = SafeString(" checked")
Change = Callable[[HttpRequest, list[Conversation]], Iterator[str]]


# Changes; each says what was done -----------------------------------------------------------------


def enter_queue(request: HttpRequest, conversations: list[Conversation]) -> Iterator[str]:
    entered = review.enter(request, conversations)
    yield _("Put into the queue: %(number)d.") % {"number": entered}
    if skipped := len(conversations) - entered:
        text = _("Skipped: %(number)d, your own or waiting already.")
        yield text % {"number": skipped}


def assign(request: HttpRequest, conversations: list[Conversation]) -> Iterator[str]:
    name, assigned = request.POST.get("to", ""), 0
    problems = Counter[str]()
    for conversation in conversations:
        try:
            with transaction.atomic():  # a change that is refused leaves no row of a call
                queue.assign_to(request, review.keep(conversation), name)
            assigned += 1
        except review.Unfit as problem:
            problems[queue.hide_reason(request, conversation, problem)] += 1
        except review.ReviewRefused as problem:
            problems[str(problem)] += 1
    words = [
        _("Not assigned: %(number)d. %(why)s") % {"number": number, "why": text}
        for text, number in problems.items()
    ]
    if not assigned:
        raise review.ReviewRefused(" ".join(words) or _("Select rows first."))
    yield _("Assigned to %(user)s: %(number)d.") % {"user": name, "number": assigned}
    yield from words


def decide_no_issue(request: HttpRequest, conversations: list[Conversation]) -> Iterator[str]:
    if not may(request.user, "lead"):
        raise PermissionDenied
    reason, shown = request.POST.get("reason", "")[:500], queue.read_list(request)
    count = review.no_issue(request, conversations, shown, reason)
    yield queue.describe_many(count, len(conversations) - count)


def put_into_case(request: HttpRequest, conversations: list[Conversation]) -> Iterator[str]:
    chosen = parse_uuid(request.POST.get("case", ""))
    case = cases.visible_to(request.user).filter(pk=chosen).first() if chosen else None
    if case is None:
        raise review.ReviewRefused(_("Choose a case."))
    linked, problems = 0, Counter[str]()
    for conversation in conversations:
        try:
            with transaction.atomic():  # a link that is refused leaves no row of a call
                cases.link(request, case, review.keep(conversation))
            linked += 1
        except cases.CaseRefused as problem:
            problems[str(problem)] += 1
    yield _("Put into the case “%(case)s”: %(number)d.") % {"case": case.name, "number": linked}
    for text, number in problems.items():
        yield _("Left out: %(number)d. %(why)s") % {"number": number, "why": text}


CHANGES: Mapping[str, Change] = {"queue": enter_queue, "assign": assign, "case": put_into_case}


# The lists ----------------------------------------------------------------------------------------


class RowsAdmin(EvidenceAdmin):
    """A list of conversations, or of calls."""

    changes: Mapping[str, Change] = CHANGES  # by the values of buttons

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return readable(request.user, super().get_queryset(request))

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Load a row with all that its own page shows, which is more than a list of rows builds."""
        pk = parse_uuid(object_id)
        rows = self.select_page(request, self.get_queryset(request))
        return rows.filter(pk=pk).first() if pk else None

    def select_page(self, request: HttpRequest, rows: Any) -> QuerySet:
        """Load what the page of one row shows."""
        raise NotImplementedError

    def find_url(self, row: Any, query: str, snippet: Snippet | None = None) -> str:
        """Return the address of a row's transcript, or of what was found there."""
        raise NotImplementedError

    def describe_row(self, row: Any) -> str:
        """Name a row among the others."""
        raise NotImplementedError

    def find_conversations(self, rows: Any) -> list[Conversation]:
        """Return the conversations of these rows, and rows of calls that are reviewed alone."""
        raise NotImplementedError

    def count_left_out(self, rows: Any) -> int:
        """Count the rows that are not reviewed."""
        return 0

    def find_calls(self, rows: Any) -> QuerySet[Snapshot]:
        """Return the calls of these rows."""
        raise NotImplementedError

    def prepare_rows(self, rows: list[Any], page: KeysetChangeList) -> list[Any]:
        form = cast(CallFilter, page.filter)
        form.names.load(rows)
        ticked = find_ticked(page.request, "gw-ticked", "row")
        for row in super().prepare_rows(rows, page):
            row.ticked = str(row.pk) in ticked
            row.url = self.find_url(row, page.query)
            row.snippet = form.find_snippet(row)
            if row.snippet:
                found = self.find_url(row, page.query, row.snippet)
                row.snippet_url = f"{found}#{hits.HERE}"
        return rows

    def record_reading(self, request: HttpRequest, form: Any, **detail: Any) -> AuditEvent:
        """Name the calls whose words are quoted."""
        if quoted := [each.call for each in form.snippets.values() if each.runs]:
            detail["quoted"] = quoted
        return super().record_reading(request, form, **detail)

    # Ticked rows ----------------------------------------------------------------------------------

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        may_act = may(request.user, "decide") or self.has_export_permission(request)
        columns = cast(tuple[str, ...], self.list_display)
        return ("tick", *columns) if may_act else columns

    @admin.display(description=gettext_lazy("select"))
    def tick(self, row: Any) -> SafeString:
        name = HIDDEN.sub("", self.describe_row(row))
        return format_html(
            '<input type="checkbox" name="row" value="{}" form="gw-ticked" aria-label="{}"{}>',
            row.pk,
            _("Select %(row)s") % {"row": name},
            TICKED if row.ticked else "",
        )

    def more_context(self, request: HttpRequest) -> dict[str, Any]:
        return {
            "may_decide": may(request.user, "decide"),
            "leads": may(request.user, "lead") and may(request.user, "decide"),
            "changes": self.changes,
            "rows_url": self.url("rows"),
        }

    def get_urls(self) -> list[URLPattern]:
        view = takes_form(partial(self.url, "changelist"))(self.rows_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_rows"
        return [path("rows/", self.admin_site.admin_view(view), name=name), *super().get_urls()]

    def rows_view(self, request: HttpRequest) -> HttpResponseBase:
        """Do with the ticked rows what the button says, and come back to the list."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        ticked = map(parse_uuid, request.POST.getlist("row")[: review.BULK + 1])
        ids = [each for each in ticked if each]
        rows = readable(request.user, self.model._default_manager.filter(id__in=ids))
        act = request.POST.get("act", "")
        try:
            if not ids:
                raise review.ReviewRefused(_("Select rows first."))
            if act == "csv":
                return self.send_csv(request, rows)
            if act not in self.changes:
                raise Http404
            if not may(request.user, "decide"):
                raise PermissionDenied
            self.change_rows(request, act, rows)
        except review.ReviewRefused as problem:
            show = partial(self.changelist_view, request)
            return show_again(request, "gw-ticked", problem, show)
        return self.redirect_to_list(request.GET.urlencode())

    def send_csv(self, request: HttpRequest, rows: QuerySet) -> HttpResponseBase:
        if not self.has_export_permission(request):
            raise PermissionDenied
        ids = list(rows.values_list("id", flat=True))
        audit.record(request, Action.EXPORT, self.model, format="csv", rows=ids)
        calls = readable(request.user, self.find_calls(rows))
        table = CallTable(calls, Names(request.user))
        return self.stream_csv(table.below(None, f"{self.url('csv')}?since=&"))

    def change_rows(self, request: HttpRequest, act: str, rows: QuerySet) -> None:
        """Raises ReviewRefused where nothing is changed."""
        conversations = self.find_conversations(rows)
        for text in self.changes[act](request, conversations):
            messages.success(request, text)
        if left_out := self.count_left_out(rows):
            text = _("Left out: %(number)d, calls that are not complete, or the gateway’s own.")
            messages.warning(request, text % {"number": left_out})


def show_snippet(row: Any) -> SafeString | str:
    """Show what was found in a row, with a link to the message that holds it."""
    if row.snippet is None:
        return ""
    context = {"runs": row.snippet.runs, "url": row.snippet_url}
    return render_to_string("admin/conversations/_snippet.html", context)
