"""What reviewers did with a made-up year: they decided most of what was drawn and some that they chose, and the trail says what they opened."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from django.db import transaction
from django.db.models import OuterRef, Subquery

from conversations import ids, review
from conversations.models import AuditEvent, Conversation, Decision, Review, Snapshot, User
from llmgateway.demo.generated import MARK, MODELS, Row, Weighted, copy

Action, Disposition, Source, State, Severity = (
    AuditEvent.Action,
    Decision.Disposition,
    Review.Source,
    Review.State,
    Review.Severity,
)
CHOSEN = 0.005  # of the conversations
LOOKS = 0.02  # into the lists, for each conversation
CAME_TO = {
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


class Work:
    """Rows of the trail and decisions, written together at the end in order of time."""

    def __init__(self, dice: random.Random, now: datetime):
        self.dice, self.now = dice, now
        self.lead, *self.reviewers = User.objects.filter(
            external_id__startswith=MARK, is_staff=True
        ).order_by("pk")
        self.come_to = Weighted(dice, CAME_TO, CAME_TO.values())
        self.events: list[Row] = []
        self.decisions: list[Row] = []

    def event(
        self,
        at: datetime,
        who: User,
        action: str,
        subject: Any = None,
        *,
        kind: str = "",
        conversation: Any = None,
        terms: str = "",
        **detail: Any,
    ):
        self.events.append(
            {
                "id": ids.make_id(at),
                "at": at,
                "actor_id": who.pk,
                "actor_name": who.username,
                "address": f"192.0.2.{who.pk % 250 + 1}",
                "user_agent": AGENT,
                "action": action,
                "kind": kind,
                "subject": str(subject or ""),
                "conversation": conversation,
                "terms": terms,
                "detail": orjson.dumps(detail).decode(),
            }
        )

    def look(self, at: datetime, terms: str = "") -> None:
        who = self.dice.choice(self.reviewers)
        if self.dice.random() < 0.1:
            self.event(at - timedelta(minutes=5), who, Action.SIGN_IN)
        kind, filter = (
            self.dice.choice(("conversation", "conversation", "snapshot")),
            self.dice.choice(FILTERS),
        )
        self.event(
            at,
            who,
            Action.SEARCH if terms else Action.LIST,
            kind=kind,
            terms=terms,
            filter=filter,
            rows=self.dice.randrange(10_001),
        )

    def read(self, at: datetime, who: User, conversation: Conversation) -> None:
        self.event(
            at,
            who,
            Action.TRANSCRIPT,
            conversation.id,
            kind="conversation",
            conversation=conversation.id,
            first=0,
            length=2 * conversation.turns,
        )
        if self.dice.random() < 0.3:
            call: Any = conversation.newest_call  # type: ignore[attr-defined]
            self.event(
                at + timedelta(seconds=40),
                who,
                Action.CALL,
                call,
                kind="snapshot",
                conversation=conversation.id,
            )

    def decide(
        self, at: datetime, who: User, conversation: Conversation, came_to: str, newest: Any
    ) -> Row:
        row: Row = {
            "id": ids.make_id(at),
            "conversation_id": conversation.id,
            "reviewer_id": who.pk,
            "disposition": came_to,
            "reason": "Customer data" if came_to == Disposition.VIOLATION else "",
            "note": "Asked the team." if self.dice.random() < 0.05 else "",
            "made": at,
            "newest": newest,
        }
        self.decisions.append(row)
        about: Row = {"kind": "conversation", "conversation": conversation.id}
        self.event(
            at,
            who,
            Action.DECISION,
            conversation.id,
            **about,
            decision=row["id"],
            disposition=came_to,
        )
        return row

    def review(self, row: Review) -> None:
        """What became of one that stands in the queue: `row` as it is now."""
        conversation, who = row.conversation, self.dice.choice(self.reviewers)
        row.entered = conversation.last + timedelta(seconds=5)
        row.due = row.entered + review.DUE[Severity.ROUTINE]
        at = conversation.last + timedelta(hours=self.dice.expovariate(1 / 40))
        if at > self.now or self.dice.random() < 0.02:
            if self.dice.random() < 0.2:
                row.assignee, row.lease = who, self.dice.choice((None, self.now + review.LEASE))
            return
        self.event(
            at,
            who,
            Action.ASSIGNMENT,
            conversation.id,
            kind="conversation",
            conversation=conversation.id,
            to=who.username,
            until=at + review.LEASE,
        )
        self.read(at, who, conversation)
        newest, first = conversation.newest_call, conversation.first_call  # type: ignore[attr-defined]
        went_on = newest != first and self.dice.random() < 0.02
        made = self.decide(
            at + timedelta(minutes=3),
            who,
            conversation,
            self.come_to(),
            first if went_on else newest,
        )
        row.state = State.DECIDED
        if made["disposition"] == Disposition.ESCALATED:
            later = at + timedelta(days=self.dice.expovariate(1))
            if later > self.now or self.dice.random() < 0.1:
                row.state, row.source, row.severity, row.entered, row.due = (
                    State.WAITING,
                    Source.ESCALATED,
                    Severity.HIGH,
                    at,
                    at + review.DUE[Severity.HIGH],
                )
            else:
                self.read(later, self.lead, conversation)
                made = self.decide(
                    later + timedelta(minutes=5),
                    self.lead,
                    conversation,
                    Disposition.VIOLATION,
                    newest,
                )
        elif went_on:
            row.state, row.source, row.severity, row.due = (
                State.WAITING,
                Source.REOPENED,
                Severity.RAISED,
                row.entered + review.DUE[Severity.RAISED],
            )
        row.decision_id = made["id"]

    def write(self, rows: list[Review]) -> None:
        with transaction.atomic():
            copy(Decision, sorted(self.decisions, key=lambda row: row["made"]))
            copy(AuditEvent, sorted(self.events, key=lambda row: row["at"]))
            Review.objects.bulk_update(
                rows,
                ["state", "source", "severity", "entered", "due", "assignee", "lease", "decision"],
                batch_size=500,
            )


def write(dice: random.Random, words: list[str]) -> None:
    """After the calls are sealed: what the policies drew is in the queue by then. `words` are what was searched for."""
    now = datetime.now(UTC)
    begun = dict(Conversation.objects.values_list("id", "started"))
    work, chosen = Work(dice, now), dice.sample(sorted(begun), int(CHOSEN * len(begun)))
    due = now + review.DUE[Severity.ROUTINE]
    Review.objects.bulk_create(
        (Review(conversation_id=id, source=Source.CHOSEN, due=due) for id in chosen),
        ignore_conflicts=True,
    )
    calls = Snapshot.objects.filter(conversation=OuterRef("pk")).values("id")
    first, newest = Subquery(calls.order_by("id")[:1]), Subquery(calls.order_by("-id")[:1])
    found = (
        Conversation.objects.filter(review__isnull=False)
        .annotate(first_call=first, newest_call=newest)
        .in_bulk()
    )
    rows = list(Review.objects.order_by("conversation"))
    for row in rows:
        row.conversation = found[row.conversation_id]
        work.review(row)
    for started in dice.sample(list(begun.values()), int(LOOKS * len(begun))):
        work.look(started, dice.choice(words) if dice.random() < 0.4 else "")
    work.write(rows)
