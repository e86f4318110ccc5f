"""The review of conversations: into the queue, claimed for a while, decided, and back when they go on.

Every change is one transaction with its event on the audit trail. A claim is a lease: who walks away holds nothing for long.
"""

import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from .models import AuditEvent, Conversation, Decision, Review, SamplingPolicy, Snapshot, User
from .people import audit
from .people.access import may, readable

LEASE = timedelta(minutes=30)
DUE = {
    Review.Severity.ROUTINE: timedelta(days=7),
    Review.Severity.RAISED: timedelta(days=3),
    Review.Severity.HIGH: timedelta(days=1),
}
BULK = 200  # conversations that one decision in bulk is about, at most
Action, Source, State, Severity = AuditEvent.Action, Review.Source, Review.State, Review.Severity


class ReviewRefused(Exception):
    """What a reviewer may not do, or not now; the text is fit to show."""


OWN = "This is your own conversation: somebody else reviews it."
TAKEN = "{} is reviewing this conversation."
WENT_ON = "The conversation went on since you opened it. Read what is new, then decide."

# What is said after a decision has not been reviewed.
REOPEN = """
    UPDATE conversations_review review
    SET state = 'waiting', source = 'reopened', severity = greatest(severity, 2), entered = now(), due = now() + %s, assignee_id = NULL, lease = NULL
    FROM conversations_decision decision, conversations_snapshot call
    WHERE call.id = ANY(%s) AND review.conversation_id = call.conversation_id AND review.state = 'decided'
        AND decision.id = review.decision_id AND call.id > decision.newest"""


# The queue ------------------------------------------------------------------------------------------------------


def claim_next(request, among: QuerySet[Review]) -> Review | None:
    """The gravest that is free, now this reviewer's. Two who ask at once get two."""
    now = timezone.now()
    with transaction.atomic():
        free = among.free(now).not_of(request.user).gravest_first()  # type: ignore[attr-defined]
        if not may(request.user, "lead"):
            free = free.exclude(source=Source.ESCALATED)
        review = free.select_for_update(skip_locked=True, of=("self",)).first()
        if review:
            _lease(request, review, now)
    return review


def claim(request, conversation: Conversation) -> Review:
    """This one, in the queue or not. Raises Refused."""
    _not_own(request.user, conversation)
    with transaction.atomic():
        review, now = _entered(conversation, Source.CHOSEN), timezone.now()
        _free_for(request.user, review, now)
        _lease(request, review, now)
    return review


def release(request, conversation: Conversation) -> None:
    """Back into the queue, by who held it or by a Lead."""
    with transaction.atomic():
        review = Review.objects.select_for_update().get(conversation=conversation)
        if review.assignee_id != request.user.pk and not may(request.user, "lead"):
            raise ReviewRefused("Who holds it, or a Lead, gives it back.")
        review.assignee = review.lease = None
        review.save(update_fields=["assignee", "lease"])
        audit.record(request, Action.ASSIGNMENT, conversation, to=None)


def assign(request, conversation: Conversation, to: User) -> Review:
    """To somebody who may decide, for as long as it takes. Raises Refused."""
    if not may(to, "decide"):
        raise ReviewRefused(f"{to} does not review.")
    _not_own(to, conversation)
    if not readable(to, Conversation.objects.filter(pk=conversation.pk)).exists():
        raise ReviewRefused(f"{to} reads other departments.")
    with transaction.atomic():
        review = _entered(conversation, Source.ASSIGNED, Severity.RAISED)
        review.state, review.assignee, review.lease = State.WAITING, to, None
        review.save(update_fields=["state", "assignee", "lease"])
        audit.record(request, Action.ASSIGNMENT, conversation, to=to.get_username())
    return review


def decide(
    request,
    conversation: Conversation,
    disposition: str,
    seen: UUID,
    *,
    reason: str = "",
    note: str = "",
) -> Decision:
    """About all up to the call `seen`. Raises Refused: for one's own, for somebody else's claim, and where the conversation went on."""
    _not_own(request.user, conversation)
    if disposition == Decision.Disposition.VIOLATION and not reason.strip():
        raise ReviewRefused("A violation needs a reason.")
    with transaction.atomic():
        review = _entered(conversation, Source.CHOSEN)
        _free_for(request.user, review, timezone.now())
        if newest(conversation) != seen:
            raise ReviewRefused(WENT_ON)
        decision = _decided(request, review, disposition, seen, reason, note)
        audit.record(
            request, Action.DECISION, conversation, decision=decision.pk, disposition=disposition
        )
    return decision


def no_issue(request, conversations: Iterable[Conversation], reason: str) -> int:
    """The Lead's decision about many, each a row of its own. How many: not those of their own, nor what others hold. Raises Refused."""
    conversations = list(conversations)
    if len(conversations) > BULK:
        raise ReviewRefused(f"At most {BULK} at once.")
    if not reason.strip():
        raise ReviewRefused("A decision about many needs a reason.")
    made, now = [], timezone.now()
    with transaction.atomic():
        for conversation in sorted(conversations, key=lambda each: each.pk):
            review, seen = _entered(conversation, Source.CHOSEN), newest(conversation)
            if (
                seen
                and conversation.owner_id != request.user.pk
                and not review.held_by_another(request.user, now)
            ):
                made.append(
                    _decided(request, review, Decision.Disposition.NO_ISSUE, seen, reason, "")
                )
        audit.record(
            request,
            Action.DECISION,
            of="many at once",
            disposition="no_issue",
            reason=reason,
            decisions=[each.pk for each in made],
        )
    return len(made)


def newest(conversation: Conversation) -> UUID | None:
    """Its newest closed call."""
    return (
        conversation.snapshots.exclude(status=Snapshot.Status.PENDING)
        .order_by("-id")
        .values_list("id", flat=True)
        .first()
    )


def _decided(
    request, review: Review, disposition: str, seen: UUID, reason: str, note: str
) -> Decision:
    """Escalated means that it waits for a Lead."""
    decision = Decision.objects.create(
        conversation_id=review.conversation_id,
        reviewer=request.user,
        disposition=disposition,
        reason=reason,
        note=note,
        newest=seen,
    )
    review.decision, review.assignee, review.lease = decision, None, None
    if disposition == Decision.Disposition.ESCALATED:
        review.state, review.source, review.severity = (
            State.WAITING,
            Source.ESCALATED,
            Severity.HIGH,
        )
        review.entered, review.due = decision.made, decision.made + DUE[Severity.HIGH]
    else:
        review.state = State.DECIDED
    review.save()
    return decision


def _entered(
    conversation: Conversation, source: str, severity: Review.Severity = Severity.ROUTINE
) -> Review:
    """Its row, locked; made, if it was not in the queue."""
    now = timezone.now()
    new: dict[str, Any] = {
        "source": source,
        "severity": severity,
        "entered": now,
        "due": now + DUE[severity],
    }
    Review.objects.get_or_create(conversation=conversation, defaults=new)
    return Review.objects.select_for_update().get(conversation=conversation)


def _lease(request, review: Review, now: datetime) -> None:
    review.state, review.assignee, review.lease = State.WAITING, request.user, now + LEASE
    review.save(update_fields=["state", "assignee", "lease"])
    audit.record(
        request,
        Action.ASSIGNMENT,
        review.conversation,
        to=request.user.get_username(),
        until=review.lease,
    )


def _not_own(reviewer: User, conversation: Conversation) -> None:
    if conversation.owner_id == reviewer.pk:
        raise ReviewRefused(OWN)


def _free_for(reviewer: User, review: Review, now: datetime) -> None:
    """A Lead takes whatever there is."""
    if may(reviewer, "lead"):
        return
    if review.state == State.WAITING and review.source == Source.ESCALATED:
        raise ReviewRefused("This was escalated: a Lead decides.")
    if review.held_by_another(reviewer, now):
        raise ReviewRefused(TAKEN.format(review.assignee))


# What comes into it by itself -----------------------------------------------------------------------------------


def reopen(calls: list[UUID]) -> int:
    """Of newly sealed calls: those of decided conversations bring them back. How many."""
    with connection.cursor() as cursor:
        cursor.execute(REOPEN, [DUE[Severity.RAISED], calls])  # type: ignore[list-item]
        return cursor.rowcount


def sample(calls: list[UUID]) -> int:
    """Of newly sealed calls: the conversations that a policy draws, each once, and only those begun since the policy was made. How many."""
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
    """Whether a policy draws this conversation. Whoever has the seed comes to the same."""
    return (
        int.from_bytes(hmac.digest(seed, conversation.bytes, "sha256")[:8]) * 100 < percent * 2**64
    )
