"""The chain over what was closed: gapless numbers, each link made from the one before it and a digest of the row."""

from django.db import models


class Seal(models.Model):
    """Appended by the worker alone (conversations.sealing). The number is the cursor of every export and feed."""

    number = models.BigIntegerField(primary_key=True)
    kind = models.TextField(help_text="what was sealed: snapshot")
    subject = models.UUIDField(unique=True)
    digest = models.BinaryField()
    link = models.BinaryField()
    sealed = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.number} {self.kind} {self.subject}"
