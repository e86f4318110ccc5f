"""Calls that the receiver of submissions has not taken yet (proxy.jobs.submissions).

A call that it took leaves no row.
"""

import random
from datetime import timedelta
from enum import StrEnum

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

REFUSALS = 3  # tries that the receiver refused as they are: then a call is given up
FAILURES = 10  # tries that failed while the receiver took others: then too


class SubmissionFeed(models.Model):
    """One row: how far the sealed log was taken up, and what is known of the receiver."""

    number = models.BigIntegerField(help_text=_("Number of the last seal that was taken up."))
    took = models.DateTimeField(null=True, help_text=_("When the receiver last took a call."))
    resumes = models.DateTimeField(
        null=True, help_text=_("The receiver asked for no call before this time.")
    )

    def __str__(self) -> str:
        return f"up to seal {self.number}"


class SubmissionQuerySet(models.QuerySet["Submission"]):
    def waiting(self) -> "SubmissionQuerySet":
        return self.filter(given_up=None)

    def given_up(self) -> "SubmissionQuerySet":
        return self.filter(given_up__isnull=False)

    def due(self) -> "SubmissionQuerySet":
        """Select the waiting calls whose time has come, in the order of the log."""
        return self.waiting().filter(due__lte=Now()).order_by("number")

    def resend(self) -> int:
        """Make the given-up calls due, as if they had never been tried. Return how many."""
        return self.given_up().update(given_up=None, due=Now(), tried=None, tries=0, blamed=0)


class Submission(models.Model):
    """A call on its way: due at a time, or given up and on the dead-letter list.

    What was said stays in the record alone.
    """

    class State(StrEnum):
        WAITING = "waiting"
        GIVEN_UP = "given up"

    number = models.BigIntegerField(primary_key=True, help_text=_("Number of the call's seal."))
    snapshot = models.UUIDField()
    sealed = models.DateTimeField()
    due = models.DateTimeField(
        db_default=Now(),
        help_text=_("When the next try begins. During a try: when it counts as lost."),
    )
    tried = models.DateTimeField(null=True, help_text=_("When the last try failed."))
    tries = models.IntegerField(default=0, help_text=_("Tries that failed."))
    blamed = models.IntegerField(
        default=0,
        help_text=_(
            "Failed tries that count against this call: "
            "the receiver refused it, or took other calls meanwhile."
        ),
    )
    problem = models.TextField(default="", help_text=_("Why the last try failed."))
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
    def state(self) -> State:
        return self.State.GIVEN_UP if self.given_up else self.State.WAITING

    def mark_taken(self) -> None:
        with transaction.atomic():
            self.delete()
            SubmissionFeed.objects.update(took=Now())

    def mark_failed(self, problem: str, *, refused: bool = False, retry_after: float = 0) -> bool:
        """Make the call due again later, at the earliest after `retry_after` seconds.

        Return True if it is given up instead, since it was refused, or since others pass. While the
        receiver takes nothing at all, no call is given up.
        """
        took = SubmissionFeed.objects.values_list("took", flat=True).get()
        self.tries, self.problem = self.tries + 1, problem
        self.blamed += refused or bool(took and self.tried and took > self.tried)
        gives_up = self.blamed >= (REFUSALS if refused else FAILURES)
        later = Now() + timedelta(seconds=max(pause_after(self.tries), retry_after))
        Submission.objects.filter(pk=self.pk).update(
            tries=self.tries,
            blamed=self.blamed,
            problem=problem,
            tried=Now(),
            due=later,
            given_up=Now() if gives_up else None,
        )
        return gives_up


def pause_after(tries: int) -> float:
    """Return the seconds before the next try.

    They double, and are spread, so that what failed together does not come back together.
    """
    doubled = settings.SUBMISSIONS_PAUSE * 2.0 ** min(tries - 1, 30)
    return min(settings.SUBMISSIONS_LONGEST_PAUSE, doubled) * random.uniform(0.5, 1)  # noqa: S311
