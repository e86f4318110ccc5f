"""Lists of the record that cost the same at any size: pages by id, newest first; a count with a cap; no payload column.

A page is asked for by the id beside it (?before= or ?after=), so what arrives meanwhile moves nothing: walking to
older pages shows each row once.
"""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import EmptyResultSet, PermissionDenied, ValidationError
from django.db import connection, transaction
from django.db.models import IntegerField, Q, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_POST

from ..exports.table import CallTable, Stream
from ..models import AuditEvent, SavedFilter
from ..people import audit
from ..people.access import may
from ..people.identity import Names
from ..search import index
from ..search.choices import DaysForm
from ..search.filters import CallFilter
from . import patience
from .rights import Evidence

Action = AuditEvent.Action
CAP = 10_000  # rows that are counted


# A cursor that is null bounds nothing.
MATCHED = """
    WITH matched (id) AS MATERIALIZED ({rows})
    SELECT count(*), ARRAY(SELECT id FROM matched WHERE %s::uuid IS NULL OR id {sign} %s::uuid ORDER BY id {order} LIMIT %s) FROM matched"""


class FirstPage(Exception):
    """The cursor leads nowhere: show the newest rows."""


class Count(Subquery):
    """How many rows a query gives."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


class Keyset(ChangeList):
    model_admin: "Log"

    def get_queryset(self, request: HttpRequest, exclude_parameters=None):
        """By our own form alone: no lookup can be smuggled in through the query string."""
        self.filter = self.model_admin.filter_form(request.GET, request.user)
        self.has_filters = self.has_active_filters = False
        self.filter_specs: list = []
        self.filter.load(str(self.opts.model_name))
        return self.model_admin.filtered(self.filter)

    def get_results(self, request: HttpRequest) -> None:
        """The ids of the page first, then its rows: only fifty are read whole."""
        before, after = cursor(request, "before"), cursor(request, "after")
        size, order = self.list_per_page, "pk" if after else "-pk"
        beside = Q(pk__lt=before) if before else Q(pk__gt=after) if after else Q()
        page = self.queryset.filter(beside).order_by(order)[: size + 1]
        if self.filter.few:
            found = list(
                self.model_admin.columns(page).annotate(
                    total=Count(self.queryset.order_by().values("pk")[: CAP + 1])
                )
            )
            total = found[0].total if found else 0
        else:
            total, ids = self.matched(beside, order)
            rows = self.model._default_manager.filter(
                pk__in=ids if total <= CAP else page.values("pk")
            )
            found = list(self.model_admin.columns(rows).order_by(order)) if total else []
        more, found = len(found) > size, found[:size]
        if (after and not more) or (before and not found):
            raise FirstPage
        if after:
            found.reverse()
        self.result_list = self.model_admin.named(found, self.filter.names)
        self.result_count = self.full_result_count = total
        self.capped = self.result_count > CAP
        self.older = self.page(before=found[-1].pk) if found and (more or after) else ""
        self.newer = self.page(after=found[0].pk) if before or after else ""
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.paginator = None

    def matched(self, beside: Q, order: str) -> tuple[int, list[UUID]]:
        """How many rows there are, up to the cap, and of those the ids of the page. What is rare is so found first and then sorted: a planner that
        hopes to meet the rows on its way through the ids reads all of the table. What is more than the cap is soon met on that way."""
        try:
            rows, values = self.queryset.order_by().values("pk")[: CAP + 1].query.sql_with_params()
        except EmptyResultSet:
            return 0, []
        [id] = [value for _, value in beside.children] or [None]  # type: ignore[misc]
        first, sign = ("ASC", ">") if order == "pk" else ("DESC", "<")
        with connection.cursor() as cursor:
            cursor.execute(
                MATCHED.format(rows=rows, sign=sign, order=first),
                [*values, id, id, self.list_per_page + 1],
            )
            return cursor.fetchone()

    def page(self, **cursor: UUID) -> str:
        return self.get_query_string({"before": None, "after": None} | cursor)

    def newest(self) -> str:
        """The filter alone, as a query string."""
        return self.page()


def cursor(request: HttpRequest, name: str) -> UUID | None:
    try:
        return UUID(request.GET[name]) if name in request.GET else None
    except ValueError:
        raise FirstPage from None


class Log(Evidence, admin.ModelAdmin):
    """A list of evidence with its filter, its pages and its CSV."""

    change_list_template = "admin/conversations/log.html"
    actions = None
    list_per_page = 50
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    filter_form: type[DaysForm] = CallFilter
    exported = ""  # what the page of exports calls this list
    rows_of_csv = with_calls = ""  # said beside the link and before the filter's words

    def filtered(self, chosen: Any):
        """The rows of the list."""
        raise NotImplementedError

    def columns(self, rows):
        """The same with what the list shows at hand, and nothing more."""
        raise NotImplementedError

    def named(self, rows: list[Any], names: Names) -> list[Any]:
        """The same, each knowing how the list's reader is told who it is about."""
        for row in rows:
            row.names = names
        return rows

    def calls(self, chosen: Any):
        """The rows of the CSV."""
        raise NotImplementedError

    def download(self, request: HttpRequest, chosen: Any) -> Stream:
        return CallTable(self.calls(chosen), chosen.names)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return may(request.user, "view_content") and may(request.user, "export_content")

    def get_changelist(self, request: HttpRequest, **kwargs) -> type[ChangeList]:
        return Keyset

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("csv/", view(self.csv_view), name=f"{name}_csv"),
            path("saved/", view(require_POST(self.save_view)), name=f"{name}_saved"),
            path("saved/<int:id>/", view(self.saved_view), name=f"{name}_saved_one"),
            path(
                "saved/<int:id>/delete/",
                view(require_POST(self.forget_view)),
                name=f"{name}_forget",
            ),
            *super().get_urls(),
        ]

    def url(self, what: str, *args: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{what}", args=args)

    def changelist_view(self, request: HttpRequest, extra_context=None) -> HttpResponse:
        context = {
            "title": str(self.opts.verbose_name_plural).capitalize(),
            "may_export": self.has_export_permission(request),
            "csv_url": self.url("csv"),
            "exported": self.exported,
            "saved_url": self.url("saved"),
            "rows_of_csv": self.rows_of_csv,
            "with_calls": self.with_calls,
            "cap": CAP,
            "matches": index.CAP,
            "zone": timezone.get_current_timezone_name(),
        }
        try:
            with patience.patience():
                response = super().changelist_view(
                    request, context | self.around(request) | (extra_context or {})
                )
        except patience.TookTooLong:
            return self.stopped(request)
        except FirstPage:
            query = request.GET.copy()
            query.pop("before", None)
            query.pop("after", None)
            return HttpResponseRedirect(f"{request.path}?{query.urlencode()}")
        if rows := getattr(response, "context_data", {}).get("cl"):  # found, and not rendered yet
            self.note(
                request,
                Action.SEARCH if rows.filter.terms else Action.LIST,
                rows.filter,
                rows=rows.result_count,
            )
        return response

    def around(self, request: HttpRequest) -> dict[str, Any]:
        """What a page shows besides its rows."""
        return {}

    def stopped(self, request: HttpRequest) -> HttpResponse:
        chosen = self.filter_form(request.GET, request.user)
        self.note(request, Action.SEARCH if chosen.terms else Action.LIST, chosen, stopped=True)
        return patience.stopped(
            request, str(self.opts.verbose_name_plural).capitalize(), chosen, self.url("changelist")
        )

    def note(self, request: HttpRequest, action: str, chosen: DaysForm, **detail: Any) -> None:
        audit.record(
            request, action, self.model, terms=chosen.terms, filter=chosen.chosen, **detail
        )

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context=None
    ) -> HttpResponse:
        """Evidence has no history of changes, but the page names it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, object_id)
        if row is not None:
            audit.record(request, Action.LIST, row, page="history")
        return super().history_view(request, object_id, extra_context)

    def csv_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """All rows of the filter, on however many pages. A filter that is wrong, or a search that found too much, is sent back to the list."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        chosen = self.filter_form(request.GET, request.user)
        try:
            with patience.patience():
                wrong = not chosen.is_valid() or chosen.cut_short
        except patience.TookTooLong:
            return self.stopped(request)
        if wrong:
            return self.back(request.GET.urlencode())
        self.note(request, Action.EXPORT, chosen, format="csv")
        response = StreamingHttpResponse(
            self.download(request, chosen), content_type="text/csv; charset=utf-8"
        )
        response["Content-Disposition"] = (
            f'attachment; filename="{slugify(str(self.opts.verbose_name_plural))}-{timezone.localtime():%Y-%m-%d-%H%M%S}.csv"'
        )
        response["X-Content-Type-Options"] = "nosniff"
        return response

    # Saved filters: each reader's own -------------------------------------------------------------------------------

    def back(self, query: str) -> HttpResponseRedirect:
        return HttpResponseRedirect(f"{self.url('changelist')}?{query}")

    def save_view(self, request: HttpRequest) -> HttpResponse:
        """What the address says of the form's fields, under a name."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        reader: Any = request.user
        chosen, name = self.filter_form(request.GET, reader), request.POST.get("name", "").strip()
        if not chosen.is_valid():
            messages.error(request, "Correct the filter, then save it.")
            return self.back(request.GET.urlencode())
        saved = SavedFilter(
            owner=reader, page=str(self.opts.model_name), name=name, query=chosen.query()
        )
        try:
            with transaction.atomic():
                saved.keep()
                audit.record(
                    request,
                    Action.ADDED,
                    saved,
                    terms=f"{name}: {chosen.terms}",
                    filter=chosen.chosen,
                )
        except ValidationError as problem:
            messages.error(request, " ".join(problem.messages))
        else:
            messages.success(request, f"Saved: {name}.")
        return self.back(request.GET.urlencode())

    def saved_view(self, request: HttpRequest, id: int) -> HttpResponse:
        return self.back(self._saved(request, id).query)

    def forget_view(self, request: HttpRequest, id: int) -> HttpResponse:
        saved = self._saved(request, id)
        with transaction.atomic():
            audit.record(request, Action.DELETED, saved, terms=saved.name)
            saved.delete()
        messages.success(request, f"Deleted: {saved.name}.")
        return self.back("")

    def _saved(self, request: HttpRequest, id: int) -> SavedFilter:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(
            SavedFilter, pk=id, owner=request.user.pk, page=self.opts.model_name
        )
