"""One call to a model: opened before anything leaves, then closed once.

Its only writer is conversations.record.
"""

from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThan
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

SAYS_REASONING = models.Q(response__contains='"reasoning') | models.Q(
    response__contains='"thinking'
)
SMALL = 2000  # bytes of a response that are looked through at once; larger ones lie elsewhere


class CallSize(NamedTuple):
    """What it takes to make a call's request and reply again."""

    id: UUID
    bytes: int  # of its own row
    steps: int  # messages on its paths


def octets(column: str) -> Coalesce:
    """Return the bytes of a text, which are known without reading it."""
    return Coalesce(
        models.Func(column, function="octet_length", output_field=models.BigIntegerField()), 0
    )


class SnapshotQuerySet(models.QuerySet["Snapshot"]):
    def sizes(self, most: int | None = None) -> list[CallSize]:
        """Measure the first `most` of them: none of their texts is read."""
        depth = Coalesce("head__depth", 0) + Coalesce("preamble__depth", 0)
        rows = self.annotate(
            bytes=octets("params") + octets("response") + octets("classic"), steps=depth + 2
        ).values_list("id", "bytes", "steps")
        return [CallSize(*row) for row in rows[:most]]

    def reviewed_alone(self) -> "SnapshotQuerySet":
        """Return the closed calls in no conversation that are no work of the gateway's own."""
        own = (Snapshot.Kind.TITLE, Snapshot.Kind.METADATA)
        ended = self.filter(conversation=None).exclude(status=Snapshot.Status.PENDING)
        return ended.exclude(kind__in=own)

    def closed_of(self, conversation: Any) -> "SnapshotQuerySet":
        """Return the closed calls of a conversation, or the one whose row it is.

        `conversation` is an id, or a reference to one of an outer query.
        """
        alone = models.Q(pk=conversation, conversation=None)
        calls = self.filter(models.Q(conversation=conversation) | alone)
        return calls.exclude(status=Snapshot.Status.PENDING)

    def with_reasoning(self) -> "SnapshotQuerySet":
        """Keep those whose response says what the model thought, as far as its text tells."""
        return self.filter(SAYS_REASONING)

    def with_thought(self) -> "SnapshotQuerySet":
        """Load as `thought` the bytes of a response that may say what the model thought; else 0."""
        size = octets("response")
        return self.annotate(
            thought=models.Case(
                models.When(GreaterThan(size, SMALL), then=size),
                models.When(SAYS_REASONING, then=size),
                default=0,
            )
        )


class Snapshot(models.Model):
    class Kind(models.TextChoices):
        CHAT = "chat", "chat"
        IMAGE = "image", "image"
        EMBEDDING = "embedding", "embedding"
        TITLE = "title", "title"
        METADATA = "metadata", "metadata"

    COMPLETIONS = (Kind.CHAT, Kind.TITLE, Kind.METADATA)  # sent to chat completions

    class Status(models.TextChoices):
        PENDING = "pending", "pending"
        OK = "ok", "ok"
        REFUSED = "refused", "refused"  # by the gateway: nothing left
        FAILED = "failed", "failed"  # by the upstream, or on the way
        CANCELLED = "cancelled", "cancelled"  # by the caller
        INTERRUPTED = "interrupted", "interrupted"  # by the gateway's own end

    class CostSource(models.TextChoices):
        RATES = "rates", _("the upstream's own rates")
        LIST = "list", _("list price")
        PROVIDER = "provider", _("stated by the provider")
        ESTIMATE = "estimate", _("estimated tokens")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    conversation = models.ForeignKey(
        "Conversation", models.CASCADE, null=True, related_name="snapshots", db_index=False
    )
    about = models.ForeignKey(
        "Conversation",
        models.CASCADE,
        null=True,
        related_name="calls_about",
        db_index=False,
        help_text=_("the conversation that this call titles or assesses"),
    )
    covers = models.IntegerField(
        null=True, help_text=_("number of that conversation’s answered calls when it was assessed")
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )
    key = models.TextField(
        db_default="", help_text="prefix of the API key; empty for the gateway's own pages"
    )
    end_user = models.TextField(
        db_default="", help_text=_("the person for whom a shared key called")
    )
    use_case = models.TextField(
        db_default="",
        help_text=_("name of the chosen use case at that time; its system prompt is the preamble"),
    )
    kind = models.TextField(choices=Kind)
    status = models.TextField(choices=Status)
    process = models.UUIDField(null=True, help_text="the gateway process that runs the call")
    stop = models.BooleanField(db_default=False, help_text=_("a reader pressed Stop"))
    classic_id = models.UUIDField(
        null=True, help_text="the row's id in the classic gateway that it was imported from"
    )
    classic = models.TextField(
        null=True, help_text=_("JSON of what that row held and this one has no column for")
    )
    retry_of = models.ForeignKey(
        "self", models.DO_NOTHING, null=True, related_name="+", db_index=False
    )

    model = models.TextField(help_text="as requested")
    served_model = models.TextField(db_default="")
    upstream = models.TextField(db_default="")
    attempts = models.TextField(
        db_default="", help_text=_("JSON of the attempts, where the first one failed")
    )
    params = models.TextField(help_text=_("JSON of the request without its messages"))
    preamble = models.ForeignKey(
        "Message",
        models.DO_NOTHING,
        null=True,
        related_name="+",
        db_index=False,
        help_text="the last of the leading system messages",
    )
    head = models.ForeignKey(
        "Message",
        models.DO_NOTHING,
        null=True,
        related_name="+",
        db_index=False,
        help_text="the last message that was sent",
    )
    salt = models.BinaryField(null=True)
    commitment = models.BinaryField(help_text="sha256 of the salt and of the bytes that were sent")

    reply = models.ForeignKey(
        "Message",
        models.DO_NOTHING,
        null=True,
        related_name="+",
        db_index=False,
        help_text="the first choice",
    )
    response = models.TextField(
        db_default="", help_text="JSON of the reply, its messages replaced by their ids"
    )
    finish_reason = models.TextField(db_default="")
    upstream_id = models.TextField(db_default="", help_text="the upstream's own id of its reply")
    upstream_request_id = models.TextField(db_default="")
    prompt_tokens = models.IntegerField(null=True)
    completion_tokens = models.IntegerField(null=True)
    estimated = models.BooleanField(
        db_default=False, help_text=_("the gateway counted the tokens, as the upstream did not")
    )
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, help_text="US dollars")
    cost_source = models.TextField(
        db_default="", choices=CostSource, help_text=_("where the cost comes from")
    )
    error_code = models.TextField(db_default="")
    error = models.TextField(db_default="", help_text="fit to show")

    address = models.GenericIPAddressField(null=True)
    user_agent = models.TextField(db_default="")
    opened = models.DateTimeField()
    first_byte = models.DateTimeField(null=True)
    closed = models.DateTimeField(null=True)

    objects = SnapshotQuerySet.as_manager()

    class Meta:
        verbose_name = "call"
        indexes = [
            models.Index("conversation", "id", name="snapshot_conversation"),
            models.Index("owner", "id", name="snapshot_owner"),
            models.Index("model", "id", name="snapshot_model"),
            models.Index("upstream", "id", name="snapshot_upstream"),
            models.Index(
                "about", "id", name="snapshot_about", condition=models.Q(about__isnull=False)
            ),
            # Of values that few calls have; each index holds the conversation, so that a list of
            # conversations reads no calls.
            models.Index(
                "status",
                "id",
                name="snapshot_ended",
                include=["conversation"],
                condition=~models.Q(status__in=["ok", "pending"]),
            ),
            models.Index(
                "kind",
                "id",
                name="snapshot_kind",
                include=["conversation"],
                condition=~models.Q(kind="chat"),
            ),
            models.Index(
                "use_case",
                "id",
                name="snapshot_use_case",
                include=["conversation"],
                condition=~models.Q(use_case=""),
            ),
            models.Index(
                "key",
                "id",
                name="snapshot_key",
                include=["conversation"],
                condition=~models.Q(key=""),
            ),
            models.Index(
                "owner",
                "end_user",
                "id",
                name="snapshot_end_user",
                condition=~models.Q(end_user=""),
            ),
            models.Index(  # what a client may send once more
                "key",
                "id",
                name="snapshot_failed",
                condition=~models.Q(status__in=["ok", "pending"]) & ~models.Q(key=""),
            ),
            models.Index("id", name="snapshot_pending", condition=models.Q(status="pending")),
            models.Index(
                "upstream_id", name="snapshot_upstream_id", condition=~models.Q(upstream_id="")
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                "classic_id",
                name="snapshot_classic_id",
                condition=models.Q(classic_id__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_reviewed_alone(self) -> bool:
        """Like `reviewed_alone`."""
        own = (self.Kind.TITLE, self.Kind.METADATA)
        ended = self.conversation_id is None and self.status != self.Status.PENDING
        return ended and self.kind not in own

    @property
    def total_tokens(self) -> int | None:
        if self.prompt_tokens is None:
            return None
        return self.prompt_tokens + (self.completion_tokens or 0)
