"""Reveal a person's name: the reader gives a reason and returns to the page.

conversations.people.identity decides and records.
"""

from functools import partial
from uuid import UUID

from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from ..models import Conversation, Snapshot, User
from ..people import identity
from ..people.access import readable
from ..refusals import show_again
from .rights import require_rights


@require_rights("view_content", "reveal_identity")
def page(request: HttpRequest, pk: UUID | None = None) -> HttpResponseBase:
    """Reveal the owner of a conversation, or of a call outside one; without an id, let names be
    searched for."""
    if not identity.hides_people(request.user):
        raise Http404
    subject = find_subject(request.user, pk) if pk else None
    next_url = return_url(request, subject)
    if request.method == "POST":
        try:
            identity.reveal(request, subject, request.POST.get("reason", "")[:500])
            return HttpResponseRedirect(next_url)
        except identity.RevealRefused as refused:
            show = partial(_show, request, subject, next_url, status=400)
            return show_again(request, "reveal", refused, show)
    return _show(request, subject, next_url)


def _show(
    request: HttpRequest,
    subject: Conversation | Snapshot | None,
    next_url: str,
    status: int = 200,
) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": _("Reveal the user’s name") if subject else "Search by name",
        "button": "Reveal" if subject else "Search by name",
        "subject": subject,
        "next": next_url,
    }
    return TemplateResponse(request, "admin/reveal.html", context, status=status)


def find_subject(reader: User | AnonymousUser, pk: UUID) -> Conversation | Snapshot:
    subject = (
        readable(reader, Conversation.objects.filter(id=pk)).first()
        or readable(reader, Snapshot.objects.filter(id=pk, conversation=None)).first()
    )
    if subject is None:
        raise Http404
    return subject


def return_url(request: HttpRequest, subject: Conversation | Snapshot | None) -> str:
    """Return the address that the form names, if it is of this site; else the subject's page."""
    wanted = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts=None):
        return wanted
    if subject is None:
        return reverse("admin:conversations_conversation_changelist")
    return reverse(f"admin:conversations_{subject._meta.model_name}_change", args=[subject.pk])
