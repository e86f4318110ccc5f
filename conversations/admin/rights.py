"""What the admin's own questions about rights mean here: two mixins, one for evidence, one for everything else."""

from django.http import HttpRequest

from ..access import may


class Evidence:
    """Read by those who may view content, changed by nobody: is_superuser opens nothing here."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may(request.user, "view_content")

    def has_view_permission(self, request: HttpRequest, obj=None) -> bool:
        return may(request.user, "view_content")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj=None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj=None) -> bool:
        return False


class Administered:
    """For superusers and groups that hold the model's permissions, as in Django; asked through `may`, which reads all rights at once."""

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
        return user.is_superuser or any(may(user, f"{opts.app_label}.{action}_{opts.model_name}") for action in actions)
