"""Cases as pages: those of a reviewer, one of them, and to which one a conversation is linked.

Every change is a POST. A page is on the audit trail before it is rendered.
"""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import OuterRef, QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import cases, review
from ..cases import CaseRefused
from ..ids import parse_uuid
from ..models import AuditEvent, Case, CaseEntry, CaseMember, Conversation, User
from ..people import audit
from ..people.access import may
from ..people.identity import Names
from ..refusals import show_again, takes_form
from .changelist import RowCount
from .conversation import describe_review
from .queue import get_subject, reviewers, reviewers_only

SHOWN = 50  # cases, conversations or notes of a page
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
UNKNOWN = gettext_lazy("There is no conversation with that id.")
Change = Callable[[HttpRequest, Case, dict[str, Any]], None]


class CaseForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)
    purpose = forms.CharField(
        label=gettext_lazy("Purpose"),
        max_length=500,
        help_text=gettext_lazy("What the inquiry is about. It stays with the case."),
    )


class EntryForm(forms.Form):
    """What the forms of a case ask for, each of them some of it."""

    text = forms.CharField(required=False, max_length=10_000)
    conversation = forms.CharField(required=False, max_length=1000)
    user = forms.CharField(required=False, max_length=150)


# The lists ----------------------------------------------------------------------------------------


@reviewers_only
def list_page(request: HttpRequest) -> HttpResponse:
    return _show_list(request, "admin/cases.html", title=_("Cases"))


@reviewers_only
def choose_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Offer the reviewer's cases for a conversation."""
    conversation = get_subject(request, pk)
    linked = CaseEntry.objects.filter(conversation=pk).links()
    among = set(linked.values_list("case", flat=True))
    context = {"conversation": conversation, "among": among}
    return _show_list(request, "admin/cases.html", title=_("Add to a case"), **context)


def _show_list(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    rows = cases.visible_to(request.user).select_related("made_by")
    rows = rows.annotate(members_named=_member_names(), linked=_count(CaseEntry.objects.links()))
    shown, older = _read_page(rows, request, "before")
    audit.record(request, AuditEvent.Action.LIST, Case, rows=len(shown))
    return _page(request, template, rows=shown, older=older, **context)


@reviewers_only
def new_page(request: HttpRequest) -> HttpResponse:
    """Open a case, and link the conversation that the address names."""
    wanted = parse_uuid(request.GET.get("conversation", ""))
    conversation = get_subject(request, wanted) if wanted else None
    form = CaseForm(request.POST if request.method == "POST" else None, label_suffix="")
    if form.is_valid():
        case = cases.open_case(request, form.cleaned_data["name"], form.cleaned_data["purpose"])
        if conversation:
            try:
                with transaction.atomic():  # a link that is refused leaves no row of a call
                    cases.link(request, case, review.keep(conversation))
            except CaseRefused as refused:
                messages.error(request, str(refused))
        return HttpResponseRedirect(_url(case.pk))
    status = 400 if form.errors else 200
    context = {"title": _("New case"), "form": form, "conversation": conversation}
    return _page(request, "admin/case_new.html", status=status, **context)


# One case -----------------------------------------------------------------------------------------


@reviewers_only
def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    readable_links = cases.readable_links(request.user)
    rows = cases.visible_to(request.user).select_related("made_by")
    case = get_object_or_404(
        rows.annotate(
            members_named=_member_names(),
            candidates=ArraySubquery(reviewers().values("username")),
            linked=_count(CaseEntry.objects.links()),
            readable=_count(readable_links),
        ),
        pk=pk,
    )
    links, more_links = _read_page(
        readable_links.filter(case=case).select_related(
            "author", "conversation__owner", "conversation__review__decision"
        ),
        request,
        "links",
    )
    notes, more_notes = _read_page(
        CaseEntry.objects.filter(case=case).notes().select_related("author"), request, "notes"
    )
    audit.record(
        request,
        AuditEvent.Action.LIST,
        case,
        conversations=[each.conversation_id for each in links],
        notes=len(notes),
    )
    return _page(
        request,
        "admin/case.html",
        title=_("Case"),
        case=case,
        names=Names(request.user),
        links=[(each, _describe(each.conversation)) for each in links],
        more_links=more_links,
        may_export=may(request.user, "export_content"),
        hidden=case.linked - case.readable,  # type: ignore[attr-defined]
        notes=notes,
        more_notes=more_notes,
    )


def _describe(conversation: Conversation) -> str:
    """Say where the review of a linked conversation stands."""
    review = getattr(conversation, "review", None)
    return ", ".join(describe_review(review)) if review else _("not reviewed")


def _url(pk: UUID) -> str:
    return reverse("admin:case", args=[pk])


def _change(change: Change) -> Callable[..., HttpResponseBase]:
    """Make a view of a change to one case, which ends at its page."""

    @takes_form(_url)
    @reviewers_only
    @wraps(change)
    def view(request: HttpRequest, pk: UUID) -> HttpResponseBase:
        case = get_object_or_404(cases.visible_to(request.user), pk=pk)
        form = EntryForm(request.POST)
        try:
            if not form.is_valid():
                raise CaseRefused(_("That was not understood. Try again with less text."))
            with transaction.atomic():  # a change that is refused leaves no row of a call
                change(request, case, form.cleaned_data)
        except CaseRefused as refused:
            name = f"case-{change.__name__.replace('_', '-')}"
            return show_again(request, name, refused, lambda: page(request, pk))
        return HttpResponseRedirect(_url(pk))

    return view


@_change
def note(request: HttpRequest, case: Case, values: dict[str, Any]) -> None:
    cases.add_note(request, case, values["text"])


@_change
def link(request: HttpRequest, case: Case, values: dict[str, Any]) -> None:
    cases.link(request, case, _find_conversation(request, values), values["text"])


@_change
def unlink(request: HttpRequest, case: Case, values: dict[str, Any]) -> None:
    cases.unlink(request, case, _find_conversation(request, values), values["text"])


@_change
def add_member(request: HttpRequest, case: Case, values: dict[str, Any]) -> None:
    cases.add_member(request, case, _find_user(values))


@_change
def remove_member(request: HttpRequest, case: Case, values: dict[str, Any]) -> None:
    cases.remove_member(request, case, _find_user(values))


def _find_conversation(request: HttpRequest, values: dict[str, Any]) -> Conversation:
    """Find a conversation by its id, or by an address with its id in it. Raises CaseRefused."""
    found = ID.search(values["conversation"])
    if found is None:
        raise CaseRefused(UNKNOWN)
    try:
        return review.keep(get_subject(request, UUID(found[0])))
    except Http404:
        raise CaseRefused(UNKNOWN) from None


def _find_user(values: dict[str, Any]) -> User | None:
    return User.objects.filter(username=values["user"], is_active=True).first()


def _member_names() -> ArraySubquery:
    members = CaseMember.objects.filter(case=OuterRef("pk")).order_by("user__username")
    return ArraySubquery(members.values("user__username"))


def _count(entries: QuerySet[CaseEntry]) -> RowCount:
    return RowCount(entries.filter(case=OuterRef("pk")).order_by().values("pk"))


def _read_page(
    rows: QuerySet[Any], request: HttpRequest, name: str
) -> tuple[list[Any], UUID | None]:
    """Read a page, newest first, below the id that the address has under a name.

    With the id below which the next page stands, where there is one.
    """
    below = parse_uuid(request.GET.get(name, ""))
    rows = rows.filter(pk__lt=below) if below else rows
    found = list(rows.order_by("-pk")[: SHOWN + 1])
    return found[:SHOWN], found[SHOWN - 1].pk if len(found) > SHOWN else None


def _page(
    request: HttpRequest, template: str, *, status: int = 200, **context: Any
) -> HttpResponse:
    context = {**admin.site.each_context(request), **context}
    return TemplateResponse(request, template, context, status=status)
