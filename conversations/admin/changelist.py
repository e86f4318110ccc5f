"""Lists of the record that cost the same at any size.

Pages go by id, newest first; the count has a cap; no payload column is read. A page is asked for by
the id beside it (?before= or ?after=), so rows that arrive meanwhile move nothing: walking to older
pages shows each row once.
"""

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import EmptyResultSet, PermissionDenied, ValidationError
from django.db import connection, transaction
from django.db.models import IntegerField, Q, QuerySet, Subquery
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from ..downloads import download_headers
from ..exports.table import CallTable, CsvStream
from ..models import AuditEvent, SavedFilter
from ..people import audit
from ..people.access import Account, may
from ..refusals import show_again, takes_form
from ..search.calls import CallFilter
from ..search.days import DaysFilter
from . import patience
from .rights import Evidence

Action = AuditEvent.Action
CAP = 10_000  # rows that are counted

# A cursor that is null bounds nothing.
MATCHED = """
    WITH matched (id) AS MATERIALIZED ({rows})
    SELECT count(*), ARRAY(
        SELECT id FROM matched WHERE %s::uuid IS NULL OR id {sign} %s::uuid
        ORDER BY id {order} LIMIT %s
    ) FROM matched"""


class NoSuchPage(Exception):
    """The cursor leads nowhere: show the newest rows."""


class RowCount(Subquery):
    """The number of rows that a query gives."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()
    empty_result_set_value = 0  # type: ignore[assignment]


class KeysetChangeList(ChangeList):
    model_admin: "EvidenceAdmin"

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet:
        """Filter by our own form alone: no lookup can be smuggled in by the query string."""
        self.filter = self.model_admin.filter_form(request.GET, request.user)
        self.filter.before = read_cursor(request, "before")
        self.filter.after = read_cursor(request, "after")
        self.has_filters = self.has_active_filters = False
        self.filter_specs: list = []
        return self.model_admin.get_rows(self.filter)

    def get_results(self, request: HttpRequest) -> None:
        """Read the page that the cursor names. Raises NoSuchPage."""
        before, after = self.filter.before, self.filter.after
        total, rows = self._read(before, after)
        more, rows = len(rows) > self.list_per_page, rows[: self.list_per_page]
        if (after and not more) or (before and not rows):
            raise NoSuchPage
        if after:
            rows.reverse()
        self.filter.load(str(self.opts.model_name), rows)
        self.request, self.query = request, request.GET.urlencode()
        self.result_list = self.model_admin.prepare_rows(rows, self)
        self.result_count = self.full_result_count = total
        self.capped = total > CAP
        self.older = self.query_of_page(before=rows[-1].pk) if rows and (more or after) else ""
        self.newer = self.query_of_page(after=rows[0].pk) if before or after else ""
        self.show_full_result_count = self.can_show_all = False
        self.multi_page = False
        self.paginator = None

    def _read(self, before: UUID | None, after: UUID | None) -> tuple[int, list[Any]]:
        """Count the rows, up to the cap, and read those of the page and one more.

        The ids of the page come first, then its rows: only fifty are read in full.
        """
        beside, order = Q(), "-pk"
        if before:
            beside = Q(pk__lt=before)
        elif after:
            beside = Q(pk__gt=after)
        if after:
            order = "pk"
        page = self.queryset.filter(beside).order_by(order)[: self.list_per_page + 1]
        if self.filter.few:
            counted = RowCount(self.queryset.order_by().values("pk")[: CAP + 1])
            few = list(self.select_columns(page).annotate(total=counted))
            return (few[0].total if few else 0), few
        total, ids = self._match(before or after, order)
        if not total:
            return 0, []
        rows = self.model._default_manager.filter(pk__in=ids if total <= CAP else page.values("pk"))
        return total, list(self.select_columns(rows).order_by(order))

    def select_columns(self, rows: QuerySet) -> QuerySet:
        columns = self.model_admin.select_columns(rows)
        return self.model_admin.with_counts(columns, self.filter.reader)

    def _match(self, cursor_id: UUID | None, order: str) -> tuple[int, list[UUID]]:
        """Count the rows, up to the cap, and pick the ids of the page among the counted ones.

        Rare rows are so found first and then sorted: a planner that hopes to meet them on its way
        through the ids reads all of the table. More rows than the cap are soon met on that way.
        """
        try:
            rows, values = self.queryset.order_by().values("pk")[: CAP + 1].query.sql_with_params()
        except EmptyResultSet:
            return 0, []
        direction, sign = ("ASC", ">") if order == "pk" else ("DESC", "<")
        with connection.cursor() as cursor:
            cursor.execute(
                MATCHED.format(rows=rows, sign=sign, order=direction),
                [*values, cursor_id, cursor_id, self.list_per_page + 1],
            )
            return cursor.fetchone()

    def query_of_page(self, **cursor: UUID) -> str:
        return self.get_query_string({"before": None, "after": None} | cursor)

    def newest(self) -> str:
        """Write the filter alone as a query string."""
        return self.query_of_page()


def read_cursor(request: HttpRequest, name: str) -> UUID | None:
    """Read an id of the query string. Raises NoSuchPage where it is none."""
    try:
        return UUID(request.GET[name]) if name in request.GET else None
    except ValueError:
        raise NoSuchPage from None


class EvidenceAdmin(Evidence, admin.ModelAdmin):
    """A list of evidence with its filter, its pages and its CSV."""

    change_list_template = "admin/conversations/log.html"
    actions = None
    list_per_page = 50
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    filter_form: type[DaysFilter] = CallFilter
    exported = ""  # what the page of exports calls this list
    csv_rows: str | Promise = ""  # what a row of the CSV is, in words
    with_calls = ""  # stands before the filter's words

    def get_rows(self, form: Any) -> QuerySet:
        """Return the rows of the list."""
        raise NotImplementedError

    def select_columns(self, rows: Any) -> QuerySet:
        """Load the columns that the list shows, and no more."""
        raise NotImplementedError

    def with_counts(self, rows: QuerySet, reader: Account) -> QuerySet:
        """Count what this reader decides about many rows by."""
        return rows

    def prepare_rows(self, rows: list[Any], page: KeysetChangeList) -> list[Any]:
        """Tell each row how its people are named to the reader."""
        for row in rows:
            row.names = page.filter.names
        return rows

    def get_calls(self, form: Any) -> QuerySet:
        """Return the rows of the CSV."""
        raise NotImplementedError

    def make_csv(self, request: HttpRequest, form: Any) -> CsvStream:
        return CallTable(self.get_calls(form), form.names)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return may(request.user, "view_content") and may(request.user, "export_content")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("csv/", view(self.csv_view), name=f"{name}_csv"),
            path(
                "saved/",
                view(takes_form(partial(self.url, "changelist"))(self.save_view)),
                name=f"{name}_saved",
            ),
            path("saved/<int:pk>/", view(self.saved_view), name=f"{name}_saved_one"),
            path(
                "saved/<int:pk>/delete/",
                view(require_POST(self.forget_view)),
                name=f"{name}_forget",
            ),
            *super().get_urls(),
        ]

    def url(self, page: str, *args: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}", args=args)

    @property
    def plural(self) -> str:
        return str(self.opts.verbose_name_plural)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "title": self.plural.capitalize(),
            "may_export": self.has_export_permission(request),
            "csv_url": self.url("csv"),
            "exported": self.exported,
            "list_url": self.url("changelist"),
            "saved_url": self.url("saved"),
            "csv_rows": self.csv_rows,
            "with_calls": self.with_calls,
            "cap": CAP,
            "zone": timezone.get_current_timezone_name(),
        }
        try:
            with patience.limit_statements():
                response = super().changelist_view(
                    request, context | self.more_context(request) | (extra_context or {})
                )
        except patience.TookTooLong:
            return self.show_stopped(request)
        except NoSuchPage:
            query = request.GET.copy()
            query.pop("before", None)
            query.pop("after", None)
            return HttpResponseRedirect(f"{request.path}?{query.urlencode()}")
        page = getattr(response, "context_data", {}).get("cl")
        if page:  # its rows are read, and not rendered yet
            event = self.record_reading(request, page.filter, rows=page.result_count)
            signed = self.sign_rows(request, event, page.result_list)
            response.context_data["signed_rows"] = signed  # type: ignore[attr-defined]
        return response

    def sign_rows(self, request: HttpRequest, event: AuditEvent, rows: list[Any]) -> str:
        """Sign what the page shows of its rows, where they can be decided about from it."""
        return ""

    def more_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return what a page shows besides its rows."""
        return {}

    def show_stopped(self, request: HttpRequest) -> HttpResponse:
        form = self.filter_form(request.GET, request.user)
        self.record_reading(request, form, stopped=True)
        return patience.show_stopped(
            request, self.plural.capitalize(), form, self.url("changelist")
        )

    def record_reading(self, request: HttpRequest, form: DaysFilter, **detail: Any) -> AuditEvent:
        return self.record(request, Action.SEARCH if form.terms else Action.LIST, form, **detail)

    def record(
        self, request: HttpRequest, action: str, form: DaysFilter, **detail: Any
    ) -> AuditEvent:
        terms, chosen = form.terms, form.chosen
        return audit.record(request, action, self.model, terms=terms, filter=chosen, **detail)

    def history_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Record the reading: evidence has no history of changes, but the page names the row."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, object_id)
        if row is not None:
            audit.record(request, Action.LIST, row, page="history")
        return super().history_view(request, object_id, extra_context)

    def csv_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """Stream the rows of the filter, on however many pages: all, or those from `before` on.

        A wrong filter, or a search with too many matches, is sent back to the list.
        """
        if not self.has_export_permission(request):
            raise PermissionDenied
        form = self.filter_form(request.GET, request.user)
        try:
            with patience.limit_statements():
                wrong = not form.is_valid() or form.cut_short
        except patience.TookTooLong:
            return self.show_stopped(request)
        if wrong:
            return self.redirect_to_list(request.GET.urlencode())
        try:
            before = read_cursor(request, "before")
        except NoSuchPage:
            return self.redirect_to_list(form.query())
        self.record(request, Action.EXPORT, form, format="csv", before=before)
        address = f"{request.path}?{form.query()}&"
        return self.stream_csv(self.make_csv(request, form).below(before, address))

    def stream_csv(self, table: CsvStream) -> StreamingHttpResponse:
        """Stream a CSV whose reading is on the trail."""
        name = f"{slugify(self.plural)}-{timezone.localtime():%Y-%m-%d-%H%M%S}.csv"
        return StreamingHttpResponse(
            table, content_type="text/csv; charset=utf-8", headers=download_headers(name)
        )

    # Saved filters: each reader's own -------------------------------------------------------------

    def redirect_to_list(self, query: str) -> HttpResponseRedirect:
        return HttpResponseRedirect(f"{self.url('changelist')}?{query}")

    def save_view(self, request: HttpRequest) -> HttpResponseBase:
        """Save the filter of the query string under a name."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        reader: Any = request.user
        form, name = self.filter_form(request.GET, reader), request.POST.get("name", "").strip()
        show = partial(self.changelist_view, request)
        if not form.is_valid():
            problem = _("Correct the filter before you save it.")
            return show_again(request, "saved-filter", problem, show)
        saved = SavedFilter(
            owner=reader, page=str(self.opts.model_name), name=name, query=form.query()
        )
        terms = f"{name}: {form.terms}"
        try:
            with transaction.atomic():
                saved.keep()
                audit.record(request, Action.ADDED, saved, terms=terms, filter=form.chosen)
        except ValidationError as problem:
            return show_again(request, "saved-filter", " ".join(problem.messages), show)
        messages.success(request, _("Saved: %(name)s.") % {"name": name})
        return self.redirect_to_list(request.GET.urlencode())

    def saved_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self.redirect_to_list(self._get_saved(request, pk).query)

    def forget_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        saved = self._get_saved(request, pk)
        with transaction.atomic():
            audit.record(request, Action.DELETED, saved, terms=saved.name)
            saved.delete()
        messages.success(request, f"Deleted: {saved.name}.")
        return self.redirect_to_list("")

    def _get_saved(self, request: HttpRequest, pk: int) -> SavedFilter:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(
            SavedFilter, pk=pk, owner=request.user.pk, page=self.opts.model_name
        )
