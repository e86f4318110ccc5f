"""What a model said about one conversation as a whole. A view of the call that asked it: conversations.report.assessments makes it, and can again."""

from django.conf import settings
from django.db import models

from .snapshot import Snapshot


class Assessment(models.Model):
    """A later one stands beside it."""

    call = models.OneToOneField(
        Snapshot,
        models.CASCADE,
        primary_key=True,
        related_name="assessment",
        help_text="that asked for it",
    )
    conversation = models.ForeignKey(
        "Conversation", models.CASCADE, related_name="assessments", db_index=False
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )
    newest = models.UUIDField(
        null=True, help_text="the newest call that it covers: what is said later was not assessed"
    )
    made = models.DateTimeField()
    model = models.TextField()
    chat_summary = models.TextField()
    description = models.TextField()
    llm_deliverables = models.TextField()
    languages = models.TextField()
    satisfaction_score = models.FloatField(help_text="0 to 10")
    work_related = models.BooleanField()
    user_seconds_saved = models.FloatField()
    assistant_seconds_saved = models.FloatField(
        help_text="of a person who could have done it in the model's place"
    )
    assistant_wage = models.FloatField(help_text="US dollars an hour of that person")

    class Meta:
        default_permissions = ()
        indexes = [models.Index("conversation", "call", name="assessment_conversation")]

    def __str__(self) -> str:
        return str(self.call_id)
