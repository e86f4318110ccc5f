"""The evidence of review, for Leads and Auditors: each decision, its reviewer and its time.

It shows no titles; reasons and notes only to accounts that may read every conversation.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from ..exports.decisions import DecisionTable
from ..figures import count, spent
from ..models import Decision, User
from ..people import audit
from ..people.access import auditable_decisions, may, reads_everything
from ..report import reviewing
from ..search.days import DaysFilter
from ..templatetags.review import moment, visible
from . import reviewers
from .changelist import Action, EvidenceAdmin

DISPOSITIONS = [
    ("", "Any"),
    *((value, label.capitalize()) for value, label in Decision.Disposition.choices),
]


COVERAGE = (
    "newest",
    "covers",
    "shown",
    "messages",
    "opened",
    "branches",
    "pages",
    "uncovered",
    "addressee",
    "until",
    "seconds",
    "length",
    "drawn",
    "second_of",
)


class DecisionFilter(DaysFilter):
    reviewer = forms.CharField(
        required=False,
        max_length=150,
        widget=forms.TextInput(attrs={"placeholder": "Name begins with"}),
    )
    disposition = forms.ChoiceField(required=False, choices=DISPOSITIONS)
    field_order = ("reviewer", "disposition", "since", "until")

    def decisions(self) -> QuerySet[Decision]:
        if not self.is_valid():
            return Decision.objects.none()
        decisions = auditable_decisions(self.reader, Decision.objects.all())
        values = self.cleaned_data
        if self.first_id:
            decisions = decisions.filter(id__gte=self.first_id)
        if self.end_id:
            decisions = decisions.filter(id__lt=self.end_id)
        if values["reviewer"]:
            reviewers = User.objects.filter(username__istartswith=values["reviewer"])
            decisions = decisions.filter(reviewer__in=reviewers.values("id"))
        if values["disposition"]:
            decisions = decisions.filter(disposition=values["disposition"])
        return decisions

    def words(self) -> str:
        """Describe the filter, as it goes on after “12 decisions”."""
        if not self.is_valid():
            return "until the filter is corrected"
        values, parts = self.cleaned_data, [self.days()]
        if values["reviewer"]:
            parts.append(f"by “{values['reviewer']}”")
        if values["disposition"]:
            parts.append(dict(DISPOSITIONS)[values["disposition"]].lower())
        return ", ".join(parts)


@admin.register(Decision)
class DecisionAdmin(EvidenceAdmin):
    right = "view_audit"
    filter_form = DecisionFilter
    change_list_template = "admin/conversations/decisions.html"
    list_display = ("time", "who", "disposition_label", "about", "covers", "took")
    list_display_links = ("time",)
    list_select_related = ("reviewer",)
    csv_rows = gettext_lazy("one row per decision")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Decision]:
        return auditable_decisions(request.user, super().get_queryset(request))

    def get_rows(self, form: DecisionFilter) -> QuerySet[Decision]:
        return form.decisions()

    def select_columns(self, rows: QuerySet[Decision]) -> QuerySet[Decision]:
        return rows.select_related("reviewer")

    def make_csv(self, request: HttpRequest, form: DecisionFilter) -> DecisionTable:
        return DecisionTable(form.decisions(), with_words=reads_everything(request.user))

    def has_export_permission(self, request: HttpRequest) -> bool:
        return may(request.user, self.right)

    def more_context(self, request: HttpRequest) -> dict[str, Any]:
        heads = [*(label for _value, label in DISPOSITIONS[1:]), *reviewers.HEADS]
        return {
            "title": "Decisions",
            "heads": heads,
            "summary": self.count_by_reviewer(request),
        }

    def count_by_reviewer(self, request: HttpRequest) -> list[tuple[str, list[str]]]:
        """Describe each reviewer's decisions; a row of all of them first."""
        form = DecisionFilter(request.GET, request.user)
        if not self.has_view_permission(request) or not form.is_valid():
            return []
        rows = reviewing.read_reviewers(form.decisions())
        shown = rows[1:] if len(rows) == 2 else rows
        return [
            (
                row.name or gettext("All reviewers"),
                [*map(count, row.dispositions), *reviewers.describe(row)[1:]],
            )
            for row in shown
        ]

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        shows_reasons = reads_everything(request.user)
        return (*self.list_display, "reasoned") if shows_reasons else self.list_display

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        fields = ("id", "time", "who", "disposition_label", "about", *COVERAGE)
        return (*fields, "reasoned") if reads_everything(request.user) else fields

    def get_readonly_fields(
        self, request: HttpRequest, obj: Model | None = None
    ) -> tuple[str, ...]:
        return self.get_fields(request, obj)

    def show_row(self, request: HttpRequest, decision: Decision) -> HttpResponse:
        audit.record(request, Action.LIST, decision)
        return super().show_row(request, decision)

    @admin.display(description="time")
    def time(self, decision: Decision) -> SafeString | str:
        return moment(decision.made)

    @admin.display(description="reviewer")
    def who(self, decision: Decision) -> SafeString:
        return visible(decision.reviewer.get_username())

    @admin.display(description=gettext_lazy("decision"))
    def disposition_label(self, decision: Decision) -> str:
        return decision.get_disposition_display()

    @admin.display(description="conversation")
    def about(self, decision: Decision) -> SafeString:
        path: Any = reverse(
            "admin:conversations_conversation_change", args=[decision.conversation_id]
        )
        return format_html('<a href="{}"><code>{}</code></a>', path, decision.conversation_id)

    @admin.display(description=gettext_lazy("covers"))
    def covers(self, decision: Decision) -> str:
        if decision.uncovered:
            return gettext("%(coverage)s (in part)") % {"coverage": decision.coverage}
        return decision.coverage or "–"

    @admin.display(description=gettext_lazy("time to decide"))
    def took(self, decision: Decision) -> str:
        return "–" if decision.seconds is None else spent(decision.seconds)

    @admin.display(description="reason and note")
    def reasoned(self, decision: Decision) -> SafeString | str:
        return visible("\n".join(filter(None, [decision.reason, decision.note]))) or "–"
