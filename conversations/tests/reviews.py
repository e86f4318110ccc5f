"""Conversations that wait for a review, for tests."""

from django.utils import timezone

from conversations.models import Conversation, Review
from conversations.tests.calls import person, turn, user


def talk(owner: str = "alice", text: str = "hi") -> Conversation:
    return turn(person(owner), [user(text)], "hello").conversation


def waiting(*conversations: Conversation) -> None:
    now = timezone.now()
    Review.objects.bulk_create(
        Review(conversation=each, source="sampled", entered=now, due=now) for each in conversations
    )
