"""Who may do what with the record. One gate, and it is deaf to is_superuser: content is for those whose group reads it."""

from django.contrib.auth.models import Permission
from django.db.models import Q, QuerySet

# Where the person is whose conversation it is.
OWNER = {
    "Conversation": "owner__",
    "Snapshot": "owner__",
    "Review": "conversation__owner__",
    "User": "",
}


def may(user, right: str) -> bool:
    """Whether this account holds a right by its groups or by itself: of the record, such as view_content, or of another app, such as proxy.view_apikey."""
    return user.is_active and (right if "." in right else f"conversations.{right}") in _rights(user)


def reads_everything(user) -> bool:
    """What was said, of whomever."""
    return may(user, "view_content") and not user.reviews_departments


def readable(user, rows: QuerySet) -> QuerySet:
    """Of conversations, calls, reviews or people, those whose content this account may read. The only way to them in the admin.

    What a model said about a conversation is in the call that asked it, so that call is for those who may see assessments."""
    if not may(user, "view_content"):
        return rows.none()
    if rows.model.__name__ == "Snapshot" and not may(user, "view_assessments"):
        rows = rows.exclude(kind="metadata")
    departments = user.reviews_departments
    return (
        rows.filter(**{f"{OWNER[rows.model.__name__]}department__in": departments})
        if departments
        else rows
    )


def _rights(user) -> set[str]:
    if not user.is_authenticated:
        return set()
    if not hasattr(user, "_rights"):
        held = Permission.objects.filter(Q(group__user=user) | Q(user=user)).values_list(
            "content_type__app_label", "codename"
        )
        user._rights = {f"{app}.{codename}" for app, codename in held}
    return user._rights
