"""The review of conversations: how they enter the queue, are claimed, decided, and come back.

Every change is one transaction with its event on the audit trail. A claim is a lease, so a reviewer
who walks away holds nothing for long.
"""

import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .models import AuditEvent, Conversation, Decision, Review, SamplingPolicy, Snapshot, User
from .models.review import ReviewQuerySet
from .people import audit
from .people.access import may, readable

LEASE = timedelta(minutes=30)
DUE = {
    Review.Severity.ROUTINE: timedelta(days=7),
    Review.Severity.RAISED: timedelta(days=3),
    Review.Severity.HIGH: timedelta(days=1),
}
BULK = 200  # conversations that one decision in bulk is about, at most
Action = AuditEvent.Action
Source = Review.Source
State = Review.State
Severity = Review.Severity


class ReviewRefused(Exception):
    """A change that a reviewer may not make, or not now; the text is fit to show."""


OWN = gettext_lazy("This is your own conversation, so another reviewer must review it.")
TAKEN = "{} is reviewing this conversation."
WENT_ON = gettext_lazy(
    "This conversation has continued since you opened it. Read the new messages, then decide."
)

# A decision does not cover calls that come after it.
REOPEN = """
    UPDATE conversations_review review
    SET state = 'waiting', source = 'reopened', severity = greatest(severity, 2),
        entered = now(), due = now() + %s, assignee_id = NULL, lease = NULL
    FROM conversations_decision decision, conversations_snapshot call
    WHERE call.id = ANY(%s) AND review.conversation_id = call.conversation_id
        AND review.state = 'decided'
        AND decision.id = review.decision_id AND call.id > decision.newest"""


# The queue ----------------------------------------------------------------------------------------


def claim_next(request: HttpRequest, among: ReviewQuerySet) -> Review | None:
    """Claim the gravest free review. Reviewers who ask at the same time get different ones."""
    now = timezone.now()
    with transaction.atomic():
        free = among.free(now).not_owned_by(request.user).gravest_first()
        if not may(request.user, "lead"):
            free = free.exclude(source=Source.ESCALATED)
        review = free.select_for_update(skip_locked=True, of=("self",)).first()
        if review:
            _lease(request, review, now)
    return review


def claim(request: HttpRequest, conversation: Conversation) -> Review:
    """Claim a conversation, in the queue or not. Raises ReviewRefused."""
    _refuse_own(request.user, conversation)
    with transaction.atomic():
        review, now = _lock(conversation, Source.CHOSEN), timezone.now()
        _refuse_held(request.user, review, now)
        _lease(request, review, now)
    return review


def release(request: HttpRequest, conversation: Conversation) -> None:
    """Put a conversation back into the queue. Raises ReviewRefused."""
    with transaction.atomic():
        review = Review.objects.select_for_update().filter(conversation=conversation).first()
        if review is None:
            raise ReviewRefused(_("This conversation is not in the queue."))
        if review.assignee_id != request.user.pk and not may(request.user, "lead"):
            raise ReviewRefused(
                _("Only the reviewer it is assigned to, or a Lead, can release this conversation.")
            )
        review.assignee = review.lease = None
        review.save(update_fields=["assignee", "lease"])
        audit.record(request, Action.ASSIGNMENT, conversation, to=None)


def assign(request: HttpRequest, conversation: Conversation, reviewer: User) -> Review:
    """Assign a conversation to a reviewer, for as long as it takes. Raises ReviewRefused."""
    if not may(reviewer, "decide"):
        raise ReviewRefused(_("%(user)s is not a reviewer.") % {"user": reviewer})
    _refuse_own(reviewer, conversation)
    if not readable(reviewer, Conversation.objects.filter(pk=conversation.pk)).exists():
        text = _("%(user)s may not read conversations of this department.")
        raise ReviewRefused(text % {"user": reviewer})
    with transaction.atomic():
        review = _lock(conversation, Source.ASSIGNED, Severity.RAISED)
        review.state, review.assignee = State.WAITING, reviewer
        review.lease = None
        review.save(update_fields=["state", "assignee", "lease"])
        audit.record(request, Action.ASSIGNMENT, conversation, to=reviewer.get_username())
    return review


def decide(request: HttpRequest, decision: Decision) -> None:
    """Save a reviewer's decision about all calls up to `decision.newest`.

    Raises ReviewRefused: about one's own conversation, about another reviewer's claim, and where
    the conversation has gone on.
    """
    conversation = decision.conversation
    _refuse_own(request.user, conversation)
    if decision.disposition == Decision.Disposition.VIOLATION and not decision.reason.strip():
        raise ReviewRefused("A violation needs a reason.")
    with transaction.atomic():
        review = _lock(conversation, Source.CHOSEN)
        _refuse_held(request.user, review, timezone.now())
        if newest(conversation) != decision.newest:
            raise ReviewRefused(WENT_ON)
        _save(request, review, decision)
        audit.record(
            request,
            Action.DECISION,
            conversation,
            decision=decision.pk,
            disposition=decision.disposition,
        )


def no_issue(request: HttpRequest, conversations: Iterable[Conversation], reason: str) -> int:
    """Decide “no issue” about many conversations as a Lead, and return how many were decided.

    Each decision is a row. The Lead's own conversations and those that other reviewers hold are
    left out. Raises ReviewRefused.
    """
    conversations = list(conversations)
    if len(conversations) > BULK:
        text = _("You can decide at most %(number)d conversations at once.")
        raise ReviewRefused(text % {"number": BULK})
    if not reason.strip():
        raise ReviewRefused(_("Enter a reason for these decisions."))
    decisions, now = [], timezone.now()
    with transaction.atomic():
        for conversation in sorted(conversations, key=lambda each: each.pk):
            review, seen = _lock(conversation, Source.CHOSEN), newest(conversation)
            own = conversation.owner_id == request.user.pk
            if own or not seen or review.held_by_another(request.user, now):
                continue
            decision = Decision(
                conversation=conversation,
                disposition=Decision.Disposition.NO_ISSUE,
                newest=seen,
                reason=reason,
            )
            _save(request, review, decision)
            decisions.append(decision.pk)
        audit.record(
            request,
            Action.DECISION,
            of="many at once",
            disposition="no_issue",
            reason=reason,
            decisions=decisions,
        )
    return len(decisions)


def newest(conversation: Conversation) -> UUID | None:
    """Return the id of the newest closed call."""
    return (
        conversation.snapshots.exclude(status=Snapshot.Status.PENDING)
        .order_by("-id")
        .values_list("id", flat=True)
        .first()
    )


def _save(request: HttpRequest, review: Review, decision: Decision) -> None:
    """Save the decision, and its review: decided, or waiting for a Lead if it was escalated."""
    decision.reviewer = request.user  # type: ignore[assignment]
    decision.save(force_insert=True)
    review.decision = decision
    review.assignee = review.lease = None
    review.state = State.DECIDED
    if decision.disposition == Decision.Disposition.ESCALATED:
        review.state, review.source = State.WAITING, Source.ESCALATED
        review.severity = Severity.HIGH
        review.entered, review.due = decision.made, decision.made + DUE[Severity.HIGH]
    review.save()


def _lock(
    conversation: Conversation, source: str, severity: Review.Severity = Severity.ROUTINE
) -> Review:
    """Lock the review of a conversation; enter it into the queue first if it has none."""
    now = timezone.now()
    new: dict[str, Any] = {
        "source": source,
        "severity": severity,
        "entered": now,
        "due": now + DUE[severity],
    }
    Review.objects.get_or_create(conversation=conversation, defaults=new)
    return Review.objects.select_for_update().get(conversation=conversation)


def _lease(request: HttpRequest, review: Review, now: datetime) -> None:
    review.state, review.assignee = State.WAITING, request.user  # type: ignore[assignment]
    review.lease = now + LEASE
    review.save(update_fields=["state", "assignee", "lease"])
    audit.record(
        request,
        Action.ASSIGNMENT,
        review.conversation,
        to=request.user.get_username(),
        until=review.lease,
    )


def _refuse_own(reviewer: User | AnonymousUser, conversation: Conversation) -> None:
    if conversation.owner_id == reviewer.pk:
        raise ReviewRefused(OWN)


def _refuse_held(reviewer: User | AnonymousUser, review: Review, now: datetime) -> None:
    """Refuse what another reviewer holds, or a Lead must decide. A Lead is refused nothing."""
    if may(reviewer, "lead"):
        return
    if review.state == State.WAITING and review.source == Source.ESCALATED:
        raise ReviewRefused(_("This conversation was escalated. Only a Lead can decide it."))
    if review.held_by_another(reviewer, now):
        raise ReviewRefused(TAKEN.format(review.assignee))


# Conversations that enter it by themselves --------------------------------------------------------


def reopen(calls: list[UUID]) -> int:
    """Bring decided conversations with newly sealed calls back, and return how many."""
    with connection.cursor() as cursor:
        cursor.execute(REOPEN, [DUE[Severity.RAISED], calls])  # type: ignore[list-item]
        return cursor.rowcount


def sample(calls: list[UUID]) -> int:
    """Enter conversations of newly sealed calls that a policy draws, and return how many.

    Each enters once, and only if it began since the policy was made.
    """
    policies = list(SamplingPolicy.objects.filter(active=True))
    if not policies:
        return 0
    begun = Snapshot.objects.filter(
        id__in=calls,
        kind=Snapshot.Kind.CHAT,
        conversation__started__gte=min(policy.made for policy in policies),
    )
    rows, now = {}, timezone.now()
    for conversation, started, department, model in begun.values_list(
        "conversation", "conversation__started", "owner__department", "model"
    ):
        for policy in policies:
            if policy.covers(started, department, model) and drawn(
                bytes(policy.seed), conversation, policy.percent
            ):
                rows[conversation] = Review(
                    conversation_id=conversation,
                    source=Source.SAMPLED,
                    policy=policy,
                    entered=now,
                    due=now + DUE[Severity.ROUTINE],
                )
    return len(Review.objects.bulk_create(rows.values(), ignore_conflicts=True))


def drawn(seed: bytes, conversation: UUID, percent: Decimal) -> bool:
    """Return whether a policy draws this conversation: the same for all who know the seed."""
    return (
        int.from_bytes(hmac.digest(seed, conversation.bytes, "sha256")[:8]) * 100 < percent * 2**64
    )
