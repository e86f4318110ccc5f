"""The audit trail, for Auditors: who looked at what, exported what, decided what. Nobody changes it, and looking at it is on it too.

It shows no content: no titles, and the words of a search (which may quote what was said) only to those who may read that.
"""

import json
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..exports.audit import AuditTable
from ..models import AuditEvent, User
from ..models.audit import AuditEventQuerySet
from ..people import audit
from ..people.access import may, reads_everything
from ..people.identity import Names
from ..search.choices import DaysForm
from ..search.filters import ACCOUNTS
from ..templatetags.review import moment, visible
from .changelist import Action, Log

ABOUT = forms.TextInput(attrs={"placeholder": "Any id"})
READING = "reading"
NOTHING: tuple[Any, ...] = (None, "", {})


class AuditFilter(DaysForm):
    """An id looks at all days unless some are chosen."""

    who = forms.CharField(
        required=False,
        max_length=150,
        widget=forms.TextInput(attrs={"placeholder": "Name begins with"}),
    )
    action = forms.ChoiceField(
        required=False,
        choices=[
            ("", "Any"),
            (READING, "Read what was said"),
            *((action.value, action.label.capitalize()) for action in Action),
        ],
    )
    about = forms.CharField(required=False, max_length=100, widget=ABOUT)
    field_order = ("who", "action", "about", "since", "until")

    def __init__(self, query, reader) -> None:
        everywhere = {"since": ""} if query.get("about") and "since" not in query else {}
        super().__init__({**query.dict(), **everywhere}, reader)

    def events(self) -> AuditEventQuerySet:
        if not self.is_valid():
            return AuditEvent.objects.none()
        events, chosen = AuditEvent.objects.all(), self.cleaned_data
        if self.first_id:
            events = events.filter(id__gte=self.first_id)
        if self.end_id:
            events = events.filter(id__lt=self.end_id)
        if chosen["who"]:
            events = events.filter(
                Q(actor__in=self.actors(chosen["who"]))
                | Q(actor=None, actor_name__istartswith=chosen["who"])
            )
        if chosen["action"]:
            events = events.doing(
                *(AuditEvent.READING if chosen["action"] == READING else [chosen["action"]])
            )
        if chosen["about"]:
            events = (
                events.filter(Q(subject=chosen["about"]) | Q(conversation=self.id))
                if self.id
                else events.filter(subject=chosen["about"])
            )
        return events

    def actors(self, name: str) -> set[int]:
        """Staff by name; others too, where people have no aliases for this reader."""
        people, names = User.objects.filter(username__istartswith=name), self.names
        if not names.hidden:
            return set(people.values_list("id", flat=True))
        return {
            *people.filter(is_staff=True).values_list("id", flat=True),
            *names.find(name, ACCOUNTS),
        }

    @property
    def id(self) -> UUID | None:
        try:
            return UUID(self.cleaned_data["about"])
        except ValueError:
            return None

    def words(self) -> str:
        """As it goes on after “12 audit events”."""
        if not self.is_valid():
            return "until the filter is corrected"
        chosen, actions = self.cleaned_data, dict(self.fields["action"].choices)  # type: ignore[attr-defined]
        said = [self.days()]
        said += [f"by “{chosen['who']}”"] if chosen["who"] else []
        said += [f"{actions[chosen['action']].lower()}"] if chosen["action"] else []
        said += [f"about {chosen['about']}"] if chosen["about"] else []
        return ", ".join(said)


@admin.register(AuditEvent)
class AuditEventAdmin(Log):
    right = "view_audit"
    filter_form = AuditFilter
    list_display = ("time", "who", "did", "about", "details", "address")
    list_display_links = ("time",)
    rows_of_csv = "one row an event"

    def filtered(self, chosen: AuditFilter) -> AuditEventQuerySet:
        return chosen.events()

    def columns(self, rows: AuditEventQuerySet) -> Any:
        return rows.defer("user_agent")

    def named(self, rows: list[AuditEvent], names: Names) -> list[AuditEvent]:
        return [names.event(event) for event in rows]

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AuditEvent | None:
        event = super().get_object(request, object_id, from_field)
        return Names(request.user).event(event) if event else None

    def download(self, request: HttpRequest, chosen: AuditFilter) -> AuditTable:
        return AuditTable(chosen.events(), chosen.names, with_terms=reads_everything(request.user))

    def has_export_permission(self, request: HttpRequest) -> bool:
        return may(request.user, self.right)

    def get_list_display(self, request: HttpRequest):
        return (
            (*self.list_display, "words") if reads_everything(request.user) else self.list_display
        )

    def get_fields(self, request: HttpRequest, obj=None):
        fields = (
            "id",
            "time",
            "who",
            "did",
            "about",
            "conversation",
            "details",
            "address",
            "user_agent",
        )
        return (*fields, "words") if reads_everything(request.user) else fields

    def get_readonly_fields(self, request: HttpRequest, obj=None):
        return self.get_fields(request, obj)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context=None
    ) -> HttpResponse:
        event = self.get_object(request, object_id)
        if event is not None and self.has_view_permission(request):
            audit.record(request, Action.LIST, event)
        return super().change_view(request, object_id, form_url, extra_context)

    @admin.display(description="time")
    def time(self, event: AuditEvent) -> SafeString | str:
        return moment(event.at)

    @admin.display(description="who")
    def who(self, event: AuditEvent) -> SafeString:
        return visible(event.actor_name or "nobody known")

    @admin.display(description="did")
    def did(self, event: AuditEvent) -> str:
        return event.said

    @admin.display(description="with")
    def about(self, event: AuditEvent) -> SafeString | str:
        return (
            format_html("{} <code>{}</code>", event.kind, visible(event.subject))
            if event.subject
            else event.kind or "–"
        )

    @admin.display(description="details")
    def details(self, event: AuditEvent) -> SafeString | str:
        return (
            visible(
                "; ".join(
                    f"{name} {in_words(value)}"
                    for name, value in json.loads(event.detail).items()
                    if value not in NOTHING
                )
            )
            or "–"
        )

    @admin.display(description="words")
    def words(self, event: AuditEvent) -> SafeString | str:
        return visible(event.terms) or "–"


def in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{name} {in_words(each)}" for name, each in value.items() if each not in NOTHING
        )
    if isinstance(value, list):
        return ", ".join(map(in_words, value)) or "none"
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)
