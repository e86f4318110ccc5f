"""What a model said about one conversation as a whole.

A view of the call that requested it: conversations.report.assessments makes it, and can again.
"""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .snapshot import Snapshot


class Assessment(models.Model):
    """One assessment; a later one of the same conversation stands beside it."""

    call = models.OneToOneField(
        Snapshot,
        models.CASCADE,
        primary_key=True,
        related_name="assessment",
        help_text=_("the call that requested it"),
    )
    conversation = models.ForeignKey(
        "Conversation", models.CASCADE, related_name="assessments", db_index=False
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )
    newest = models.UUIDField(
        null=True, help_text=_("the newest call that it covers; later messages were not assessed")
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
        help_text=_("of a human assistant who could have done the work instead")
    )
    assistant_wage = models.FloatField(help_text=_("US dollars an hour for that assistant"))

    class Meta:
        default_permissions = ()
        indexes = [models.Index("conversation", "call", name="assessment_conversation")]

    def __str__(self) -> str:
        return str(self.call_id)
