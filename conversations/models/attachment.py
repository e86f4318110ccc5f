"""A file that was part of a message.

The bytes lie in Django's storage under their sha256; a row places them in a conversation.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Attachment(models.Model):
    conversation = models.ForeignKey(
        "Conversation", models.CASCADE, null=True, related_name="attachments", db_index=False
    )
    sha256 = models.BinaryField(max_length=32)
    size = models.BigIntegerField(help_text="bytes")
    media_type = models.TextField(
        help_text=_("as the sender declared it; never sent to a browser unchecked")
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "conversation", "sha256", name="attachment_once", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.media_type} {bytes(self.sha256).hex()[:12]}"
