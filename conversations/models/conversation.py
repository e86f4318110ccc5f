"""What one person and the models said to each other. Title and shown belong to the owner; the totals are roll-ups."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models.lookups import GreaterThanOrEqual
from uuid_utils.compat import uuid7

from .snapshot import Snapshot

LARGE = (
    20_000  # tokens; a conversation in fifty has more, in the year that manage.py generate makes up
)
TOKENS = models.F("prompt_tokens") + models.F("completion_tokens")


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def of(self, owner) -> "ConversationQuerySet":
        """The owner's own, and nobody else's: the only way from a request to a conversation outside the admin."""
        return self.filter(owner=owner)

    def shown(self) -> "ConversationQuerySet":
        return self.filter(shown=True)

    def named(self, name: str) -> "Conversation | None":
        """By its root id, by the root id that it had in a classic gateway, or by the upstream's id of one of its replies."""
        name = name.replace("\0", "")
        try:
            found = self.filter(id=UUID(name)).first()
        except ValueError:
            found = None
        return (
            found
            or self.filter(classic_root=name).first()
            or self.filter(snapshots__upstream_id=name).exclude(snapshots__upstream_id="").first()
        )

    def with_call(self, **chosen: Any) -> "ConversationQuerySet":
        """Those in which at least one call is such a one."""
        return self.filter(
            models.Exists(Snapshot.objects.filter(conversation=models.OuterRef("pk"), **chosen))
        )

    def costliest(self, most: int) -> "list[Conversation]":
        """So many that took the most tokens: found among the large ones, and only where those are too few among all."""
        found = self.annotate(tokens=TOKENS).order_by(models.F("tokens").desc(), "-id")
        large = list(found.filter(GreaterThanOrEqual(TOKENS, LARGE))[:most])
        return large if len(large) == most else list(found[:most])

    def newest_first(self) -> "ConversationQuerySet":
        return self.order_by("-last", "-id")


class Conversation(models.Model):
    """A tree of messages under one root id, which is this row's id."""

    class TitledBy(models.TextChoices):
        WORDS = "", "its first words"
        MODEL = "model", "a model"
        OWNER = "owner", "its owner"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="conversations", db_index=False
    )
    session_key = models.TextField(
        null=True, help_text="the grouping key that the owner's client sent, if any"
    )
    classic_root = models.TextField(
        null=True, help_text="the root id of a conversation imported from a classic gateway"
    )
    title = models.TextField(db_default="")
    titled_by = models.TextField(choices=TitledBy, db_default=TitledBy.WORDS)
    shown = models.BooleanField(
        db_default=True, help_text="false hides it from the owner's history; the log stays"
    )
    started = models.DateTimeField()
    last = models.DateTimeField()
    turns = models.IntegerField(db_default=0, help_text="replies relayed")
    prompt_tokens = models.BigIntegerField(db_default=0)
    completion_tokens = models.BigIntegerField(db_default=0)
    cost = models.DecimalField(
        max_digits=16, decimal_places=8, db_default=0, help_text="US dollars"
    )

    objects = ConversationQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index("owner", models.F("last").desc(), name="conversation_history"),
            # Of the few large ones alone: the totals of all the others change with every call.
            models.Index(
                TOKENS.desc(),
                models.F("id").desc(),
                name="conversation_large",
                condition=models.Q(GreaterThanOrEqual(TOKENS, LARGE)),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                "owner",
                "classic_root",
                name="conversation_classic_root",
                condition=models.Q(classic_root__isnull=False),
            ),
            models.UniqueConstraint(
                "owner",
                "session_key",
                name="conversation_session",
                condition=models.Q(session_key__isnull=False),
            ),
        ]
        permissions = [
            ("view_content", "Can read what was said"),
            ("export_content", "Can export what was said"),
            ("decide", "Can decide about conversations"),
            ("lead", "Can assign, sample and decide in bulk"),
            ("reveal_identity", "Can reveal who is behind an alias"),
            ("view_usage_by_user", "Can see usage by person"),
            ("view_assessments", "Can see assessments of one conversation"),
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)

    def rename(self, title: str) -> None:
        """By the owner: from then on no model does it unasked."""
        self.title, self.titled_by = title, self.TitledBy.OWNER
        self.save(update_fields=["title", "titled_by"])

    def name_by_model(self, title: str) -> bool:
        """False, and the title stays, where it is another one by now than this row was read with."""
        read = Conversation.objects.filter(id=self.id, title=self.title, titled_by=self.titled_by)
        if not read.update(title=title, titled_by=self.TitledBy.MODEL):
            return False
        self.title, self.titled_by = title, self.TitledBy.MODEL
        return True

    def hide(self) -> None:
        """Out of the owner's sight. The log stays."""
        self.shown = False
        self.save(update_fields=["shown"])
