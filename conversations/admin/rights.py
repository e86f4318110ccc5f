"""What the admin's own questions about rights mean here: two mixins, one for evidence, one for everything else."""

from typing import Any

from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst

from ..models import AuditEvent
from ..people import audit
from ..people.access import may

Action = AuditEvent.Action
# Fields whose values the audit trail keeps.
RIGHTS = (
    "is_active",
    "is_staff",
    "is_superuser",
    "groups",
    "user_permissions",
    "permissions",
    "reviews_departments",
)
PASSWORD = [{"changed": {"fields": ["password"]}}]  # what Django's own form says


class Evidence:
    """Read by those who hold one right, changed by nobody: is_superuser opens nothing here."""

    right = "view_content"

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may(request.user, self.right)

    def has_view_permission(self, request: HttpRequest, obj=None) -> bool:
        return may(request.user, self.right)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj=None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj=None) -> bool:
        return False


class Administered:
    """For superusers and groups that hold the model's permissions, as in Django; asked through `may`, which reads all rights at once.

    Every change is an audit event of the same transaction.
    """

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "view", "change", "add", "delete")

    def has_view_permission(self, request: HttpRequest, obj=None) -> bool:
        return self._may(request, "view", "change")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj=None) -> bool:
        return self._may(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj=None) -> bool:
        return self._may(request, "delete")

    def _may(self, request: HttpRequest, *actions: str) -> bool:
        opts = self.opts  # type: ignore[attr-defined]
        user = request.user
        return user.is_superuser or any(
            may(user, f"{opts.app_label}.{action}_{opts.model_name}") for action in actions
        )

    def changelist_view(self, request: HttpRequest, extra_context=None) -> HttpResponse:
        title = capfirst(str(self.opts.verbose_name_plural))  # type: ignore[attr-defined]
        return super().changelist_view(request, {"title": title} | (extra_context or {}))  # type: ignore[misc]

    def construct_change_message(
        self, request: HttpRequest, form, formsets, add: bool = False
    ) -> list[dict[str, Any]]:
        """As in Django; and of rights, what they were and what they are."""
        said = super().construct_change_message(request, form, formsets, add)  # type: ignore[misc]
        changed = [name for name in form.changed_data if name in RIGHTS]
        values = {
            name: {"was": readable(form.initial.get(name)), "is": readable(form.cleaned_data[name])}
            for name in changed
        }
        return [*said, {"rights": values}] if values else said

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        audit.record(request, Action.ADDED, obj, name=str(obj), what=message)
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        audit.record(
            request,
            Action.PASSWORD if message == PASSWORD else Action.CHANGED,
            obj,
            name=str(obj),
            what=message,
        )
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset) -> Any:
        for obj in queryset:
            audit.record(request, Action.DELETED, obj, name=str(obj))
        return super().log_deletions(request, queryset)  # type: ignore[misc]


def readable(value: Any) -> Any:
    """A flag as it is; groups and permissions by their names."""
    return value if isinstance(value, bool) else sorted(str(each) for each in value or [])
