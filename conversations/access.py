"""Who may do what with the record. One gate, and it is deaf to is_superuser: content is for those whose group reads it."""

from django.contrib.auth.models import Permission
from django.db.models import Q


def may(user, right: str) -> bool:
    """Whether this account holds a right of the record, such as view_content or export_content, by its groups or by itself."""
    return user.is_active and right in _rights(user)


def _rights(user) -> set[str]:
    if not user.is_authenticated:
        return set()
    if not hasattr(user, "_rights"):
        held = Permission.objects.filter(Q(group__user=user) | Q(user=user), content_type__app_label="conversations")
        user._rights = set(held.values_list("codename", flat=True))
    return user._rights
