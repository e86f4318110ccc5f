"""Who may do what with the record: one gate, deaf to is_superuser.

Content is for those whose group may read it.
"""

from typing import Any, TypeVar

import orjson
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.models import (
    BigIntegerField,
    Case,
    Exists,
    Field,
    Model,
    OuterRef,
    Q,
    QuerySet,
    UUIDField,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast

from ..models import AuditEvent, Conversation, Decision, Review, Snapshot, User
from .persons import NAMES, carry_person

Account = User | AnonymousUser
Rows = TypeVar("Rows", bound=Model)

# The path from a row to the person whose conversation it is.
OWNER: dict[type[Model], str] = {
    Conversation: "owner__",
    Snapshot: "owner__",
    Review: "conversation__owner__",
    User: "",
}

# Written out, since each page of the desk asks for them: to put them together took longer than to
# answer them.
RIGHTS = f"""
    SELECT ARRAY(
        SELECT app_label || '.' || codename
        FROM auth_permission JOIN django_content_type ON django_content_type.id = content_type_id
        WHERE auth_permission.id IN (
            SELECT permission_id FROM conversations_user_user_permissions
            WHERE user_id = account.id
            UNION ALL
            SELECT permission_id FROM conversations_user_groups
            JOIN auth_group_permissions USING (group_id) WHERE user_id = account.id)),
        CASE WHEN is_staff THEN ({NAMES.replace("%s", "ARRAY[account.id]")}) END
    FROM conversations_user account WHERE id = %(account)s"""

HOLDERS = """
    WITH asked AS (
        SELECT auth_permission.id AS permission_id
        FROM auth_permission JOIN django_content_type ON django_content_type.id = content_type_id
        WHERE app_label = 'conversations' AND codename = %s)
    SELECT user_id FROM asked JOIN conversations_user_user_permissions USING (permission_id)
    UNION ALL
    SELECT user_id FROM asked JOIN auth_group_permissions USING (permission_id)
    JOIN conversations_user_groups USING (group_id)"""


def may(user: Account, right: str) -> bool:
    """Whether this account holds a right, by its groups or by itself.

    A right of the record goes without its app, such as view_content; others name theirs, such as
    proxy.view_apikey.
    """
    permission = right if "." in right else f"conversations.{right}"
    return user.is_active and permission in _rights(user)


def holds(right: str) -> Q:
    """Say of accounts whether their groups or they themselves hold a right of the record."""
    return Q(pk__in=RawSQL(HOLDERS, [right]))  # noqa: S611 (a constant)


def holders_of(right: str) -> QuerySet[User]:
    """Select the active accounts that hold a right of the record: what `may` says of each."""
    return User.objects.filter(holds(right), is_active=True)


def reads_everything(user: Account) -> bool:
    """Whether this account may read the content of every person's conversations."""
    return may(user, "view_content") and not reviews_departments(user)


def reviews_departments(user: Account) -> list[str]:
    """The departments whose people this account reviews; empty: all."""
    return user.reviews_departments if isinstance(user, User) else []


def readable(user: Account, rows: QuerySet[Rows]) -> QuerySet[Rows]:
    """Select the conversations, calls, reviews or people whose content this account may read.

    The only way to them in the admin. What a model said about a conversation is in the call that
    requested it, so that call is for those who may see assessments.
    """
    if not may(user, "view_content"):
        return rows.none()
    if rows.model is Snapshot and not may(user, "view_assessments"):
        rows = rows.exclude(kind=Snapshot.Kind.METADATA)
    if departments := reviews_departments(user):
        return rows.filter(**{f"{OWNER[rows.model]}department__in": departments})
    return rows


def auditable_decisions(user: Account, rows: QuerySet[Decision]) -> QuerySet[Decision]:
    """Select the decisions about people of the account's departments, and its own.

    The newest call that a decision covers tells whom it is about.
    """
    departments = reviews_departments(user)
    if not departments:
        return rows
    newest = Snapshot.objects.filter(pk=OuterRef("newest"), owner__department__in=departments)
    return rows.filter(Exists(newest) | Q(reviewer=user.pk))


def auditable_events(user: Account, rows: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
    """Select the events about people of the account's departments, and what it did itself.

    Events about a person's conversations and calls, or about the person. Others, such as somebody's
    search, may be about anybody.
    """
    departments = reviews_departments(user)
    if not departments:
        return rows
    about = {
        "conversation": Conversation.objects.filter(owner__department__in=departments),
        "named_call": Snapshot.objects.filter(owner__department__in=departments),
        "named_user": User.objects.filter(department__in=departments),
    }
    theirs = Q(actor=user.pk)
    for name, subjects in about.items():
        theirs |= Q(Exists(subjects.filter(pk=OuterRef(name))))
    named = {
        "named_call": _subject("snapshot", UUIDField()),
        "named_user": _subject("user", BigIntegerField()),
    }
    return rows.alias(**named).filter(theirs)


def _subject(kind: str, field: Field) -> Case:
    """Read an event's subject as the id of such a row; null where it is of another kind."""
    return Case(When(kind=kind, subject__gt="", then=Cast("subject", field)), output_field=field)


def _rights(user: Any) -> set[str]:
    """Rights of an account, which carries them from the first look to the end of its request.

    Who has the desk carries as well who they are: most of its pages ask for both. One query.
    """
    if not user.is_authenticated:
        return set()
    if not hasattr(user, "_rights"):
        user._rights = set()
        with connection.cursor() as cursor:
            cursor.execute(RIGHTS, {"account": user.pk})
            for rights, known_by in cursor.fetchall():
                user._rights.update(rights)
                if known_by:
                    carry_person(user, orjson.loads(known_by))
    return user._rights
