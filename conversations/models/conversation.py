"""What one person and the models said to each other.

A call in no conversation (a refused one, an embedding) gets such a row of its own once a reviewer
takes it up: the review desk's alone, with the id of the call. Title and `shown` belong to the
owner; the totals are kept by the close of each call.
"""

from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models.lookups import GreaterThanOrEqual
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from .snapshot import Snapshot
from .user import AnyUser, User

LARGE = 20_000  # tokens; one conversation in fifty has more, in the data of manage.py generate
TOKENS = models.F("prompt_tokens") + models.F("completion_tokens")


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def owned_by(self, owner: AnyUser | int) -> "ConversationQuerySet":
        """Return the owner's own: outside the admin, the only way from a request to one."""
        return self.filter(owner=cast(User | int, owner)).of_messages()

    def of_messages(self) -> "ConversationQuerySet":
        """Leave out the rows of single calls, which are the review desk's."""
        return self.filter(is_one_call=False)

    def shown(self) -> "ConversationQuerySet":
        return self.filter(shown=True)

    def find_by_name(self, name: str) -> "Conversation | None":
        """Find one by its root id, its root id in a classic gateway, or an upstream's reply id."""
        name = name.replace("\0", "")
        try:
            conversation = self.filter(id=UUID(name)).first()
        except ValueError:
            conversation = None
        return (
            conversation
            or self.filter(classic_root=name).first()
            or self.filter(snapshots__upstream_id=name).exclude(snapshots__upstream_id="").first()
        )

    def with_call(self, **lookups: Any) -> "ConversationQuerySet":
        """Return those with at least one call that matches."""
        calls = Snapshot.objects.filter(conversation=models.OuterRef("pk"), **lookups)
        return self.filter(models.Exists(calls))

    def costliest(self, most: int) -> "list[Conversation]":
        """Return so many that took the most tokens.

        They are looked for among the large ones, and only where those are too few among all.
        """
        ordered = self.by_tokens()
        large = list(ordered.filter(GreaterThanOrEqual(TOKENS, LARGE))[:most])
        return large if len(large) == most else list(ordered[:most])

    def by_tokens(self) -> "ConversationQuerySet":
        return self.annotate(tokens=TOKENS).order_by(models.F("tokens").desc(), "-id")

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
    end_user = models.TextField(
        db_default="", help_text=_("the person for whom a shared key began it; empty: its owner")
    )
    classic_root = models.TextField(
        null=True, help_text="the root id of a conversation imported from a classic gateway"
    )
    title = models.TextField(db_default="")
    titled_by = models.TextField(choices=TitledBy, db_default=TitledBy.WORDS)
    shown = models.BooleanField(
        db_default=True, help_text=_("off hides it from the owner's history; the record stays")
    )
    is_one_call = models.BooleanField(
        db_default=False,
        default=False,
        help_text=_("the row of a call in no conversation: its id is the call's"),
    )
    started = models.DateTimeField()
    last = models.DateTimeField()
    turns = models.IntegerField(db_default=0, help_text=_("number of relayed replies"))
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
            models.Index(
                "owner",
                "end_user",
                "id",
                name="conversation_end_user",
                condition=~models.Q(end_user=""),
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
                "end_user",
                name="conversation_session_of",
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
        """Take the owner's title; from then on no model gives it another by itself."""
        self.title, self.titled_by = title, self.TitledBy.OWNER
        self.save(update_fields=["title", "titled_by"])

    def name_by_model(self, title: str) -> bool:
        """Take a model's title. False where the title has changed since this row was read."""
        unchanged = Conversation.objects.filter(
            id=self.id, title=self.title, titled_by=self.titled_by
        )
        if not unchanged.update(title=title, titled_by=self.TitledBy.MODEL):
            return False
        self.title, self.titled_by = title, self.TitledBy.MODEL
        return True

    def hide(self) -> None:
        """Take it out of the owner's history. The record stays."""
        self.shown = False
        self.save(update_fields=["shown"])
