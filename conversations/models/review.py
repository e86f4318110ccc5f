"""The queue of conversations that wait for a reviewer, and what reviewers decided about them.

A Decision is evidence: appended, never changed. It names what it covers: the calls that its maker
could see, the pages that were opened, and the messages that no decision covers yet. A Review is
work: where one conversation stands in the queue. A conversation that was never chosen, drawn or
decided has none. Only conversations.review writes them; opening a conversation is no review.
"""

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol, cast
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Coalesce
from django.db.models.lookups import In
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from .other_name import folded_column
from .snapshot import Snapshot
from .user import AnyUser, User


class DecisionQuerySet(models.QuerySet["Decision"]):
    def about(self, conversation: UUID) -> "DecisionQuerySet":
        return self.filter(conversation=conversation)

    def newest_first(self) -> "DecisionQuerySet":
        return self.order_by("-id")

    def conclusive(self) -> "DecisionQuerySet":
        """Return those that end a review: no hand-over to a Lead, no question."""
        return self.exclude(disposition__in=Decision.HANDED_ON)


class Decision(models.Model):
    """What a reviewer decided, and about how much.

    Decisions of older versions say nothing from `seen` on: they were about all calls up to
    `newest` that were closed when they were made.
    """

    class Disposition(models.TextChoices):
        NO_ISSUE = "no_issue", "no issue"
        FALSE_POSITIVE = "false_positive", "false positive"
        VIOLATION = "violation", "violation"
        ESCALATED = "escalated", "escalated"
        NEEDS_INFORMATION = "needs_information", "needs information"

    HANDED_ON = (Disposition.ESCALATED, Disposition.NEEDS_INFORMATION)

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
        help_text=_("the newest call that it covers; later messages have not been reviewed")
    )
    seen = ArrayField(
        models.UUIDField(),
        null=True,
        help_text=_("the closed calls of the conversation when the page or list was made"),
    )
    page = models.UUIDField(
        null=True,
        help_text=_("the audit event of the page with the form; empty: decided from a list"),
    )
    pages = ArrayField(
        models.UUIDField(),
        null=True,
        help_text=_("the audit events by which its reviewer was shown messages, or the list"),
    )
    shown = models.IntegerField(null=True, help_text=_("messages that its reviewer was shown"))
    messages = models.IntegerField(null=True, help_text=_("messages of the conversation then"))
    opened = models.IntegerField(null=True, help_text=_("branches that its reviewer opened"))
    branches = models.IntegerField(null=True, help_text=_("branches of the conversation then"))
    uncovered = ArrayField(
        models.UUIDField(),
        null=True,
        help_text=_("messages that neither it nor a decision before it covers"),
    )
    addressee = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text=_("who is to act: the Lead of an escalation, or who is asked for information"),
    )
    until = models.DateField(null=True, help_text=_("the day by which information is needed"))
    seconds = models.IntegerField(
        null=True, help_text=_("from the first page that was opened for it to the decision")
    )
    length = models.BigIntegerField(
        null=True, help_text=_("bytes of the messages that were shown for it")
    )
    drawn = models.BooleanField(null=True, help_text=_("drawn to be decided by a second reviewer"))
    second_of = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text=_("the decision of another reviewer that it is beside"),
    )

    objects = DecisionQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index("conversation", "id", name="decision_conversation"),
            models.Index("reviewer", "id", name="decision_reviewer"),
            models.Index("disposition", "conversation", name="decision_disposition"),
            models.Index(
                "second_of",
                "id",
                name="decision_second_of",
                condition=models.Q(second_of__isnull=False),
            ),
        ]
        constraints = [models.UniqueConstraint("page", name="decision_page")]

    def __str__(self) -> str:
        return f"{self.get_disposition_display()}, {self.made:%Y-%m-%d %H:%M}"

    def saw(self, call: UUID, closed: datetime | None) -> bool:
        """Tell whether the call was among those that its maker could see. Like `was_seen`."""
        if self.seen is not None:
            return call in self.seen
        return call <= self.newest and closed is not None and closed <= self.made

    @property
    def coverage(self) -> str:
        """How much it is about, in words; empty for a decision of an older version."""
        if self.pages is None:
            return ""
        if self.page is None:
            return gettext("decided from a list, without opening it")
        words = describe_shown(self.shown, self.messages, self.opened, self.branches)
        if self.uncovered or self.shown == self.messages:
            return words
        return gettext("%(words)s; decisions before it cover the others") % {"words": words}


def describe_shown(
    shown: int | None, messages: int | None, opened: int | None, branches: int | None
) -> str:
    """Say “100 of 152 messages, 1 of 2 branches”; a call in no conversation has no branch."""
    if not branches:
        return gettext("the whole call") if shown else gettext("a part of the call")
    of_messages = ngettext(
        "%(shown)d of %(all)d message", "%(shown)d of %(all)d messages", messages or 0
    )
    of_branches = ngettext(
        "%(opened)d of %(all)d branch", "%(opened)d of %(all)d branches", branches or 0
    )
    return ", ".join(
        [
            of_messages % {"shown": shown, "all": messages},
            of_branches % {"opened": opened, "all": branches},
        ]
    )


class SamplingPolicyQuerySet(models.QuerySet["SamplingPolicy"]):
    def known_to(self, departments: list[str]) -> "SamplingPolicyQuerySet":
        """Return those that draw of these departments; without departments, all."""
        return self.filter(department__in=["", *departments]) if departments else self


class SamplingPolicy(models.Model):
    """A share of new conversations, of a department, a model or all, that is drawn for review."""

    percent = models.DecimalField(
        max_digits=5, decimal_places=2, help_text=_("percentage of new conversations")
    )
    department = models.CharField(
        max_length=150,
        blank=True,
        db_default="",
        help_text=_("department of the owner; leave empty for all departments"),
    )
    model = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text=_("model of the first answer; leave empty for all models"),
    )
    active = models.BooleanField(default=True)
    seed = models.BinaryField(
        max_length=32,
        editable=False,
        help_text=_("the draw is HMAC(seed, root id), so the seed can repeat it"),
    )
    made = models.DateTimeField(default=timezone.now, editable=False)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", editable=False
    )

    objects = SamplingPolicyQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name_plural = "sampling policies"

    def __str__(self) -> str:
        covered = " and ".join(filter(None, [self.department, self.model])) or _(
            "all conversations"
        )
        return f"{self.percent.normalize():f} % of {covered}"

    def covers(self, started: datetime, department: str, model: str) -> bool:
        return (
            started >= self.made
            and self.department in ("", department)
            and self.model in ("", model)
        )


class Place(NamedTuple):
    """Where a review stands among the others, gravest first: it names a page of the queue.

    Written as 3.1764378731123456.0199…: the severity, the microsecond in which it entered, its id.
    """

    severity: int
    entered: datetime
    id: UUID

    def __str__(self) -> str:
        since = (self.entered - EPOCH) // timedelta(microseconds=1)
        return f"{self.severity}.{since}.{self.id.hex}"

    @classmethod
    def read(cls, text: str) -> "Place":
        """Raise ValueError where the text is no place."""
        found = PLACE.fullmatch(text)
        if found is None:
            raise ValueError(text)
        entered = EPOCH + timedelta(microseconds=int(found["since"]))
        return cls(Review.Severity(int(found["severity"])), entered, UUID(found["id"]))


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLACE = re.compile(r"(?P<severity>\d)\.(?P<since>\d{1,17})\.(?P<id>[0-9a-f]{32})", re.ASCII)


class Behind(Protocol):
    """Who may be behind a conversation: a person, by all that the person is known by."""

    @property
    def accounts(self) -> Collection[int]: ...
    @property
    def names(self) -> Collection[str]: ...  # folded
    @property
    def claims(self) -> Collection[tuple[int, str]]: ...  # accounts and their end users


def is_about(person: Behind, path: str = "conversation__") -> models.Q:
    """Select what the person said, or what a shared key claims that they said.

    `path` leads to conversations: from reviews, where none is given.
    """
    end_user = folded_column(f"{path}end_user")
    own = models.Q(**{f"{path}owner__in": person.accounts})
    own |= models.Q(In(end_user, person.names))
    for account, name in person.claims:
        own |= models.Q(**{f"{path}owner": account, f"{path}end_user": name})
    return own


def is_barred(person: Behind) -> models.Q:
    """Select reviews that are not this person's to make.

    Of what the person said, or a shared key claims that they said; and second ones of what they
    decided.
    """
    decided = models.Q(source=Review.Source.SECOND, decision__reviewer__in=person.accounts)
    return is_about(person) | decided


class ReviewQuerySet(models.QuerySet["Review"]):
    def waiting(self) -> "ReviewQuerySet":
        return self.filter(state=Review.State.WAITING)

    def open_to(self, person: "Behind") -> "ReviewQuerySet":
        """Leave out a reviewer's own conversations and decisions: another must review those."""
        return self.exclude(is_barred(person))

    def of_owners(self, **lookups: Any) -> "ReviewQuerySet":
        """Return those whose person is such a one."""
        return self.filter(**{f"conversation__owner__{name}": lookups[name] for name in lookups})

    def free(self, now: datetime) -> "ReviewQuerySet":
        """Return those that no reviewer claimed, or whose claim has ended."""
        return self.waiting().filter(models.Q(assignee=None) | models.Q(lease__lt=now))

    def held_by(self, reviewer: AnyUser, now: datetime) -> "ReviewQuerySet":
        return self.waiting().filter(
            models.Q(lease=None) | models.Q(lease__gte=now), assignee=cast(User, reviewer)
        )

    def second(self) -> "ReviewQuerySet":
        """Return those that wait for a second reviewer."""
        return self.waiting().filter(source=Review.Source.SECOND)

    def overdue(self, now: datetime) -> "ReviewQuerySet":
        return self.waiting().filter(due__lt=now)

    # The next three are read in the order of conversations' ids, each from an index of its own.

    def decided(self) -> "ReviewQuerySet":
        """Return those that have not come back since their decision."""
        return self.filter(state=Review.State.DECIDED)

    def last_decided(self, disposition: str) -> "ReviewQuerySet":
        """Return those last decided so, whether or not they wait again.

        That a decision is about its own conversation is repeated here for the planner.
        """
        return self.filter(
            decision__disposition=disposition, decision__conversation=models.F("conversation")
        )

    def gone_on(self) -> "ReviewQuerySet":
        """Return those with calls that the last decision does not cover.

        They wait: the seal of such a call brings them back, within seconds.
        """
        return self.waiting().filter(
            models.Exists(calls_unseen("decision", conversation="conversation"))
        )

    def gravest_first(self) -> "ReviewQuerySet":
        return self.order_by("-severity", "entered", "pk")

    def read_page(
        self, size: int, *, after: Place | None = None, before: Place | None = None
    ) -> "list[Review]":
        """Read up to `size` rows, gravest first: from a place on, or up to it, itself left out.

        They are picked from two stretches of the index, the rest of that severity and the others:
        under one condition for both the database would read again all that stands before the page.
        """
        ordered = self.gravest_first()
        if after:
            rest = ordered.filter(severity=after.severity, entered__gte=after.entered)
            rest = rest.filter(models.Q(entered__gt=after.entered) | models.Q(pk__gt=after.id))
            others = ordered.filter(severity__lt=after.severity)
        elif before:
            ordered = ordered.reverse()
            rest = ordered.filter(severity=before.severity, entered__lte=before.entered)
            rest = rest.filter(models.Q(entered__lt=before.entered) | models.Q(pk__lt=before.id))
            others = ordered.filter(severity__gt=before.severity)
        else:
            return list(ordered[:size])
        picked = rest.values("pk")[:size].union(others.values("pk")[:size], all=True)
        rows = list(ordered.filter(pk__in=picked)[:size])
        return rows[::-1] if before else rows


def calls_unseen(decision: str, *, conversation: str) -> models.QuerySet[Snapshot]:
    """Select the closed calls of an outer query's conversation that a decision did not see.

    `decision` and `conversation` name paths of that query. No decision, no calls.
    """
    return (
        Snapshot.objects.filter(conversation=models.OuterRef(conversation))
        .exclude(status=Snapshot.Status.PENDING)
        .filter(~models.Q(was_seen(decision)))
    )


def was_seen(decision: str) -> Coalesce:
    """Compare a call with what the decision of an outer query saw; null where there is none.

    By the ids of the calls: neither the order of ids nor that of times is the order in which
    closes are committed.
    """
    before = models.Q(
        id__lte=models.OuterRef(f"{decision}__newest"),
        closed__lte=models.OuterRef(f"{decision}__made"),
    )
    return Coalesce(
        IsAmong("id", models.OuterRef(f"{decision}__seen")),
        models.ExpressionWrapper(before, output_field=models.BooleanField()),
    )


class IsAmong(models.Func):
    """Whether a value is in an array."""

    template = "(%(expressions)s))"
    arg_joiner = " = ANY("
    output_field = models.BooleanField()


class Review(models.Model):
    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        DECIDED = "decided", "decided"

    class Source(models.TextChoices):
        SAMPLED = "sampled", "drawn"
        CHOSEN = "chosen", "chosen by a reviewer"
        ASSIGNED = "assigned", "assigned"
        REOPENED = "reopened", _("continued after a decision")
        ESCALATED = "escalated", "escalated"
        PART = "part", _("decided in part")
        INFORMATION = "information", _("waits for information")
        SECOND = "second", _("drawn for a second reviewer")

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
        help_text=_("the sampling policy that drew it"),
    )
    entered = models.DateTimeField(default=timezone.now)
    due = models.DateTimeField()
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    lease = models.DateTimeField(
        null=True, help_text=_("when the claim ends; empty for an assignment, which does not end")
    )
    decision = models.ForeignKey(
        Decision,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text=_("the latest decision"),
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

    @property
    def place(self) -> Place:
        return Place(self.severity, self.entered, self.pk)

    @property
    def is_second(self) -> bool:
        """Whether it waits for another reviewer than the one who decided."""
        return self.state == self.State.WAITING and self.source == self.Source.SECOND

    def free(self, now: datetime) -> bool:
        """Tell whether no reviewer has claimed it, the claim has ended, or it is decided."""
        return (
            self.state != self.State.WAITING
            or self.assignee_id is None
            or (self.lease is not None and self.lease < now)
        )

    def held_by_another(self, reviewer: AnyUser, now: datetime) -> bool:
        return not self.free(now) and self.assignee_id != reviewer.pk
