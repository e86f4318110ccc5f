"""What reviewers decided about conversations. Opening is not reviewing: this is. Evidence: appended, never changed."""

from uuid import UUID

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7


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
    conversation = models.ForeignKey("Conversation", models.PROTECT, related_name="decisions", db_index=False)
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False)
    disposition = models.TextField(choices=Disposition)
    reason = models.TextField(db_default="")
    note = models.TextField(db_default="")
    made = models.DateTimeField(default=timezone.now)
    newest = models.UUIDField(help_text="the newest call that it covers: what is said later has not been reviewed")

    objects = DecisionQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index("conversation", "id", name="decision_conversation"),
            models.Index("reviewer", "id", name="decision_reviewer"),
        ]

    def __str__(self) -> str:
        return f"{self.get_disposition_display()}, {self.made:%Y-%m-%d %H:%M}"
