"""Rights in the admin: a mixin for evidence, a mixin for everything else, a decorator for pages."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.forms import BaseFormSet, Form
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.text import capfirst

from ..models import AuditEvent
from ..people import audit
from ..people.access import may

Action = AuditEvent.Action
# Fields whose values the audit trail keeps.
RIGHTS = (
    "is_active",
    "is_service",
    "is_staff",
    "is_superuser",
    "groups",
    "user_permissions",
    "permissions",
    "reviews_departments",
)
PASSWORD = [{"changed": {"fields": ["password"]}}]  # what Django's own form says
Parameters = ParamSpec("Parameters")
Response = TypeVar("Response", bound=HttpResponseBase)
View = Callable[Concatenate[HttpRequest, Parameters], Response]


def require_rights(
    *rights: str,
) -> Callable[[View[Parameters, Response]], View[Parameters, Response]]:
    """Answer 403 to accounts that lack one of the rights."""

    def decorate(view: View[Parameters, Response]) -> View[Parameters, Response]:
        @wraps(view)
        def checked(
            request: HttpRequest, *args: Parameters.args, **kwargs: Parameters.kwargs
        ) -> Response:
            if not all(may(request.user, right) for right in rights):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return checked

    return decorate


class DeclaredLookups:
    """A list that is filtered by what it offers, and by no path that an address spells.

    Django lets an address ask for any field of its own, `?conversations=…` too: whose list is
    not empty then is known by name.
    """

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        offered = getattr(self, "list_filter", ())
        fields = [each for each in offered if isinstance(each, str)]
        own = [getattr(each, "parameter_name", "") for each in offered]
        is_offered = lookup in own or any(
            lookup in (f"{name}__exact", f"{name}__id__exact") for name in fields
        )
        return is_offered and "\0" not in value  # which PostgreSQL takes in no text


class Evidence(DeclaredLookups):
    """Rows that an account with the right reads and that none changes, whether superuser or not."""

    right = "view_content"

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a row to whoever may read it; as in Django, one that is not there leads home."""
        if not self.has_view_permission(request) or request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        row = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined, no-any-return]
        return self.show_row(request, row)

    def show_row(self, request: HttpRequest, row: Any) -> HttpResponse:
        """Show its fields, as Django does; a page of its own overrides this."""
        return super().change_view(request, str(row.pk))  # type: ignore[misc, no-any-return]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may(request.user, self.right)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may(request.user, self.right)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class Administered(DeclaredLookups):
    """Rows for superusers and for groups that hold the model's permissions, as in Django.

    Permissions are checked by `may`, which reads all of them in one query. Every change is an audit
    event of the same transaction.
    """

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "view", "change", "add", "delete")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, "view", "change")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, "delete")

    def _may(self, request: HttpRequest, *actions: str) -> bool:
        opts = self.opts  # type: ignore[attr-defined]
        user = request.user
        return user.is_superuser or any(
            may(user, f"{opts.app_label}.{action}_{opts.model_name}") for action in actions
        )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = capfirst(str(self.opts.verbose_name_plural))  # type: ignore[attr-defined]
        return super().changelist_view(request, {"title": title} | (extra_context or {}))  # type: ignore[misc]

    def construct_change_message(
        self,
        request: HttpRequest,
        form: Form,
        formsets: Iterable[BaseFormSet],
        add: bool = False,
    ) -> list[dict[str, Any]]:
        """Describe a change as Django does, and each changed right with its old and new value."""
        message = super().construct_change_message(request, form, formsets, add)  # type: ignore[misc]
        values = {
            name: {
                "was": describe_value(form.initial.get(name)),
                "is": describe_value(form.cleaned_data[name]),
            }
            for name in form.changed_data
            if name in RIGHTS
        }
        return [*message, {"rights": values}] if values else message

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

    def log_deletions(self, request: HttpRequest, queryset: QuerySet) -> Any:
        for obj in queryset:
            audit.record(request, Action.DELETED, obj, name=str(obj))
        return super().log_deletions(request, queryset)  # type: ignore[misc]


def describe_value(value: Any) -> bool | list[str]:
    """Keep a flag; name groups and permissions."""
    return value if isinstance(value, bool) else sorted(str(each) for each in value or [])
