"""The calls that the receiver of submissions has not taken: the waiting and the given-up ones.

Ids only; what was said is in the log.
"""

from datetime import datetime
from typing import Any, cast

from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import F, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from conversations.admin.rights import Administered
from conversations.models import AuditEvent
from conversations.people import audit

from ..jobs import submissions
from ..models import Submission
from ..models.submission import SubmissionQuerySet


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("given_up", "given up"), ("waiting", "waiting")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Submission]
    ) -> QuerySet[Submission]:
        rows = cast(SubmissionQuerySet, queryset)
        match self.value():
            case "given_up":
                return rows.given_up()
            case "waiting":
                return rows.waiting()
        return rows


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

    def get_ordering(self, request: HttpRequest) -> tuple[Any, str]:  # an OrderBy, unknown to stubs
        return (F("given_up").desc(nulls_last=True), "number")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "change")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"subtitle": describe_backlog()} | (extra_context or {})
        return super().changelist_view(request, context)

    @admin.display(description="call")
    def call(self, submission: Submission) -> SafeString:
        address = reverse("admin:conversations_snapshot_change", args=[submission.snapshot])
        return format_html('<a href="{}">{}</a>', address, submission.snapshot)

    @admin.display(description="next try")
    def next_try(self, submission: Submission) -> datetime | None:
        return None if submission.given_up else submission.due

    @admin.action(
        description=_("Send the selected submissions again, if given up"), permissions=["resend"]
    )
    def resend(self, request: HttpRequest, selected: SubmissionQuerySet) -> None:
        with transaction.atomic():
            calls = list(selected.given_up().values_list("pk", flat=True))
            if calls:
                audit.record(
                    request,
                    AuditEvent.Action.RESENT,
                    selected.model(),
                    count=len(calls),
                    seals=[min(calls), max(calls)],
                )
            Submission.objects.filter(pk__in=calls).resend()
        message = gettext("%(count)s will be sent again.") % {"count": f"{len(calls):,}"}
        self.message_user(request, message, messages.SUCCESS)


def describe_backlog() -> str:
    """Say in a line how far behind the receiver is."""
    if not settings.ENABLE_SUBMISSIONS_API:
        return "Submissions are switched off (ENABLE_SUBMISSIONS_API)."
    waiting, since = (
        submissions.count_backlog(),
        timesince(timezone.now() - submissions.measure_age()),
    )
    behind = f"{waiting:,} waiting, the oldest for {since}" if waiting else "None waiting"
    return f"{behind} · {submissions.count_given_up():,} given up"
