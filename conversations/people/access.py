"""Who may do what with the record: one gate, deaf to is_superuser.

Content is for those whose group may read it.
"""

from typing import Any, TypeVar

from django.contrib.auth.models import AnonymousUser, Permission
from django.db.models import Model, Q, QuerySet

from ..models import Conversation, Review, Snapshot, User

Account = User | AnonymousUser
Rows = TypeVar("Rows", bound=Model)

# The path from a row to the person whose conversation it is.
OWNER: dict[type[Model], str] = {
    Conversation: "owner__",
    Snapshot: "owner__",
    Review: "conversation__owner__",
    User: "",
}


def may(user: Account, right: str) -> bool:
    """Whether this account holds a right, by its groups or by itself.

    A right of the record goes without its app, such as view_content; others name theirs, such as
    proxy.view_apikey.
    """
    permission = right if "." in right else f"conversations.{right}"
    return user.is_active and permission in _rights(user)


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


def _rights(user: Any) -> set[str]:
    """Rights of an account, which carries them from the first look to the end of its request."""
    if not user.is_authenticated:
        return set()
    if not hasattr(user, "_rights"):
        held = Permission.objects.filter(Q(group__user=user) | Q(user=user)).values_list(
            "content_type__app_label", "codename"
        )
        user._rights = {f"{app}.{codename}" for app, codename in held}
    return user._rights
