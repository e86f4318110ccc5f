"""Conversations that wait for a review, and decisions about them, for tests."""

import re
from typing import Any

from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from uuid_utils.compat import uuid7

from conversations import review
from conversations.models import Conversation, Decision, Review, Snapshot
from conversations.tests.calls import person, turn, user

QUEUE = "/admin/queue/"


def talk(owner: str = "alice", text: str = "hi") -> Conversation:
    return turn(person(owner), [user(text)], "hello").conversation


def waiting(*conversations: Conversation) -> None:
    now = timezone.now()
    Review.objects.bulk_create(
        Review(conversation=each, source="sampled", entered=now, due=now) for each in conversations
    )


def basis_of(conversation: Conversation) -> review.Basis:
    """What a page of the conversation shows now."""
    closed = Snapshot.objects.filter(conversation=conversation).exclude(status="pending")
    row = Review.objects.filter(conversation=conversation).first()
    return review.Basis(closed.count(), row.decision_id if row else None)


def listed(*conversations: Conversation) -> review.ShownList:
    """What a list of them shows now."""
    return review.ShownList(uuid7(), {each.pk: basis_of(each) for each in conversations})


def decide(
    request: HttpRequest,
    conversation: Conversation,
    disposition: str = "no_issue",
    *,
    basis: review.Basis | None = None,
    **words: Any,
) -> Decision:
    """Decide about all that is there, or about what `basis` says of it."""
    said = {"reason": "", "note": ""} | words
    decision = Decision(conversation=conversation, disposition=disposition, **said)
    review.decide(request, decision, basis or basis_of(conversation))
    return decision


# By the pages -------------------------------------------------------------------------------------


def transcript_of(conversation: Conversation) -> str:
    return reverse("admin:conversations_conversation_change", args=[conversation.pk])


def open_form(client: Client, conversation: Conversation, query: str = "") -> dict[str, str]:
    """Open a page of the transcript, and take the hidden fields of its form."""
    page = client.get(transcript_of(conversation) + query).content.decode()
    form = page[page.index('id="review-decide"') :]
    hidden = re.findall(r'<input type="hidden" name="(page|of)" value="([^"]*)"', form)
    return dict(hidden)


def post_decision(
    client: Client, conversation: Conversation, form: dict[str, str] | None = None, **fields: Any
) -> Any:
    """Send the form of a page, of one that is opened now unless `form` is given."""
    values = {"disposition": "no_issue"} | (form or open_form(client, conversation)) | fields
    return client.post(f"{QUEUE}{conversation.pk}/decide/", values, follow=True)


def messages_of(response: Any) -> list[str]:
    """What a page says of the form that was sent."""
    return [str(message) for message in response.context["messages"]]


def shown_list(client: Client, tab: str = "all") -> str:
    """Open the queue as a Lead, and take what its form says that it showed."""
    page = client.get(QUEUE, {"of": tab}).content.decode()
    return re.search(r'name="shown" value="([^"]+)"', page)[1]  # type: ignore[index]
