"""The calls, as they were made, failures and refusals too: a list, and each with all that is known of it."""

import orjson
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..figures import count, dollars, lasting
from ..models import Attachment, AuditEvent, Seal, Snapshot
from ..people import audit
from ..people.access import may, readable
from ..people.identity import Names
from ..reading import attachment_response
from ..record import growth, rebuild
from ..record.rebuild import Messages
from ..search.filters import CallFilter
from ..templatetags.review import moment, visible
from .changelist import Log

Action = AuditEvent.Action
SHOWN = 200_000  # characters of JSON on a page; the download has all
GROUPS = {
    "Who": ("owner", "end_user", "key", "address", "user_agent"),
    "What": ("kind", "use_case", "model", "served_model", "upstream", "finish_reason"),
    "How it ended": ("status", "error_code", "error", "stop", "retry_of"),
    "When": ("opened", "first_byte", "closed"),
    "Tokens and cost": ("prompt_tokens", "completion_tokens", "estimated", "cost"),
    "Names": (
        "id",
        "conversation",
        "about",
        "upstream_id",
        "upstream_request_id",
        "process",
        "classic_id",
        "classic",
    ),
    "Proof": ("preamble", "head", "reply", "salt", "commitment"),
}
CLUES = (
    "key",
    "address",
    "user_agent",
    "classic",
    "salt",
)  # to who it was; with the salt, guesses at what was sent could be tried
PAYLOAD = ("params", "response")  # shown as the request and the reply that they are part of


def status(call: Snapshot) -> SafeString:
    return format_html(
        '<span class="gw-status gw-{}">{}</span>', call.status, call.get_status_display()
    )


def lasted(call: Snapshot) -> str:
    return lasting(call.closed - call.opened if call.closed else None)


@admin.register(Snapshot)
class SnapshotAdmin(Log):
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
    exported = "calls"
    rows_of_csv = "one row a call"

    def filtered(self, chosen: CallFilter) -> QuerySet[Snapshot]:
        return chosen.calls()

    calls = filtered

    def columns(self, rows: QuerySet[Snapshot]) -> QuerySet[Snapshot]:
        mine = (
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
        )
        return rows.select_related("owner", "conversation").only(
            *mine, "owner__username", "conversation__title"
        )

    @admin.display(description="time")
    def time(self, call: Snapshot) -> SafeString | str:
        return moment(call.opened)

    @admin.display(description="who")
    def who(self, call: Snapshot) -> SafeString:
        return visible(call.names.name(call.owner))  # type: ignore[attr-defined]

    @admin.display(description="model, and upstream")
    def model_name(self, call: Snapshot) -> SafeString:
        return format_html(
            '{}<span class="gw-line gw-quiet">{}</span>',
            visible(call.model or "–"),
            visible(call.upstream),
        )

    @admin.display(description="status")
    def ended(self, call: Snapshot) -> SafeString:
        return (
            format_html(
                '{}<span class="gw-code-of-error">{}</span>', status(call), visible(call.error_code)
            )
            if call.error_code
            else status(call)
        )

    @admin.display(description="tokens")
    def tokens(self, call: Snapshot) -> str:
        return ("≈ " if call.estimated else "") + count(call.total_tokens)

    @admin.display(description="cost")
    def price(self, call: Snapshot) -> str:
        return dollars(call.cost)

    @admin.display(description="duration")
    def took(self, call: Snapshot) -> str:
        return lasted(call)

    @admin.display(description="conversation")
    def part_of(self, call: Snapshot) -> SafeString | str:
        if call.conversation is None:
            return "–"
        title = visible(call.conversation.title or "Untitled")
        return format_html(
            '<a href="{}?call={}">{}</a>',
            reverse("admin:conversations_conversation_change", args=[call.conversation_id]),
            call.id,
            title,
        )

    # One call -------------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path(
                "<uuid:id>/request.json",
                view(self.request_view),
                name="conversations_snapshot_request",
            ),
            path(
                "<uuid:id>/response.json",
                view(self.response_view),
                name="conversations_snapshot_response",
            ),
            path(
                "<uuid:id>/a/<int:file>", view(self.file_view), name="conversations_snapshot_file"
            ),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context=None
    ) -> HttpResponse:
        if not self.has_view_permission(request) or request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        call = self.get_object(request, object_id)
        if call is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]
        audit.record(request, Action.CALL, call)
        names = names_of(request, call)
        rows = Messages([call.conversation_id] if call.conversation_id else [], names)
        response = rows.response(call)
        files = Attachment.objects.filter(
            conversation=call.conversation_id,
            sha256__in=[bytes.fromhex(digest) for digest in rows.files(call)],
        )
        fields = {field.name: field for field in self.opts.concrete_fields}
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Call",
            "call": call,
            "names": names,
            "groups": {
                title: [
                    (
                        fields[each].verbose_name,
                        fields[each].help_text,
                        self.readable(call, each, names),
                    )
                    for each in group
                ]
                for title, group in GROUPS.items()
            },
            "seal": Seal.objects.filter(subject=call.id).first(),
            "tries": orjson.loads(call.attempts or "[]"),
            "status": status(call),
            "took": lasted(call),
            "payloads": [
                ("Request", indented(rows.request(call)), "request"),
                ("Reply", indented(response) if response else "", "response"),
            ],
            "shown": SHOWN,
            "partial": growth.read_growth(call.id)
            if call.status == Snapshot.Status.PENDING
            else "",
            "files": files,
            "may_export": may(request.user, "export_content"),
            "preserved_filters": self.get_preserved_filters(request),
        }
        return TemplateResponse(request, "admin/conversations/call.html", context)

    def readable(self, call: Snapshot, name: str, names: Names) -> SafeString | str:
        if name in ("preamble", "head", "reply"):
            return str(getattr(call, f"{name}_id") or "–")
        value = getattr(call, name)
        if name in ("conversation", "about") and value:
            return format_html(
                '<a href="{}?call={}">{}</a>',
                reverse("admin:conversations_conversation_change", args=[value.id]),
                call.id,
                visible(str(value)),
            )
        if name == "retry_of" and value:
            return format_html(
                '<a href="{}">{}</a>',
                reverse("admin:conversations_snapshot_change", args=[value.id]),
                value,
            )
        if name == "owner":
            return visible(
                ", ".join(
                    filter(
                        None,
                        [
                            names.name(value),
                            names.full_name(value),
                            names.job_title(value),
                            names.department(value),
                        ],
                    )
                )
            )
        if name == "end_user":
            return visible(names.end_user(call) or "–")
        if name in CLUES and value and names.hidden:
            return format_html('<span class="gw-quiet">{}</span>', "hidden")
        if name in ("opened", "first_byte", "closed"):
            return format_html(
                "{} {}",
                moment(value),
                f"+ {lasting(value - call.opened)}" if value and name != "opened" else "",
            )
        if name == "status":
            return status(call)
        if name == "cost":
            return "–" if value is None else f"${value.normalize():f}"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, bytes | memoryview):
            return bytes(value).hex()
        if isinstance(value, int):
            return count(value)
        return visible("–" if value in (None, "") else value)

    def request_view(self, request: HttpRequest, id) -> HttpResponse:
        return self._download(request, id, "request", rebuild.rebuild_request)

    def response_view(self, request: HttpRequest, id) -> HttpResponse:
        return self._download(request, id, "response", rebuild.rebuild_response)

    def _download(self, request: HttpRequest, id, name: str, rebuild) -> HttpResponse:
        """The JSON, files put back: as it was sent, or as it came."""
        call = self._call(request, id)
        if not may(request.user, "export_content"):
            raise PermissionDenied
        try:
            value = rebuild(call)
        except FileNotFoundError:
            messages.error(
                request, f"The {name} cannot be put together: storage has lost a file of it."
            )
            return HttpResponseRedirect(reverse("admin:conversations_snapshot_change", args=[id]))
        if value is None:
            raise Http404
        audit.record(request, Action.EXPORT, call, format=f"{name}.json")
        headers = {
            "Content-Disposition": f'attachment; filename="{name}-{id}.json"',
            "X-Content-Type-Options": "nosniff",
        }
        value = names_of(request, call).request(value) if name == "request" else value
        return HttpResponse(orjson.dumps(value), content_type="application/json", headers=headers)

    def file_view(self, request: HttpRequest, id, file: int) -> FileResponse:
        """A file of a call that is in no conversation: only one that this call names."""
        call = self._call(request, id)
        found = (
            Attachment.objects.filter(conversation=None, id=file).first()
            if call.conversation_id is None
            else None
        )
        if found is None or bytes(found.sha256).hex() not in Messages([]).files(call):
            raise Http404
        audit.record(request, Action.ATTACHMENT, found, call=call.id)
        return attachment_response.file_response(found)

    def _call(self, request: HttpRequest, id) -> Snapshot:
        if not self.has_view_permission(request):
            raise PermissionDenied
        call = self.get_object(request, str(id))
        if call is None:
            raise Http404
        return call

    def get_queryset(self, request: HttpRequest) -> QuerySet[Snapshot]:
        return readable(request.user, super().get_queryset(request)).select_related(
            "owner", "conversation", "about", "retry_of"
        )


def names_of(request: HttpRequest, call: Snapshot) -> Names:
    return Names(request.user, about=call.conversation_id or call.pk)


def indented(text: str) -> str:
    return orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
