"""The queue of conversations that wait for a reviewer, and what reviewers decided about them. Opening is not reviewing: this is.

A Decision is evidence: appended, never changed. A Review is work: where one conversation stands in the queue. A conversation that
nobody chose, drew or decided has none; conversations.review is their only writer.
"""

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from .snapshot import Snapshot


class DecisionQuerySet(models.QuerySet["Decision"]):
    def about(self, conversation: UUID) -> "DecisionQuerySet":
        return self.filter(conversation=conversation)

    def newest_first(self) -> "DecisionQuerySet":
        return self.order_by("-id")


class Decision(models.Model):
    class Disposition(models.TextChoices):
        NO_ISSUE = "no_issue", "no issue"
        FALSE_POSITIVE = "false_positive", "false positive"
        VIOLATION = "violation", "violation"
        ESCALATED = "escalated", "escalated"
        NEEDS_INFORMATION = "needs_information", "needs information"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    conversation = models.ForeignKey(
        "Conversation", models.PROTECT, related_name="decisions", db_index=False
    )
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )
    disposition = models.TextField(choices=Disposition)
    reason = models.TextField(db_default="")
    note = models.TextField(db_default="")
    made = models.DateTimeField(default=timezone.now)
    newest = models.UUIDField(
        help_text="the newest call that it covers: what is said later has not been reviewed"
    )

    objects = DecisionQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index("conversation", "id", name="decision_conversation"),
            models.Index("reviewer", "id", name="decision_reviewer"),
            models.Index("disposition", "conversation", name="decision_disposition"),
        ]

    def __str__(self) -> str:
        return f"{self.get_disposition_display()}, {self.made:%Y-%m-%d %H:%M}"


class SamplingPolicy(models.Model):
    """So many of a hundred conversations are drawn into the queue, those of a department or a model, or any."""

    percent = models.DecimalField(
        max_digits=5, decimal_places=2, help_text="of the conversations that begin"
    )
    department = models.CharField(
        max_length=150, blank=True, db_default="", help_text="of their owners; empty: any"
    )
    model = models.CharField(
        max_length=200, blank=True, db_default="", help_text="that answered first; empty: any"
    )
    active = models.BooleanField(default=True)
    seed = models.BinaryField(
        max_length=32,
        editable=False,
        help_text="the draw is HMAC(seed, root id): whoever has the seed can repeat it",
    )
    made = models.DateTimeField(default=timezone.now, editable=False)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", editable=False
    )

    class Meta:
        default_permissions = ()
        verbose_name_plural = "sampling policies"

    def __str__(self) -> str:
        of = " and ".join(filter(None, [self.department, self.model])) or "everything"
        return f"{self.percent.normalize():f} % of {of}"

    def covers(self, started: datetime, department: str, model: str) -> bool:
        return (
            started >= self.made
            and self.department in ("", department)
            and self.model in ("", model)
        )


class ReviewQuerySet(models.QuerySet["Review"]):
    def waiting(self) -> "ReviewQuerySet":
        return self.filter(state=Review.State.WAITING)

    def not_of(self, reviewer) -> "ReviewQuerySet":
        """Nobody reviews their own."""
        return self.exclude(conversation__owner=reviewer)

    def free(self, now: datetime) -> "ReviewQuerySet":
        """Claimed by nobody, or by somebody whose lease is over."""
        return self.waiting().filter(models.Q(assignee=None) | models.Q(lease__lt=now))

    def held_by(self, reviewer, now: datetime) -> "ReviewQuerySet":
        return self.waiting().filter(
            models.Q(lease=None) | models.Q(lease__gte=now), assignee=reviewer
        )

    def overdue(self, now: datetime) -> "ReviewQuerySet":
        return self.waiting().filter(due__lt=now)

    # The next three are read in the order of conversations' ids, each from an index of its own.

    def decided(self) -> "ReviewQuerySet":
        """And not come back since."""
        return self.filter(state=Review.State.DECIDED)

    def last_decided(self, disposition: str) -> "ReviewQuerySet":
        """Whether or not they wait again. (That a decision is about its own conversation goes without saying, but not to a planner.)"""
        return self.filter(
            decision__disposition=disposition, decision__conversation=models.F("conversation")
        )

    def gone_on(self) -> "ReviewQuerySet":
        """With calls that the last decision does not cover. They wait: the seal of such a call brings them back, within seconds."""
        return self.waiting().filter(
            models.Exists(calls_since("decision__newest", of="conversation"))
        )

    def gravest_first(self) -> "ReviewQuerySet":
        return self.order_by("-severity", "entered", "conversation")


def calls_since(newest: str, *, of: str) -> models.QuerySet[Snapshot]:
    """Of an outer query's conversation: closed, and beyond what a decision covers. None where there is no decision."""
    return Snapshot.objects.filter(
        conversation=models.OuterRef(of), id__gt=models.OuterRef(newest)
    ).exclude(status=Snapshot.Status.PENDING)


class Review(models.Model):
    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        DECIDED = "decided", "decided"

    class Source(models.TextChoices):
        SAMPLED = "sampled", "drawn"
        CHOSEN = "chosen", "chosen by a reviewer"
        ASSIGNED = "assigned", "assigned"
        REOPENED = "reopened", "went on after a decision"
        ESCALATED = "escalated", "escalated"

    class Severity(models.IntegerChoices):
        ROUTINE = 1, "routine"
        RAISED = 2, "raised"
        HIGH = 3, "high"

    conversation = models.OneToOneField(
        "Conversation", models.CASCADE, primary_key=True, related_name="review"
    )
    state = models.TextField(choices=State, default=State.WAITING)
    source = models.TextField(choices=Source)
    severity = models.SmallIntegerField(choices=Severity, default=Severity.ROUTINE)
    policy = models.ForeignKey(
        SamplingPolicy,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="that drew it",
    )
    entered = models.DateTimeField(default=timezone.now)
    due = models.DateTimeField()
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    lease = models.DateTimeField(
        null=True, help_text="until when the claim holds; none: assigned, for as long as it takes"
    )
    decision = models.ForeignKey(
        Decision, models.PROTECT, null=True, related_name="+", db_index=False, help_text="the last"
    )

    objects = ReviewQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(
                models.F("severity").desc(),
                "entered",
                "conversation",
                name="review_queue",
                condition=models.Q(state="waiting"),
            ),
            models.Index("state", "conversation", name="review_state"),
            models.Index(
                "assignee",
                name="review_assignee",
                condition=models.Q(state="waiting", assignee__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.conversation_id}"

    def free(self, now: datetime) -> bool:
        """Claimed by nobody, or by somebody whose lease is over; or decided."""
        return (
            self.state != self.State.WAITING
            or self.assignee_id is None
            or (self.lease is not None and self.lease < now)
        )

    def held_by_another(self, reviewer, now: datetime) -> bool:
        return not self.free(now) and self.assignee_id != reviewer.pk
