"""The button beside a transcript that has a model assess the conversation. The worker does it: a model takes its time."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST
from procrastinate.exceptions import AlreadyEnqueued

from conversations.models import AuditEvent, Conversation
from conversations.people import audit
from conversations.people.access import may, readable

from .. import tasks


@require_POST
def ask(request: HttpRequest, id: UUID) -> HttpResponse:
    if not may(request.user, "view_assessments"):
        raise PermissionDenied
    conversation = (
        readable(request.user, Conversation.objects.filter(id=id)).first()
        if settings.METADATA_CHECK
        else None
    )
    if conversation is None:
        raise Http404
    try:
        with transaction.atomic():
            audit.record(request, AuditEvent.Action.ASSESSMENT, conversation)
            tasks.assess_later(conversation.id)
    except AlreadyEnqueued:
        messages.info(request, "A model is being asked already.")
    else:
        messages.success(
            request,
            "A model is asked. What it says will stand here: open the page again in a moment.",
        )
    return HttpResponseRedirect(
        f"{reverse('admin:conversations_conversation_change', args=[id])}#assessments"
    )
