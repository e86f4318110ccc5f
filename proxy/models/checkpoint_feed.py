"""How far the receiver of checkpoints has them (proxy.jobs.checkpoints)."""

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class CheckpointFeed(models.Model):
    """One row. Where it is set back, checkpoints are sent again."""

    number = models.BigIntegerField(help_text=_("Seal of the last checkpoint that was taken."))
    took = models.DateTimeField(null=True, help_text=_("When the receiver last took one."))
    failing_since = models.DateTimeField(
        null=True, help_text=_("The first failed try since; empty while none fails.")
    )
    problem = models.TextField(default="", help_text=_("Why the last try failed."))
    resumes = models.DateTimeField(
        null=True, help_text=_("The receiver asked for nothing before this time.")
    )

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"up to seal {self.number}"

    def mark_taken(self, number: int) -> None:
        self.number, self.took = number, timezone.now()
        self.failing_since = self.resumes = None
        self.problem = ""
        self.save()

    def mark_failed(self, problem: str, retry_after: float) -> None:
        now = timezone.now()
        self.failing_since, self.problem = self.failing_since or now, problem
        self.resumes = now + timedelta(seconds=retry_after)
        self.save()

    def measure_delay(self, now: datetime) -> timedelta:
        """Return since when checkpoints wait for the receiver; zero while it takes them."""
        return now - self.failing_since if self.failing_since else timedelta()
