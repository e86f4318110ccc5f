"""The reviewers' work on a made-up year: their decisions, and the audit events of what they opened.

They decided most of the conversations that were drawn, and some that they chose themselves.
"""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce

from conversations import ids, review
from conversations.models import AuditEvent, Conversation, Decision, Review, Snapshot, User
from llmgateway.demo.generated import MARK, MODELS, Row, Weighted, copy_rows

Action = AuditEvent.Action
Disposition = Decision.Disposition
Source = Review.Source
State = Review.State
Severity = Review.Severity

CHOSEN = 0.005  # of the conversations
LOOKS = 0.02  # into the lists, for each conversation
DISPOSITIONS = {
    Disposition.NO_ISSUE: 80,
    Disposition.FALSE_POSITIVE: 9,
    Disposition.NEEDS_INFORMATION: 4,
    Disposition.VIOLATION: 4,
    Disposition.ESCALATED: 3,
}
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
FILTERS: tuple[Row, ...] = (
    {},
    {},
    {"status": "failed"},
    {"model": next(iter(MODELS))},
    {"user": "person00"},
    {"source": "key"},
    {"kind": "image"},
)
# How a decided conversation came back into the queue: source → severity.
RETURNED = {Source.ESCALATED: Severity.HIGH, Source.REOPENED: Severity.RAISED}


class Work:
    """Audit events and decisions, written together at the end in order of time."""

    def __init__(self, dice: random.Random, now: datetime) -> None:
        self.dice = dice
        self.now = now
        self.lead, *self.reviewers = User.objects.filter(
            external_id__startswith=MARK, is_staff=True
        ).order_by("pk")
        self.disposition = Weighted(dice, DISPOSITIONS, DISPOSITIONS.values())
        self.events: list[Row] = []
        self.decisions: list[Row] = []

    def add_event(self, at: datetime, actor: User, action: str, **fields: Any) -> None:
        """Add an audit event; of `fields`, what is no column of it goes into its detail."""
        event: Row = {
            "id": ids.make_id(at),
            "at": at,
            "actor_id": actor.pk,
            "actor_name": actor.username,
            "address": f"192.0.2.{actor.pk % 250 + 1}",
            "user_agent": AGENT,
            "action": action,
            "kind": fields.pop("kind", ""),
            "subject": str(fields.pop("subject", "")),
            "conversation": fields.pop("conversation", None),
            "terms": fields.pop("terms", ""),
        }
        self.events.append(event | {"detail": orjson.dumps(fields).decode()})

    def add_list_view(self, at: datetime, terms: str = "") -> None:
        """Add the look of some reviewer into a list, or the search for `terms` in it."""
        reviewer = self.dice.choice(self.reviewers)
        if self.dice.random() < 0.1:
            self.add_event(at - timedelta(minutes=5), reviewer, Action.SIGN_IN)
        self.add_event(
            at,
            reviewer,
            Action.SEARCH if terms else Action.LIST,
            kind=self.dice.choice(("conversation", "conversation", "snapshot")),
            terms=terms,
            filter=self.dice.choice(FILTERS),
            rows=self.dice.randrange(10_001),
        )

    def read(self, at: datetime, reviewer: User, conversation: Conversation) -> None:
        about = about_conversation(conversation)
        if conversation.is_one_call:
            self.add_event(at, reviewer, Action.CALL, **about | {"kind": "snapshot"})
            return
        length = 2 * conversation.turns
        self.add_event(at, reviewer, Action.TRANSCRIPT, **about, first=0, length=length)
        if self.dice.random() < 0.3:
            about |= {"kind": "snapshot", "subject": calls_of(conversation)[1]}
            self.add_event(at + timedelta(seconds=40), reviewer, Action.CALL, **about)

    def decide(
        self, at: datetime, reviewer: User, conversation: Conversation, disposition: str
    ) -> Row:
        """Add a decision about all calls of the conversation, and the event of it."""
        decision: Row = {
            "id": ids.make_id(at),
            "conversation_id": conversation.id,
            "reviewer_id": reviewer.pk,
            "disposition": disposition,
            "reason": "Customer data" if disposition == Disposition.VIOLATION else "",
            "note": "Asked the team." if self.dice.random() < 0.05 else "",
            "made": at,
            "newest": calls_of(conversation)[1],
        }
        self.decisions.append(decision)
        self.add_event(
            at,
            reviewer,
            Action.DECISION,
            **about_conversation(conversation),
            decision=decision["id"],
            disposition=disposition,
        )
        return decision

    def review(self, row: Review) -> None:
        """Move one conversation on from the queue: `row` becomes what it is now."""
        conversation, reviewer = row.conversation, self.dice.choice(self.reviewers)
        row.entered = conversation.last + timedelta(seconds=5)
        row.due = row.entered + review.DUE[Severity.ROUTINE]
        at = conversation.last + timedelta(hours=self.dice.expovariate(1 / 40))
        if at > self.now or self.dice.random() < 0.02:
            if self.dice.random() < 0.2:
                row.assignee = reviewer
                row.lease = self.dice.choice((None, self.now + review.LEASE))
            return
        self.add_event(
            at,
            reviewer,
            Action.ASSIGNMENT,
            **about_conversation(conversation),
            to=reviewer.username,
            until=at + review.LEASE,
        )
        self.read(at, reviewer, conversation)
        first, newest = calls_of(conversation)
        went_on = newest != first and self.dice.random() < 0.02
        decision = self.decide(
            at + timedelta(minutes=3), reviewer, conversation, self.disposition()
        )
        row.state = State.DECIDED
        if went_on:
            decision["newest"] = first
        if decision["disposition"] == Disposition.ESCALATED:
            later = at + timedelta(days=self.dice.expovariate(1))
            if later > self.now or self.dice.random() < 0.1:
                queue_again(row, Source.ESCALATED, at)
            else:
                self.read(later, self.lead, conversation)
                later += timedelta(minutes=5)
                decision = self.decide(later, self.lead, conversation, Disposition.VIOLATION)
        elif went_on:
            queue_again(row, Source.REOPENED, row.entered)
        row.decision_id = decision["id"]

    def write(self, rows: list[Review]) -> None:
        with transaction.atomic():
            copy_rows(Decision, sorted(self.decisions, key=lambda row: row["made"]))
            copy_rows(AuditEvent, sorted(self.events, key=lambda row: row["at"]))
            Review.objects.bulk_update(
                rows,
                ["state", "source", "severity", "entered", "due", "assignee", "lease", "decision"],
                batch_size=500,
            )


def about_conversation(conversation: Conversation) -> Row:
    return {
        "kind": "conversation",
        "subject": conversation.id,
        "conversation": conversation.id,
    }


def calls_of(conversation: Conversation) -> tuple[UUID, UUID]:
    """Give the first and the newest call, which `write` annotated."""
    return conversation.first_call, conversation.newest_call  # type: ignore[attr-defined]


def queue_again(row: Review, source: str, entered: datetime) -> None:
    row.state = State.WAITING
    row.source = source
    row.severity = RETURNED[Source(source)]
    row.entered = entered
    row.due = entered + review.DUE[row.severity]


def write(dice: random.Random, words: list[str]) -> None:
    """Write the reviewers' work once the calls are sealed and the policies have drawn.

    `words` are those that the reviewers search for.
    """
    now = datetime.now(UTC)
    begun = dict(Conversation.objects.values_list("id", "started"))
    work, chosen = Work(dice, now), dice.sample(sorted(begun), int(CHOSEN * len(begun)))
    due = now + review.DUE[Severity.ROUTINE]
    Review.objects.bulk_create(
        (Review(conversation_id=key, source=Source.CHOSEN, due=due) for key in chosen),
        ignore_conflicts=True,
    )
    calls = Snapshot.objects.filter(conversation=OuterRef("pk")).values("id")
    first, newest = Subquery(calls.order_by("id")[:1]), Subquery(calls.order_by("-id")[:1])
    conversations = (
        Conversation.objects.filter(review__isnull=False)
        # A call in no conversation has a row of its own id.
        .annotate(first_call=Coalesce(first, "pk"), newest_call=Coalesce(newest, "pk"))
        .in_bulk()
    )
    rows = list(Review.objects.order_by("conversation"))
    for row in rows:
        row.conversation = conversations[row.conversation_id]
        work.review(row)
    for started in dice.sample(list(begun.values()), int(LOOKS * len(begun))):
        work.add_list_view(started, dice.choice(words) if dice.random() < 0.4 else "")
    work.write(rows)
