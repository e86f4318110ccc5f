"""The evidence of review, for Leads and Auditors: who decided what, when. No title, and no reason or note but for who may read what was said."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..exports.decisions import DecisionTable
from ..models import Decision, User
from ..people import audit
from ..people.access import may, reads_everything
from ..search.choices import DaysForm
from ..templatetags.review import moment, visible
from .changelist import Action, Log

DISPOSITIONS = [
    ("", "Any"),
    *((value, label.capitalize()) for value, label in Decision.Disposition.choices),
]


class DecisionFilter(DaysForm):
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
        decisions, chosen = Decision.objects.all(), self.cleaned_data
        if self.first_id:
            decisions = decisions.filter(id__gte=self.first_id)
        if self.end_id:
            decisions = decisions.filter(id__lt=self.end_id)
        if chosen["reviewer"]:
            decisions = decisions.filter(
                reviewer__in=User.objects.filter(username__istartswith=chosen["reviewer"]).values(
                    "id"
                )
            )
        if chosen["disposition"]:
            decisions = decisions.filter(disposition=chosen["disposition"])
        return decisions

    def words(self) -> str:
        """As it goes on after “12 decisions”."""
        if not self.is_valid():
            return "until the filter is corrected"
        chosen = self.cleaned_data
        said = [self.days()]
        said += [f"by “{chosen['reviewer']}”"] if chosen["reviewer"] else []
        said += [dict(DISPOSITIONS)[chosen["disposition"]].lower()] if chosen["disposition"] else []
        return ", ".join(said)


@admin.register(Decision)
class DecisionAdmin(Log):
    right = "view_audit"
    filter_form = DecisionFilter
    change_list_template = "admin/conversations/decisions.html"
    list_display = ("time", "who", "came_to", "about")
    list_display_links = ("time",)
    list_select_related = ("reviewer",)
    rows_of_csv = "one row a decision"

    def filtered(self, chosen: DecisionFilter) -> QuerySet[Decision]:
        return chosen.decisions()

    def columns(self, rows: QuerySet[Decision]) -> QuerySet[Decision]:
        return rows.select_related("reviewer")

    def download(self, request: HttpRequest, chosen: DecisionFilter) -> DecisionTable:
        return DecisionTable(chosen.decisions(), with_words=reads_everything(request.user))

    def has_export_permission(self, request: HttpRequest) -> bool:
        return may(request.user, self.right)

    def around(self, request: HttpRequest) -> dict[str, Any]:
        return {"title": "Decisions", "summary": self.summary(request)}

    def summary(self, request: HttpRequest) -> list[tuple[str, list[int]]]:
        """Of each reviewer, how many of each disposition; a row of the sums first."""
        if not self.has_view_permission(request):
            return []
        counts: dict[str, dict[str, int]] = {}
        decided = (
            DecisionFilter(request.GET, request.user)
            .decisions()
            .values_list("reviewer__username", "disposition")
        )
        for who, what, number in decided.annotate(Count("pk")).order_by():
            counts.setdefault(who, {})[what] = number
        rows = [
            (who, [found.get(each, 0) for each in Decision.Disposition.values])
            for who, found in sorted(counts.items())
        ]
        sums = [sum(column) for column in zip(*(numbers for _, numbers in rows), strict=True)]
        return [("Everybody", sums), *rows] if len(rows) > 1 else rows

    def get_list_display(self, request: HttpRequest):
        return (
            (*self.list_display, "reasoned")
            if reads_everything(request.user)
            else self.list_display
        )

    def get_fields(self, request: HttpRequest, obj=None):
        fields = ("id", "time", "who", "came_to", "about", "newest")
        return (*fields, "reasoned") if reads_everything(request.user) else fields

    def get_readonly_fields(self, request: HttpRequest, obj=None):
        return self.get_fields(request, obj)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context=None
    ) -> HttpResponse:
        decision = self.get_object(request, object_id)
        if decision is not None and self.has_view_permission(request):
            audit.record(request, Action.LIST, decision)
        return super().change_view(request, object_id, form_url, extra_context)

    @admin.display(description="time")
    def time(self, decision: Decision) -> SafeString | str:
        return moment(decision.made)

    @admin.display(description="reviewer")
    def who(self, decision: Decision) -> SafeString:
        return visible(decision.reviewer.get_username())

    @admin.display(description="came to")
    def came_to(self, decision: Decision) -> str:
        return decision.get_disposition_display()

    @admin.display(description="conversation")
    def about(self, decision: Decision) -> SafeString:
        path: Any = reverse(
            "admin:conversations_conversation_change", args=[decision.conversation_id]
        )
        return format_html('<a href="{}"><code>{}</code></a>', path, decision.conversation_id)

    @admin.display(description="reason and note")
    def reasoned(self, decision: Decision) -> SafeString | str:
        return visible("\n".join(filter(None, [decision.reason, decision.note]))) or "–"
