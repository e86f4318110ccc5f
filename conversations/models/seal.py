"""The chain over all evidence: gapless numbers, and links.

Each link is made from the one before it and a digest of the row.
"""

from datetime import UTC, datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..ledger import SealEntry

COMMAND = "manage.py verify"


class Seal(models.Model):
    """One link of the chain, appended by the worker alone (conversations.proof.sealing).

    The number is the cursor of every export and feed.
    """

    number = models.BigIntegerField(primary_key=True)
    kind = models.TextField(help_text=_("kind of the sealed row, such as snapshot or decision"))
    subject = models.UUIDField(unique=True)
    digest = models.BinaryField()
    link = models.BinaryField()
    sealed = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.number} {self.kind} {self.subject}"

    @property
    def entry(self) -> SealEntry:
        return SealEntry(
            self.number,
            self.kind,
            str(self.subject),
            bytes(self.digest),
            self.sealed.astimezone(UTC).isoformat(timespec="microseconds"),
        )


class VerificationQuerySet(models.QuerySet["Verification"]):
    def newest_first(self) -> "VerificationQuerySet":
        return self.order_by("-ended", "-id")

    def newest(self) -> "Verification | None":
        return self.newest_first().first()

    def begun_since(self, since: datetime) -> "VerificationQuerySet":
        return self.filter(began__gte=since)

    def of_something(self) -> "VerificationQuerySet":
        """Leave out those of a record in which nothing was sealed yet."""
        return self.exclude(seals=0, problem="")


class Verification(models.Model):
    """One run of the check (conversations.proof.runs): what it covered, and what it found."""

    by = models.TextField(
        default=COMMAND,
        db_default=COMMAND,
        help_text=_("the account, command or job that began it"),
    )
    checkpoints = models.TextField(
        blank=True,
        db_default="",
        help_text=_("the file of checkpoints that it was held against; empty: not on record"),
    )
    began = models.DateTimeField()
    ended = models.DateTimeField(auto_now_add=True)
    seals = models.BigIntegerField(help_text=_("number of seals that were verified"))
    problem = models.TextField(
        blank=True, help_text=_("what does not fit, a line each; empty where all does")
    )
    notes = models.TextField(
        blank=True, db_default="", help_text=_("what is no fault, but must be known; a line each")
    )
    confirmed = models.BigIntegerField(
        null=True, help_text=_("the last seal that a checkpoint confirms; empty: none is")
    )
    confirmed_at = models.DateTimeField(null=True, help_text=_("the time of that checkpoint"))
    keys = models.TextField(
        blank=True, db_default="", help_text=_("public keys that were trusted, a line each")
    )
    with_files = models.BooleanField(
        db_default=False, help_text=_("every attachment was read to its end")
    )

    objects = VerificationQuerySet.as_manager()

    class Meta:
        get_latest_by = "ended"

    def __str__(self) -> str:
        return self.problem or f"{self.seals:,} seals hold"

    @property
    def took(self) -> timedelta:
        return self.ended - self.began

    @property
    def unconfirmed(self) -> int:
        """How many seals came after the last checkpoint."""
        return self.seals - (self.confirmed or 0)

    @property
    def is_whole(self) -> bool:
        """Whether nothing was wrong and a checkpoint vouches for it, if anything is sealed."""
        return not self.problem and (self.confirmed is not None or not self.seals)


class SigningKey(models.Model):
    """A public key that signed checkpoints, and how far it did at one place.

    It tells an auditor what a key was, and a machine whether its file is all that it wrote. It is
    never trusted: an owner of the database can write any key here.
    """

    pk = models.CompositePrimaryKey("key", "place")
    key = models.TextField(help_text=_("hex"))
    place = models.TextField(help_text=_("the machine, and the file that it appends to"))
    first = models.BigIntegerField(help_text=_("the first seal that it signed there"))
    since = models.DateTimeField(help_text=_("when it signed that"))
    number = models.BigIntegerField(help_text=_("the last seal that it signed there"))
    at = models.DateTimeField(help_text=_("when it signed that"))

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.key
