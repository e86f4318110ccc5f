"""The chain over all evidence: gapless numbers, each link made from the one before it and a digest of the row."""

from datetime import UTC

from django.db import models

from ..ledger import SealEntry


class Seal(models.Model):
    """Appended by the worker alone (conversations.proof.sealing). The number is the cursor of every export and feed."""

    number = models.BigIntegerField(primary_key=True)
    kind = models.TextField(help_text="what was sealed: snapshot, decision, auditevent")
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
    """One run of `manage.py verify`, for whoever asks when the record was last found whole."""

    began = models.DateTimeField()
    ended = models.DateTimeField(auto_now_add=True)
    seals = models.BigIntegerField(help_text="that were found whole")
    problem = models.TextField(blank=True, help_text="the first; empty where there is none")

    class Meta:
        get_latest_by = "ended"

    def __str__(self) -> str:
        return self.problem or f"{self.seals:,} seals hold"
