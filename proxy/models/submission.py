"""What the receiver of submissions has not taken yet (proxy.jobs.submissions). A call that it took leaves no row."""

import random
from datetime import timedelta

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now

REFUSALS = 3  # tries that the receiver refused as they are, after which a call is given up
FAILURES = 10  # tries that failed while it took others


class SubmissionFeed(models.Model):
    """One row: how far the sealed log was taken up, and what is known of the receiver."""

    number = models.BigIntegerField(help_text="of the last seal that was looked at")
    took = models.DateTimeField(null=True, help_text="when the receiver last took a call")
    resumes = models.DateTimeField(null=True, help_text="until then it wants none")

    def __str__(self) -> str:
        return f"up to seal {self.number}"


class SubmissionQuerySet(models.QuerySet["Submission"]):
    def waiting(self) -> "SubmissionQuerySet":
        return self.filter(given_up=None)

    def given_up(self) -> "SubmissionQuerySet":
        return self.filter(given_up__isnull=False)

    def due(self) -> "SubmissionQuerySet":
        """In the order of the log."""
        return self.waiting().filter(due__lte=Now()).order_by("number")

    def resend(self) -> int:
        """As if it had never been tried. How many."""
        return self.given_up().update(given_up=None, due=Now(), tried=None, tries=0, blamed=0)


class Submission(models.Model):
    """A call on its way: due at a time, or given up and on the dead-letter list. Its words stay where they are, in the record."""

    number = models.BigIntegerField(primary_key=True, help_text="of its seal")
    snapshot = models.UUIDField()
    sealed = models.DateTimeField()
    due = models.DateTimeField(
        db_default=Now(), help_text="the next try; of one under way: when it is taken for lost"
    )
    tried = models.DateTimeField(null=True, help_text="when a try last failed")
    tries = models.IntegerField(default=0, help_text="that failed")
    blamed = models.IntegerField(
        default=0, help_text="of them, those that were not the receiver's fault alone"
    )
    problem = models.TextField(default="", help_text="of the last try")
    given_up = models.DateTimeField(null=True)

    objects = SubmissionQuerySet.as_manager()

    class Meta:
        verbose_name = "undelivered submission"
        default_permissions = ("view", "change")
        indexes = [
            models.Index("number", name="submission_waiting", condition=models.Q(given_up=None))
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.snapshot}"

    @property
    def state(self) -> str:
        return "given up" if self.given_up else "waits"

    def taken(self) -> None:
        with transaction.atomic():
            self.delete()
            SubmissionFeed.objects.update(took=Now())

    def failed(self, problem: str, *, refused: bool = False, retry_after: float = 0) -> bool:
        """Due again later. True: given up instead, since it was refused, or others pass. While the receiver takes nothing at all, nobody is given up."""
        took = SubmissionFeed.objects.values_list("took", flat=True).get()
        self.tries, self.problem = self.tries + 1, problem
        self.blamed += refused or bool(took and self.tried and took > self.tried)
        gives_up = self.blamed >= (REFUSALS if refused else FAILURES)
        later = Now() + timedelta(seconds=max(pause(self.tries), retry_after))
        Submission.objects.filter(pk=self.pk).update(
            tries=self.tries,
            blamed=self.blamed,
            problem=problem,
            tried=Now(),
            due=later,
            given_up=Now() if gives_up else None,
        )
        return gives_up


def pause(tries: int) -> float:
    """Seconds before the next try: doubling, and spread, so that what failed together does not come back together."""
    return min(
        settings.SUBMISSIONS_LONGEST_PAUSE, settings.SUBMISSIONS_PAUSE * 2.0 ** min(tries - 1, 30)
    ) * random.uniform(0.5, 1)  # noqa: S311
