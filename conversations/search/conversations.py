"""Which conversations a reviewer looks at: those with such calls, and with such a review."""

from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy

from .. import cases
from ..models import Conversation, Decision, Review, Snapshot
from . import find
from .calls import ANY, CallFilter
from .query import parse

NOT_REVIEWED = "none"
ME, UNASSIGNED = "me", "nobody"
DISPOSITIONS = Decision.Disposition.choices
REVIEW_STATES = [
    ANY,
    (NOT_REVIEWED, gettext_lazy("Not reviewed")),
    ("waiting", gettext_lazy("Waiting")),
    ("new", gettext_lazy("New since the review")),
    ("decided", gettext_lazy("Decided")),
    (
        gettext_lazy("Last decision"),
        [(value, label.capitalize()) for value, label in DISPOSITIONS],
    ),
]
ASSIGNEES = [
    ("", gettext_lazy("Anyone")),
    (ME, gettext_lazy("Me")),
    (UNASSIGNED, gettext_lazy("Waiting, unassigned")),
]
REVIEW_IN_WORDS = {
    NOT_REVIEWED: "not reviewed",
    "waiting": "waiting for a review",
    "new": "with calls that are new since their review",
    "decided": "decided",
} | {value: f"last decided “{label}”" for value, label in DISPOSITIONS}
ASSIGNEE_IN_WORDS = {ME: "assigned to you", UNASSIGNED: "waiting and unassigned"}


class ConversationFilter(CallFilter):
    """Conversations that have a call of the filter, by where their review stands."""

    review = forms.ChoiceField(label=gettext_lazy("Review"), required=False, choices=REVIEW_STATES)
    assignee = forms.ChoiceField(
        label=gettext_lazy("Assigned to"), required=False, choices=ASSIGNEES
    )
    case = forms.UUIDField(required=False, widget=forms.HiddenInput)
    field_order = ("q", "user", "since", "until", "review", "assignee")

    def conversations(self) -> QuerySet[Conversation]:
        """Conversations of the filter; its days are those of their calls.

        The rows come in the order of their ids, from an index of reviews where one is chosen. One
        look into the index of its calls tells whether a conversation has a call of the days.
        """
        if not self.is_valid():
            return Conversation.objects.none()
        if self.id_prefix is not None:
            calls = self.calls().exclude(conversation=None)
            return Conversation.objects.filter(id__in=calls.values("conversation"))
        conversations = self.restrict_owners(Conversation.objects.all())
        calls = self.restrict_calls(Snapshot.objects.all())
        if self.searched:  # of calls of the filter, and no others
            conversations = conversations.filter(id__in=self.matches.conversations)
        elif calls.query.has_filters():  # each has a call: no look where any call will do
            conversations = conversations.filter(Exists(calls.filter(conversation=OuterRef("pk"))))
        if self.end_id:  # it began with its first call: one that began later has none before
            conversations = conversations.filter(id__lt=self.end_id)
        if self.cleaned_data["review"] == NOT_REVIEWED:
            conversations = conversations.filter(review=None)
        if (reviews := self._reviews()) is not None:
            conversations = conversations.filter(id__in=reviews.values("conversation"))
        if self.cleaned_data["case"]:
            conversations = conversations.filter(id__in=self._linked())
        return conversations

    def look_up(self, scope: find.Scope) -> find.Matches:
        """Find conversations, those alone whose review stands as it was chosen."""
        if self.cleaned_data["review"] == NOT_REVIEWED:
            scope.conditions.append(
                "NOT EXISTS (SELECT FROM conversations_review r"
                " WHERE r.conversation_id = e.conversation_id)"
            )
        if (reviews := self._reviews()) is not None:
            scope.add_condition(reviews.values("conversation"), "conversation_id")
        if self.cleaned_data["case"]:
            scope.add_condition(self._linked(), "conversation_id")
        return find.find_conversations(parse(self.cleaned_data["q"]), scope)

    def row_of(self, found: find.Found) -> UUID:
        return found.conversation  # type: ignore[return-value]

    def calls_of_conversations(self) -> QuerySet[Snapshot]:
        """The calls of the filter that belong to conversations of the list."""
        if self.id_prefix is not None or not self.is_valid():
            return self.calls().exclude(conversation=None)
        calls = self.calls_before_words().exclude(conversation=None)
        if self.cleaned_data["review"] == NOT_REVIEWED:
            calls = calls.filter(conversation__review=None)
        if (reviews := self._reviews()) is not None:
            calls = calls.filter(conversation__in=reviews.values("conversation"))
        if self.cleaned_data["case"]:
            calls = calls.filter(conversation__in=self._linked())
        if self.searched:
            calls = calls.filter(conversation__in=self.matches.conversations)
        return calls

    def _linked(self) -> QuerySet[Any, UUID]:
        """Conversations of the case, where the reader may open it; without the reader's own."""
        case = cases.visible_to(self.reader).filter(pk=self.cleaned_data["case"])
        links = cases.readable_links(self.reader).filter(case__in=case)
        return links.values_list("conversation", flat=True)

    def _reviews(self) -> QuerySet[Review] | None:
        """Reviews that stand so; None where no review need be looked at."""
        state, assignee = self.cleaned_data["review"], self.cleaned_data["assignee"]
        if state in ("", NOT_REVIEWED) and not assignee:
            return None
        reviews, now = Review.objects.all(), timezone.now()
        if state == "waiting":
            reviews = reviews.waiting()
        elif state == "new":
            reviews = reviews.gone_on()
        elif state == "decided":
            reviews = reviews.decided()
        elif state in Decision.Disposition.values:
            reviews = reviews.last_decided(state)
        if assignee == ME:
            return reviews.held_by(self.reader, now)
        return reviews.free(now) if assignee else reviews

    def _phrases(self) -> list[str]:
        chosen, phrases = self.cleaned_data, super()._phrases()
        if chosen["review"]:
            phrases.append(REVIEW_IN_WORDS[chosen["review"]])
        if chosen["assignee"]:
            phrases.append(ASSIGNEE_IN_WORDS[chosen["assignee"]])
        if chosen["case"]:
            phrases.append(f"linked to the case {chosen['case']}")
        return phrases
