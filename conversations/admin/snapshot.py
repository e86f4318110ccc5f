"""Calls as they were made, failures and refusals too: a list, and all that is known of each."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
from django.contrib import admin, messages
from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import exact_json, review
from ..downloads import download_headers
from ..figures import count, dollars
from ..models import Attachment, AuditEvent, Conversation, Seal, Snapshot
from ..models.snapshot import SnapshotQuerySet
from ..people import audit
from ..people.access import may
from ..people.identity import Names
from ..people.persons import fit_column
from ..reading import attachment_response
from ..record import growth, rebuild
from ..record.rebuild import Rebuilder
from ..search.calls import CallFilter
from ..search.hits import Snippet
from ..templatetags.review import moment, visible
from . import hits, queue
from .call_fields import GROUPS, show_duration, show_field, show_status
from .rows import RowsAdmin, show_snippet

Action = AuditEvent.Action
SHOWN = 200_000  # characters of JSON on a page; the download has all
COLUMNS = (
    "opened",
    "closed",
    "kind",
    "model",
    "upstream",
    "status",
    "prompt_tokens",
    "completion_tokens",
    "estimated",
    "cost",
    "error_code",
    "end_user",
    "owner__username",
    "conversation__title",
)


@admin.register(Snapshot)
class SnapshotAdmin(RowsAdmin):
    list_display = (
        "time",
        "who",
        "kind",
        "model_name",
        "ended",
        "tokens",
        "price",
        "took",
        "part_of",
    )
    list_display_links = ("time",)
    exported = "calls"
    csv_rows = gettext_lazy("one row per call")

    def get_rows(self, form: CallFilter) -> QuerySet[Snapshot]:
        return form.calls()

    get_calls = get_rows

    def find_url(self, row: Snapshot, query: str, snippet: Snippet | None = None) -> str:
        if row.conversation_id is None:
            return reverse("admin:conversations_snapshot_change", args=[row.pk])
        place = hits.find_place(snippet) or {"call": row.pk}
        return hits.transcript_url(row.conversation_id, query, **place)

    def describe_row(self, row: Snapshot) -> str:
        return f"{timezone.localtime(row.opened):%Y-%m-%d %H:%M:%S}"

    def find_conversations(self, rows: SnapshotQuerySet) -> list[Conversation]:
        alone = rows.reviewed_alone().select_related("owner")
        found = {call.pk: review.row_of(call) for call in alone}
        kept = Q(id__in=rows.values("conversation")) | Q(id__in=list(found))
        conversations = Conversation.objects.filter(kept).select_related("owner")
        return [*(found | conversations.in_bulk()).values()]

    def count_left_out(self, rows: SnapshotQuerySet) -> int:
        return rows.filter(conversation=None).count() - rows.reviewed_alone().count()

    def find_calls(self, rows: QuerySet[Snapshot]) -> QuerySet[Snapshot]:
        return rows

    def select_columns(self, rows: QuerySet[Snapshot]) -> QuerySet[Snapshot]:
        return (
            rows.select_related("owner", "conversation").only(*COLUMNS).annotate(fit=fit_column())
        )

    @admin.display(description="time")
    def time(self, call: Snapshot) -> SafeString | str:
        return moment(call.opened)

    @admin.display(description=gettext_lazy("user"))
    def who(self, call: Snapshot) -> SafeString:
        names: Names = call.names  # type: ignore[attr-defined]
        return format_html(
            '{}<span class="gw-line gw-quiet">{}</span>',
            visible(names.person(call)),
            visible(names.claim(call)),
        )

    @admin.display(description=gettext_lazy("model and upstream"))
    def model_name(self, call: Snapshot) -> SafeString:
        return format_html(
            '{}<span class="gw-line gw-quiet">{}</span>',
            visible(call.model or "–"),
            visible(call.upstream),
        )

    @admin.display(description="status")
    def ended(self, call: Snapshot) -> SafeString:
        status = show_status(call)
        if not call.error_code:
            return status
        code = visible(call.error_code)
        return format_html('{}<span class="gw-code-of-error">{}</span>', status, code)

    @admin.display(description="tokens")
    def tokens(self, call: Snapshot) -> str:
        return ("≈ " if call.estimated else "") + count(call.total_tokens)

    @admin.display(description="cost")
    def price(self, call: Snapshot) -> str:
        return dollars(call.cost)

    @admin.display(description="duration")
    def took(self, call: Snapshot) -> str:
        return show_duration(call)

    @admin.display(description="conversation")
    def part_of(self, call: Snapshot) -> SafeString | str:
        if call.conversation is None:
            return show_snippet(call) or "–"
        title = visible(call.conversation.title or "Untitled")
        url: str = call.url  # type: ignore[attr-defined]
        return format_html('<a href="{}">{}</a>{}', url, title, show_snippet(call))

    # One call -------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        name = "conversations_snapshot"
        return [
            path("<uuid:pk>/request.json", view(self.request_view), name=f"{name}_request"),
            path("<uuid:pk>/response.json", view(self.response_view), name=f"{name}_response"),
            path("<uuid:pk>/a/<int:file>", view(self.file_view), name=f"{name}_file"),
            *super().get_urls(),
        ]

    def show_row(self, request: HttpRequest, call: Snapshot) -> HttpResponse:
        names = names_for(request, call)
        rows = Rebuilder([call], names)
        response = rows.response(call)
        payloads = [
            ("Request", indent(rows.request(call)), "request"),
            ("Reply", indent(response) if response else "", "response"),
        ]
        is_whole = all(len(text) <= SHOWN for _name, text, _file in payloads)
        shown: dict[str, Any] = {"whole": is_whole}
        row = queue.find_row(request, call) if call.is_reviewed_alone else None
        if row:
            shown |= {"calls": 1, "decision": queue.find_latest(row)}
        event = audit.record(request, Action.CALL, call, **shown)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Call",
            "call": call,
            "names": names,
            "groups": self.show_groups(call, names),
            "seal": Seal.objects.filter(subject=call.id).first(),
            "tries": orjson.loads(call.attempts or "[]"),
            "status": show_status(call),
            "took": show_duration(call),
            "payloads": payloads,
            "shown": SHOWN,
            "partial": "",
            "files": Attachment.objects.filter(
                conversation=call.conversation_id,
                sha256__in=[bytes.fromhex(digest) for digest in rows.files(call)],
            ),
            "may_export": may(request.user, "export_content"),
            "preserved_filters": self.get_preserved_filters(request),
        }
        if row:
            panel = queue.describe_call_panel(request, row, call, event)
            context |= {"conversation": row, "review": panel, "assessments": None}
        if call.status == Snapshot.Status.PENDING:
            context["partial"] = growth.read_growth(call.id)
        return TemplateResponse(request, "admin/conversations/call.html", context)

    def show_groups(
        self, call: Snapshot, names: Names
    ) -> dict[str | Promise, list[tuple[Any, ...]]]:
        """Show each group's fields: label, help and value."""
        fields = {field.name: field for field in self.opts.concrete_fields}
        return {
            title: [
                (
                    fields[name].verbose_name,
                    fields[name].help_text,
                    show_field(call, name, names),
                )
                for name in group
            ]
            for title, group in GROUPS.items()
        }

    def request_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self._download(request, pk, "request", rebuild.rebuild_request)

    def response_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self._download(request, pk, "response", rebuild.rebuild_response)

    def _download(
        self, request: HttpRequest, pk: UUID, name: str, rebuild_body: Callable[[Snapshot], Any]
    ) -> HttpResponse:
        """Send the JSON with its files put back: as it was sent, or as it came."""
        call = self._get_call(request, pk)
        if not may(request.user, "export_content"):
            raise PermissionDenied
        try:
            value = rebuild_body(call)
        except FileNotFoundError:
            problem = _("The %(name)s cannot be rebuilt: one of its files is missing from storage.")
            messages.error(request, problem % {"name": name})
            return HttpResponseRedirect(reverse("admin:conversations_snapshot_change", args=[pk]))
        if value is None:
            raise Http404
        audit.record(request, Action.EXPORT, call, format=f"{name}.json")
        headers = download_headers(f"{name}-{pk}.json")
        if name == "request":
            value = names_for(request, call).request(value)
        return HttpResponse(
            exact_json.dumps(value), content_type="application/json", headers=headers
        )

    def file_view(self, request: HttpRequest, pk: UUID, file: int) -> FileResponse:
        """Send a file of a call outside conversations: only one that this call names."""
        call = self._get_call(request, pk)
        if call.conversation_id is not None:
            raise Http404
        attachment = Attachment.objects.filter(conversation=None, id=file).first()
        if attachment is None or bytes(attachment.sha256).hex() not in Rebuilder([call]).files(
            call
        ):
            raise Http404
        audit.record(request, Action.ATTACHMENT, attachment, call=call.id)
        return attachment_response.file_response(attachment)

    def _get_call(self, request: HttpRequest, pk: UUID) -> Snapshot:
        if not self.has_view_permission(request):
            raise PermissionDenied
        call = self.get_object(request, str(pk))
        if call is None:
            raise Http404
        return call

    def select_page(self, request: HttpRequest, rows: QuerySet[Snapshot]) -> QuerySet[Snapshot]:
        rows = rows.select_related("owner", "conversation", "about", "retry_of")
        if may(request.user, "decide"):
            who = queue.reviewers().values_list(queue.REVIEWER)
            rows = rows.annotate(reviewers=ArraySubquery(who))
        return rows


def names_for(request: HttpRequest, call: Snapshot) -> Names:
    return Names(request.user, about=call.conversation_id or call.pk)


def indent(text: str) -> str:
    return exact_json.dumps(exact_json.loads(text), option=orjson.OPT_INDENT_2).decode()
