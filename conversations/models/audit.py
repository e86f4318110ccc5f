"""Who looked at what, exported what, decided what, and changed whose rights. Appended by conversations.people.audit alone, never changed."""

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def by(self, actor) -> "AuditEventQuerySet":
        return self.filter(actor=actor)

    def about(self, conversation: UUID) -> "AuditEventQuerySet":
        """All that was done with one conversation, its calls and its files."""
        return self.filter(conversation=conversation)

    def of(self, subject: models.Model) -> "AuditEventQuerySet":
        return self.filter(kind=subject._meta.model_name, subject=str(subject.pk))

    def doing(self, *actions: str) -> "AuditEventQuerySet":
        return self.filter(action__in=actions)

    def between(self, since: datetime, until: datetime) -> "AuditEventQuerySet":
        return self.filter(at__gte=since, at__lt=until)

    def newest_first(self) -> "AuditEventQuerySet":
        return self.order_by("-id")


class AuditEvent(models.Model):
    class Action(models.TextChoices):
        """No choices of the column: a new action needs no migration."""

        SEARCH = "search", "searched"
        LIST = "list", "opened a list"
        TRANSCRIPT = "transcript", "read a conversation"
        CALL = "call", "read a call"
        ATTACHMENT = "attachment", "opened a file"
        EXPORT = "export", "exported"
        REVEAL = "reveal", "revealed a person"
        DECISION = "decision", "decided"
        ASSIGNMENT = "assignment", "assigned"
        ASSESSMENT = "assessment", "had a model assess"
        ADDED = "added", "added"
        CHANGED = "changed", "changed"
        DELETED = "deleted", "deleted"
        RESENT = "resent", "sent submissions again"
        PASSWORD = "password", "changed a password"
        SIGN_IN = "sign_in", "signed in"
        SIGN_IN_FAILED = "sign_in_failed", "failed to sign in"

    READING = (Action.TRANSCRIPT, Action.CALL, Action.ATTACHMENT)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(default=timezone.now)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="none: a command, or nobody known",
    )
    actor_name = models.TextField(help_text="as it was then")
    address = models.GenericIPAddressField(null=True)
    user_agent = models.TextField(db_default="")
    action = models.TextField()
    kind = models.TextField(db_default="", help_text="of what: conversation, snapshot, user …")
    subject = models.TextField(db_default="", help_text="its id")
    conversation = models.UUIDField(null=True, help_text="that it is, or is part of")
    terms = models.TextField(
        db_default="", help_text="words that were searched for: they may quote what was said"
    )
    detail = models.TextField(
        db_default="{}", help_text="JSON: filters, counts, reasons; never what was said"
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
        return f"{self.actor_name} {self.said}"

    @property
    def said(self) -> str:
        """The action in words."""
        return (
            AuditEvent.Action(self.action).label
            if self.action in AuditEvent.Action
            else self.action
        )
