"""The chain over all evidence: gapless numbers, and links.

Each link is made from the one before it and a digest of the row.
"""

from datetime import UTC

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..ledger import SealEntry


class Seal(models.Model):
    """One link of the chain, appended by the worker alone (conversations.proof.sealing).

    The number is the cursor of every export and feed.
    """

    number = models.BigIntegerField(primary_key=True)
    kind = models.TextField(help_text=_("kind of the sealed row: snapshot, decision, auditevent"))
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


class Verification(models.Model):
    """One run of `manage.py verify`: it tells when the record was last found intact."""

    began = models.DateTimeField()
    ended = models.DateTimeField(auto_now_add=True)
    seals = models.BigIntegerField(help_text=_("number of seals that were verified"))
    problem = models.TextField(
        blank=True, help_text=_("the first problem; empty where there is none")
    )

    class Meta:
        get_latest_by = "ended"

    def __str__(self) -> str:
        return self.problem or f"{self.seals:,} seals hold"
