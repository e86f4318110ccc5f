"""A case: the folder of an inquiry, with its members, linked conversations and notes.

Case and CaseEntry are evidence: appended, sealed, never changed. What is linked follows from the
entries, of which the last about a conversation counts. A CaseMember is work: who may open the case
today; the audit trail has who let whom in. Only conversations.cases writes them.
"""

from typing import cast

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from .user import AnyUser, User


class CaseQuerySet(models.QuerySet["Case"]):
    def with_member(self, person: AnyUser) -> "CaseQuerySet":
        return self.filter(members__user=cast(User, person))

    def newest_first(self) -> "CaseQuerySet":
        return self.order_by("-id")


class Case(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.TextField()
    purpose = models.TextField()
    made = models.DateTimeField(default=timezone.now)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )

    objects = CaseQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"case {self.pk}"


class CaseMember(models.Model):
    case = models.ForeignKey(Case, models.PROTECT, related_name="members", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    added = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint("case", "user", name="case_member")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.case_id}"


class CaseEntryQuerySet(models.QuerySet["CaseEntry"]):
    def notes(self) -> "CaseEntryQuerySet":
        return self.filter(kind=CaseEntry.Kind.NOTE)

    def links(self) -> "CaseEntryQuerySet":
        """Return the links in force: no later entry of the case is about that conversation."""
        later = CaseEntry.objects.filter(
            case=models.OuterRef("case"),
            conversation=models.OuterRef("conversation"),
            id__gt=models.OuterRef("id"),
        )
        return self.filter(~models.Exists(later), kind=CaseEntry.Kind.LINKED)

    def newest_first(self) -> "CaseEntryQuerySet":
        return self.order_by("-id")


class CaseEntry(models.Model):
    class Kind(models.TextChoices):
        NOTE = "note", "note"
        LINKED = "linked", "linked"
        UNLINKED = "unlinked", "unlinked"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    case = models.ForeignKey(Case, models.PROTECT, related_name="entries", db_index=False)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )
    kind = models.TextField(choices=Kind)
    conversation = models.ForeignKey(
        "Conversation", models.PROTECT, null=True, related_name="+", db_index=False
    )
    text = models.TextField(db_default="", default="")
    made = models.DateTimeField(default=timezone.now)

    objects = CaseEntryQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name = "case entry"
        verbose_name_plural = "case entries"
        indexes = [
            models.Index("case", "kind", "id", name="case_entries"),
            models.Index(
                "conversation",
                "case",
                "id",
                name="case_of_conversation",
                condition=models.Q(conversation__isnull=False),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="case_link_names_its_conversation",
                condition=models.Q(kind="note", conversation=None)
                | models.Q(kind__in=["linked", "unlinked"], conversation__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
