"""Asking for a person's name: a reason, and back to where it was asked for. It is given by conversations.people.identity."""

from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from ..models import Conversation, Snapshot
from ..people import identity
from ..people.access import may, readable


def page(request: HttpRequest, id: UUID | None = None) -> HttpResponse:
    """Who is behind a conversation, or a call in none; without an id, whose names may be searched for."""
    if not (may(request.user, "view_content") and may(request.user, "reveal_identity")):
        raise PermissionDenied
    if not identity.hides_people(request.user):
        raise Http404
    subject = found(request.user, id) if id else None
    next, problem = way_back(request, subject), ""
    if request.method == "POST":
        try:
            identity.reveal(request, subject, request.POST.get("reason", "")[:500])
            return HttpResponseRedirect(next)
        except identity.RevealRefused as refused:
            problem = str(refused)
    title, button = (
        ("Reveal who it is", "Reveal") if subject else ("Search by name", "Search by name")
    )
    context = {
        **admin.site.each_context(request),
        "title": title,
        "button": button,
        "subject": subject,
        "next": next,
        "problem": problem,
    }
    return TemplateResponse(request, "admin/reveal.html", context, status=400 if problem else 200)


def found(reader, id: UUID) -> Conversation | Snapshot:
    one = (
        readable(reader, Conversation.objects.filter(id=id)).first()
        or readable(reader, Snapshot.objects.filter(id=id, conversation=None)).first()
    )
    if one is None:
        raise Http404
    return one


def way_back(request: HttpRequest, subject: Conversation | Snapshot | None) -> str:
    asked = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(asked, allowed_hosts=None):
        return asked
    if subject is None:
        return reverse("admin:conversations_conversation_changelist")
    return reverse(f"admin:conversations_{subject._meta.model_name}_change", args=[subject.pk])
