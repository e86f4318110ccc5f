"""One message at its place in a conversation's tree. Written once, never changed.

The tree is of messages exactly as they were sent: the id is a function of the conversation and of
every message up to this one, so inserting is idempotent and a request is a path. `path_hash` is the
same for all spellings of one path (see conversations.record.threads): it finds the conversation
that a client continues.
"""

from collections.abc import Collection
from uuid import UUID

from django.db import models
from django.db.models.lookups import LessThanOrEqual

from .snapshot import octets


class MessageQuerySet(models.QuerySet["Message"]):
    def for_owner(self) -> "MessageQuerySet":
        """Leave out the prompts of use cases: they are the gateway's, and stay on the server."""
        return self.exclude(id=models.F("snapshot__preamble"), snapshot__use_case__gt="")

    def without_texts(self) -> "MessageQuerySet":
        """Load the rows with the bytes of their texts, as `size`, in place of the texts."""
        return self.defer("text", "raw").annotate(size=octets("text") + octets("raw"))

    def with_params(self, ends: Collection[UUID], most: int) -> "MessageQuerySet":
        """Load as `said` the params of the calls that brought these, up to so many bytes of all.

        Of the others, and of what comes behind that, none.
        """
        size = models.Case(models.When(id__in=ends, then=octets("snapshot__params")), default=0)
        held = models.Window(models.Sum(size), order_by="id")
        is_held = models.Q(LessThanOrEqual(held, most)) & models.Q(id__in=ends)
        said = models.When(is_held, then="snapshot__params")
        return self.annotate(said=models.Case(said, default=None))


class Message(models.Model):
    class Origin(models.TextChoices):
        SENT = "sent", "sent by the caller"
        RELAYED = "relayed", "relayed by the gateway"
        CLAIMED = "claimed", "claimed by the caller"  # an answer that was never relayed here

    id = models.UUIDField(primary_key=True, editable=False)
    conversation = models.ForeignKey("Conversation", models.CASCADE, related_name="messages")
    snapshot = models.ForeignKey(
        "Snapshot",
        models.DO_NOTHING,
        related_name="messages",
        db_index=False,
        help_text="the call that brought it",
    )
    parent = models.ForeignKey(
        "self", models.DO_NOTHING, null=True, related_name="+", db_index=False
    )
    depth = models.IntegerField()
    role = models.TextField()
    text = models.TextField(null=True, help_text="the content, when it is a string")
    raw = models.TextField(null=True, help_text="JSON of every other field")
    origin = models.TextField(choices=Origin)
    echo_of = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        null=True,
        related_name="+",
        db_index=False,
        help_text="the relayed reply that this repeats in another spelling; "
        "its text is that one's, stripped",
    )
    path_hash = models.BinaryField()

    objects = MessageQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index("path_hash", name="message_thread", condition=models.Q(role="assistant"))
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.id}"
