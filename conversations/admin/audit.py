"""The audit trail, for Auditors: who read, exported, decided or changed what.

Nobody changes it, and reading it is an audit event too. It shows no content: no titles, and the
words of a search (which may quote a message) only to accounts that may read every conversation.
"""

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import cases
from ..exports.audit import AuditTable
from ..ids import parse_uuid
from ..models import AuditEvent, Case, User
from ..people import audit
from ..people.access import auditable_events, may, reads_everything
from ..people.identity import Names
from ..search.calls import MOST_PEOPLE
from ..search.days import DaysFilter
from ..templatetags.review import moment, visible
from .changelist import Action, EvidenceAdmin, KeysetChangeList

READING = "reading"
NOTHING: tuple[Any, ...] = (None, "", {})
FIELDS = (
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


class AuditFilter(DaysFilter):
    """An id is looked for in all days unless some are chosen."""

    who = forms.CharField(
        label=gettext_lazy("User"),
        required=False,
        max_length=150,
        widget=forms.TextInput(attrs={"placeholder": "Name begins with"}),
    )
    action = forms.ChoiceField(
        required=False,
        choices=[
            ("", "Any"),
            (READING, gettext_lazy("Read conversations, calls or files")),
            *((action.value, action.label.capitalize()) for action in Action),
        ],
    )
    about = forms.CharField(
        required=False, max_length=100, widget=forms.TextInput(attrs={"placeholder": "Any id"})
    )
    field_order = ("who", "action", "about", "since", "until")

    def __init__(self, query: QueryDict, reader: Any) -> None:
        all_days = {"since": ""} if query.get("about") and "since" not in query else {}
        super().__init__({**query.dict(), **all_days}, reader)

    def events(self) -> QuerySet[AuditEvent]:
        if not self.is_valid():
            return AuditEvent.objects.none()
        events = auditable_events(self.reader, AuditEvent.objects.all())
        values = self.cleaned_data
        if self.first_id:
            events = events.filter(id__gte=self.first_id)
        if self.end_id:
            events = events.filter(id__lt=self.end_id)
        if values["who"]:
            unknown_actor = Q(actor=None, actor_name__istartswith=values["who"])
            events = events.filter(Q(actor__in=self.find_actors(values["who"])) | unknown_actor)
        if values["action"]:
            reading = values["action"] == READING
            events = events.filter(action__in=AuditEvent.READING if reading else [values["action"]])
        if values["about"]:
            subject = Q(subject=values["about"]) & ~Q(kind="user", subject__in=self._aliased())
            if self.subject_id:
                subject |= Q(conversation=self.subject_id)
            events = events.filter(subject)
        return events

    def find_actors(self, name: str) -> set[int]:
        """Find staff by name; other accounts too, where the reader sees people by name."""
        accounts, names = User.objects.filter(username__istartswith=name), self.names
        if not names.hidden:
            return set(accounts.values_list("id", flat=True))
        return {
            *accounts.filter(is_staff=True).values_list("id", flat=True),
            *names.find(name, MOST_PEOPLE),
        }

    def _aliased(self) -> list[str]:
        """List the accounts that have aliases for the reader, among those that are asked about.

        By its number no alias is found: a list of accounts has numbers beside names.
        """
        about = self.cleaned_data["about"]
        if not self.names.hidden or not about.isdecimal():
            return []
        return [about] if not User.objects.filter(id=about, is_staff=True).exists() else []

    @property
    def subject_id(self) -> UUID | None:
        return parse_uuid(self.cleaned_data["about"])

    def words(self) -> str:
        """Describe the filter, as it goes on after “12 audit events”."""
        if not self.is_valid():
            return "until the filter is corrected"
        values, actions = self.cleaned_data, dict(self.fields["action"].choices)  # type: ignore[attr-defined]
        parts = [self.days()]
        if values["who"]:
            parts.append(f"by “{values['who']}”")
        if values["action"]:
            parts.append(actions[values["action"]].lower())
        if values["about"]:
            parts.append(f"about {values['about']}")
        return ", ".join(parts)


@admin.register(AuditEvent)
class AuditEventAdmin(EvidenceAdmin):
    right = "view_audit"
    filter_form = AuditFilter
    list_display = ("time", "who", "did", "about", "details", "address")
    list_display_links = ("time",)
    csv_rows = gettext_lazy("one row per event")

    def get_rows(self, form: AuditFilter) -> QuerySet[AuditEvent]:
        return form.events()

    def select_columns(self, rows: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        return rows.defer("user_agent")

    def prepare_rows(self, rows: list[AuditEvent], page: KeysetChangeList) -> list[AuditEvent]:
        return [page.filter.names.event(event) for event in rows]

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        page = super().get_changelist_instance(request)
        link_subjects(request, page.result_list)
        return page

    def more_context(self, request: HttpRequest) -> dict[str, Any]:
        return {"title": _("Audit trail")}

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        return auditable_events(request.user, super().get_queryset(request))

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AuditEvent | None:
        event = super().get_object(request, object_id, from_field)
        if event:
            event = Names(request.user).event(event)
            link_subjects(request, [event])
        return event

    def make_csv(self, request: HttpRequest, form: AuditFilter) -> AuditTable:
        return AuditTable(form.events(), form.names, with_terms=reads_everything(request.user))

    def has_export_permission(self, request: HttpRequest) -> bool:
        return may(request.user, self.right)

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        shows_words = reads_everything(request.user)
        return (*self.list_display, "words") if shows_words else self.list_display

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return (*FIELDS, "words") if reads_everything(request.user) else FIELDS

    def get_readonly_fields(
        self, request: HttpRequest, obj: Model | None = None
    ) -> tuple[str, ...]:
        return self.get_fields(request, obj)

    def show_row(self, request: HttpRequest, event: AuditEvent) -> HttpResponse:
        audit.record(request, Action.LIST, event)
        return super().show_row(request, event)

    @admin.display(description="time")
    def time(self, event: AuditEvent) -> SafeString | str:
        return moment(event.at)

    @admin.display(description=gettext_lazy("user"))
    def who(self, event: AuditEvent) -> SafeString:
        return visible(event.actor_name or _("unknown"))

    @admin.display(description=gettext_lazy("action"))
    def did(self, event: AuditEvent) -> str:
        return event.action_label

    @admin.display(description=gettext_lazy("about"))
    def about(self, event: AuditEvent) -> SafeString | str:
        if not event.subject:
            return event.kind or "–"
        subject = format_html("<code>{}</code>", visible(event.subject))
        if event.page:  # type: ignore[attr-defined]
            subject = format_html('<a href="{}">{}</a>', event.page, subject)  # type: ignore[attr-defined]
        return format_html("{} {}", event.kind, subject)

    @admin.display(description="details")
    def details(self, event: AuditEvent) -> SafeString | str:
        parts = (
            f"{name} {describe_detail(value)}"
            for name, value in json.loads(event.detail).items()
            if value not in NOTHING
        )
        return visible("; ".join(parts)) or "–"

    @admin.display(description=gettext_lazy("search terms"))
    def words(self, event: AuditEvent) -> SafeString | str:
        return visible(event.terms) or "–"


def link_subjects(request: HttpRequest, events: Iterable[AuditEvent]) -> None:
    """Tell each event the page of the row that it names, where this reader may open it."""
    pages: dict[str, str] = {}
    for event in events:
        if event.kind not in pages:
            pages[event.kind] = find_page(request, event.kind)
        is_id = event.subject.isdecimal() or parse_uuid(event.subject)  # and no alias
        known = pages[event.kind] if is_id else ""
        event.page = reverse(known, args=[event.subject]) if known else ""  # type: ignore[attr-defined]


def find_page(request: HttpRequest, kind: str) -> str:
    """Name the page of a kind of rows; nothing where there is none that this reader may open."""
    if kind == Case._meta.model_name:
        return "admin:case" if cases.works_on_cases(request.user) else ""
    for model, model_admin in admin.site._registry.items():
        if model._meta.model_name == kind and model_admin.has_view_permission(request):
            return f"admin:{model._meta.app_label}_{kind}_change"
    return ""


def describe_detail(value: Any) -> str:
    """Write a value of an event's details in words."""
    if isinstance(value, dict):
        parts = (f"{name} {describe_detail(v)}" for name, v in value.items() if v not in NOTHING)
        return ", ".join(parts)
    if isinstance(value, list):
        return ", ".join(map(describe_detail, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _describe_moment(str(value)) or str(value)


def _describe_moment(text: str) -> str:
    """Write a time with a zone in the reader's zone; nothing for another text."""
    try:
        at = parse_datetime(text)
        return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S %Z}" if at and at.tzinfo else ""
    except (ValueError, OverflowError):  # in the form of a time, and none
        return ""
