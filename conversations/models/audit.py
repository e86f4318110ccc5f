"""The audit trail: who looked at what, exported what, decided what, and changed whose rights.

Rows are appended by conversations.people.audit alone, and never changed.
"""

from datetime import datetime
from typing import cast
from uuid import UUID

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from .user import AnyUser, User


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def by(self, actor: AnyUser) -> "AuditEventQuerySet":
        return self.filter(actor=cast(User, actor))

    def about(self, conversation: UUID) -> "AuditEventQuerySet":
        """Return what was done with one conversation, its calls and its files."""
        return self.filter(conversation=conversation)

    def with_subject(self, subject: models.Model) -> "AuditEventQuerySet":
        return self.filter(kind=subject._meta.model_name, subject=str(subject.pk))

    def doing(self, *actions: str) -> "AuditEventQuerySet":
        return self.filter(action__in=actions)

    def between(self, since: datetime, until: datetime) -> "AuditEventQuerySet":
        return self.filter(at__gte=since, at__lt=until)

    def count_by_address(self, most: int = 2) -> dict[str | None, int]:
        """How many came from each address; of `most` addresses at most, the busiest first."""
        rows = self.values_list("address").annotate(count=models.Count("id")).order_by("-count")
        return dict(rows[:most])

    def newest_first(self) -> "AuditEventQuerySet":
        return self.order_by("-id")


class AuditEvent(models.Model):
    class Action(models.TextChoices):
        """What was done. The column has no choices, so that a new action needs no migration."""

        SEARCH = "search", "searched"
        LIST = "list", "opened a list"
        TRANSCRIPT = "transcript", "read a conversation"
        CALL = "call", "read a call"
        ATTACHMENT = "attachment", "opened a file"
        EXPORT = "export", "exported"
        REVEAL = "reveal", "revealed a person"
        DECISION = "decision", "decided"
        ASSIGNMENT = "assignment", "assigned"
        QUEUED = "queued", _("put into the queue")
        ASSESSMENT = "assessment", _("requested an assessment")
        ADDED = "added", "added"
        CHANGED = "changed", "changed"
        DELETED = "deleted", "deleted"
        VERIFICATION = "verification", _("requested a check of the record")
        RESENT = "resent", "sent submissions again"
        PASSWORD = "password", "changed a password"
        SIGN_IN = "sign_in", "signed in"
        SIGN_IN_FAILED = "sign_in_failed", "failed to sign in"
        WRONG_KEYS = "wrong_keys", _("sent wrong API keys")

    READING = (Action.TRANSCRIPT, Action.CALL, Action.ATTACHMENT)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(default=timezone.now)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text=_("empty for a command, or for an unknown account"),
    )
    actor_name = models.TextField(help_text=_("the name at that time"))
    address = models.GenericIPAddressField(null=True)
    user_agent = models.TextField(db_default="")
    action = models.TextField()
    kind = models.TextField(
        db_default="", help_text=_("the kind of object: conversation, snapshot, user …")
    )
    subject = models.TextField(db_default="", help_text=_("the id of that object"))
    conversation = models.UUIDField(
        null=True,
        help_text=_("the conversation that the object is or belongs to, or a call that is in none"),
    )
    terms = models.TextField(
        db_default="", help_text=_("the search words, which may quote messages")
    )
    detail = models.TextField(
        db_default="{}",
        help_text=_("JSON of filters, counts and reasons; never the text of messages"),
    )

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        permissions = [("view_audit", "Can see who looked at what")]
        indexes = [
            models.Index("actor", "id", name="audit_actor"),
            models.Index("action", "id", name="audit_action"),
            models.Index("kind", "subject", "id", name="audit_subject"),
            models.Index(
                "conversation",
                "id",
                name="audit_conversation",
                condition=models.Q(conversation__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action_label}"

    @property
    def action_label(self) -> str:
        """The action in words; as it is stored, where this version does not know it."""
        if self.action in AuditEvent.Action:
            return str(AuditEvent.Action(self.action).label)
        return self.action
