"""What people are told besides the pages: by mail, or to the company's own webhook.

A row is told once it was delivered; until then it is tried again. It names rows of the record and
members of staff, and nothing of what was said.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

PAUSE, LONGEST_PAUSE = 60, 3600  # seconds after the first failed try, and at most


class NoticeFeed(models.Model):
    """One row: how far the sealed audit trail was read for notices."""

    number = models.BigIntegerField(help_text=_("Number of the last seal that was read."))

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"up to seal {self.number}"


class NoticeQuerySet(models.QuerySet["Notice"]):
    def waiting(self) -> "NoticeQuerySet":
        return self.filter(delivered=None)

    def due(self, now: datetime) -> "NoticeQuerySet":
        return self.waiting().filter(due__lte=now).order_by("id").select_related("recipient")

    def for_webhook(self) -> "NoticeQuerySet":
        return self.filter(recipient=None)

    def for_people(self) -> "NoticeQuerySet":
        """Leave out accounts that were deactivated meanwhile."""
        return self.filter(recipient__is_active=True)

    def failing(self) -> "NoticeQuerySet":
        return self.waiting().exclude(problem="")

    def made_before(self, then: datetime) -> "NoticeQuerySet":
        return self.filter(made__lt=then)


class Notice(models.Model):
    class Kind(models.TextChoices):
        """What it tells. The column has no choices, so that a new kind needs no migration."""

        SELF_GRANTED = "self_granted", _("an account gave itself a right")
        NOT_WHOLE = "not_whole", _("the check of the record failed")
        ESCALATED = "escalated", _("a conversation was escalated")
        ASKED = "asked", _("information about a conversation is needed")
        ASSIGNED = "assigned", _("a conversation was assigned")
        OVERDUE = "overdue", _("reviews are overdue")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.TextField()
    subject = models.TextField(help_text=_("what it is about: an event, a run of verify, a day"))
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        related_name="+",
        help_text=_("the account that gets a mail; empty: the webhook"),
    )
    facts = models.TextField(help_text=_("JSON that its words are made of"))
    made = models.DateTimeField(default=timezone.now)
    due = models.DateTimeField(default=timezone.now, help_text=_("when the next try begins"))
    tries = models.IntegerField(default=0, help_text=_("tries that failed"))
    problem = models.TextField(default="", help_text=_("why the last try failed"))
    delivered = models.DateTimeField(null=True)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                "kind", "subject", "recipient", name="notice_once", nulls_distinct=False
            )
        ]
        indexes = [models.Index("due", name="notice_waiting", condition=models.Q(delivered=None))]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"

    def mark_delivered(self) -> None:
        self.delivered, self.problem = timezone.now(), ""
        self.save(update_fields=["delivered", "problem"])

    def mark_failed(self, problem: str, retry_after: float = 0) -> None:
        """Make it due again: after pauses that double, and not before `retry_after` seconds."""
        self.tries, self.problem = self.tries + 1, problem
        pause = min(LONGEST_PAUSE, PAUSE * 2.0 ** min(self.tries - 1, 30))
        self.due = timezone.now() + timedelta(seconds=max(pause, retry_after))
        self.save(update_fields=["tries", "problem", "due"])
