"""The button beside a transcript that has a model assess the conversation.

The worker makes the call: a model takes its time.
"""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from procrastinate.exceptions import AlreadyEnqueued

from conversations.models import AuditEvent, Conversation
from conversations.people import audit
from conversations.people.access import may, readable

from .. import tasks


@require_POST
def start(request: HttpRequest, pk: UUID) -> HttpResponse:
    if not may(request.user, "view_assessments"):
        raise PermissionDenied
    if not settings.METADATA_CHECK:
        raise Http404
    conversation = readable(request.user, Conversation.objects.of_messages().filter(id=pk)).first()
    if conversation is None:
        raise Http404
    try:
        with transaction.atomic():
            audit.record(request, AuditEvent.Action.ASSESSMENT, conversation)
            tasks.assess_later(conversation.id)
    except AlreadyEnqueued:
        messages.info(request, _("An assessment of this conversation is already under way."))
    else:
        messages.success(
            request,
            _("The assessment has started. Reload this page in a moment to see the result."),
        )
    page = reverse("admin:conversations_conversation_change", args=[pk])
    return HttpResponseRedirect(f"{page}#assessments")
