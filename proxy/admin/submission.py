"""The calls that the receiver of submissions has not taken: those that wait, and the dead-letter list. Ids only; what was said is in the log."""

from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from conversations.admin.rights import Administered
from conversations.models import AuditEvent
from conversations.people import audit

from ..jobs import submissions
from ..models import Submission


class StateFilter(admin.SimpleListFilter):
    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin) -> list[tuple[str, str]]:
        return [("given_up", "given up"), ("waiting", "waiting")]

    def queryset(self, request: HttpRequest, rows):
        return {"given_up": rows.given_up, "waiting": rows.waiting}.get(
            self.value() or "", rows.all
        )()


@admin.register(Submission)
class SubmissionAdmin(Administered, admin.ModelAdmin):
    list_display = ("number", "call", "state", "sealed", "tries", "problem", "tried", "next_try")
    list_filter = (StateFilter,)
    fields = (
        "number",
        "call",
        "state",
        "sealed",
        "tries",
        "blamed",
        "problem",
        "tried",
        "due",
        "given_up",
    )
    show_full_result_count = False
    actions = ("resend",)

    def get_ordering(self, request: HttpRequest):
        return (F("given_up").desc(nulls_last=True), "number")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj=None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj=None) -> bool:
        return False

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "change")

    def changelist_view(self, request: HttpRequest, extra_context=None) -> HttpResponse:
        return super().changelist_view(request, {"subtitle": backlog()} | (extra_context or {}))

    @admin.display(description="call")
    def call(self, submission: Submission) -> SafeString:
        address = reverse("admin:conversations_snapshot_change", args=[submission.snapshot])
        return format_html('<a href="{}">{}</a>', address, submission.snapshot)

    @admin.display(description="next try")
    def next_try(self, submission: Submission):
        return None if submission.given_up else submission.due

    @admin.action(description="Send those given up again", permissions=["resend"])
    def resend(self, request: HttpRequest, chosen: QuerySet[Submission]) -> None:
        with transaction.atomic():
            calls = list(chosen.given_up().values_list("pk", flat=True))  # type: ignore[attr-defined]
            if calls:
                audit.record(
                    request,
                    AuditEvent.Action.RESENT,
                    chosen.model(),
                    count=len(calls),
                    seals=[min(calls), max(calls)],
                )
            Submission.objects.filter(pk__in=calls).resend()
        self.message_user(request, f"{len(calls):,} will be sent again.", messages.SUCCESS)


def backlog() -> str:
    """In a line, how far behind the receiver is."""
    if not settings.ENABLE_SUBMISSIONS_API:
        return "Submissions are switched off (ENABLE_SUBMISSIONS_API)."
    waiting, since = submissions.backlog(), timesince(timezone.now() - submissions.age())
    behind = f"{waiting:,} waiting, the oldest for {since}" if waiting else "None waiting"
    return f"{behind} · {submissions.given_up():,} given up"
