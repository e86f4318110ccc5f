"""Upstreams, and the models that people know by name, each with its routes.

What the environment sets stands above the list of upstreams, read-only. Changes work within
seconds, in every process.
"""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Count, ForeignKey, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from conversations.admin.rights import Administered

from ..faults import Fault
from ..models import Model, Route, Upstream
from ..models.upstream import default_capabilities
from ..providers.base import Endpoint
from ..upstreams import endpoints, routing
from ..upstreams.reach import test_upstream

ENVIRONMENT_SETTINGS = {  # purpose → the setting's name, and what computes its address
    "chat": ("LLM_ENDPOINT", endpoints.chat_url),
    "chat, from the pages": ("LLM_GATEWAY_URL", endpoints.pages_chat_url),
    "images": ("LLM_IMG_ENDPOINT", endpoints.images_url),
    "embeddings": ("LLM_EMBEDDINGS_ENDPOINT", endpoints.embeddings_url),
    "list of models": ("LLM_MODELS_ENDPOINT", endpoints.models_url),
}


def list_environment() -> list[dict[str, str]]:
    """List the addresses that the environment gives, each with the setting that it comes from."""
    rows = []
    for use, (name, make_address) in ENVIRONMENT_SETTINGS.items():
        if getattr(settings, name):
            rows.append({"use": use, "address": make_address(), "origin": f"from {name}"})
        elif settings.LLM_ENDPOINT and name != "LLM_GATEWAY_URL":
            origin = "derived from LLM_ENDPOINT"
            rows.append({"use": use, "address": make_address(), "origin": origin})
    return rows


def describe_credential() -> str:
    """Say whether the environment has a credential, which itself is shown nowhere."""
    if not settings.LLM_API_AUTHORIZATION:
        return "not set"
    return "none" if settings.LLM_API_AUTHORIZATION.lower() == "none" else "set"


def describe_secret(name: str) -> str:
    return name if settings.UPSTREAM_SECRETS.get(name) else f"{name} (not set)"


class UpstreamForm(forms.ModelForm):
    secret = forms.ChoiceField(
        label="Credential", required=False, help_text=Upstream._meta.get_field("secret").help_text
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = dict.fromkeys([*settings.UPSTREAM_SECRETS, self.instance.secret])
        choices = [(name, describe_secret(name)) for name in names if name]
        if "secret" in self.fields:
            self.fields["secret"].choices = [("", "none"), *choices]  # type: ignore[attr-defined]


@admin.register(Upstream)
class UpstreamAdmin(Administered, admin.ModelAdmin):
    form = UpstreamForm
    fieldsets = (
        (None, {"fields": ("name", "kind", "base_url", "secret", "enabled")}),
        ("In the record", {"fields": ("label",)}),
        (_("Timeouts and limits"), {"fields": ("first_byte", "silence", "longest", "most_open")}),
        (_("For some kinds only"), {"fields": ("api_version", "region", "no_stream_options")}),
    )
    list_display = (
        "name",
        "kind",
        "base_url",
        "recorded_name",
        "credential",
        "leads_to",
        "enabled",
    )
    ordering = ("name",)
    actions = None
    change_list_template = "admin/proxy/upstreams.html"
    change_form_template = "admin/proxy/upstream.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Upstream]:
        return super().get_queryset(request).annotate(models=Count("routes__model", distinct=True))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "environment": list_environment(),
            "label": settings.LLM_LABEL,
            "may_test": self.has_change_permission(request),
            "credential": describe_credential(),
        }
        return super().changelist_view(request, context | (extra_context or {}))

    def construct_change_message(
        self,
        request: HttpRequest,
        form: forms.Form,
        formsets: Iterable[forms.BaseFormSet],
        add: bool = False,
    ) -> list[dict[str, Any]]:
        """Add the values before and after: where calls go is evidence. No field holds a secret."""
        from_to = {
            name: [form.initial.get(name), form.cleaned_data[name]] for name in form.changed_data
        }
        message = super().construct_change_message(request, form, formsets, add)
        return [*message, {"from_to": from_to}]

    # Test ---------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("environment/test/", view(self.test_view), name="proxy_upstream_test_environment"),
            path("<int:number>/test/", view(self.test_view), name="proxy_upstream_test"),
            *super().get_urls(),
        ]

    def test_view(self, request: HttpRequest, number: int | None = None) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        row = self.get_object(request, str(number)) if number else None
        if request.method != "POST" or (number and row is None):
            raise Http404
        if row:
            name, page = row.name, reverse("admin:proxy_upstream_change", args=[number])
        else:
            name, page = routing.ENVIRONMENT, reverse("admin:proxy_upstream_changelist")
        try:
            route = routing.make_route(row) if row else routing.environment_route(Endpoint.CHAT)
            self.message_user(request, f"“{name}”: {test_upstream(route)}", messages.SUCCESS)
        except Fault as fault:
            self.message_user(request, f"“{name}”: {fault.text}", messages.ERROR)
        return HttpResponseRedirect(page)

    # The list -----------------------------------------------------------------------------------

    @admin.display(description="in the record")
    def in_record(self, row: Upstream) -> str:
        return row.recorded_name

    @admin.display(description="credential")
    def credential(self, row: Upstream) -> str:
        if not row.secret:
            return "none"
        return describe_secret(row.secret)

    @admin.display(description="models", ordering="models")
    def leads_to(self, row: Upstream) -> int:
        return row.models  # type: ignore[attr-defined]


class RouteInline(admin.TabularInline):
    model = Route
    fields = ("order", "upstream", "upstream_model", "prompt_price", "completion_price")
    extra = 1
    verbose_name = _("route")
    verbose_name_plural = _(
        "Routes, tried in order. Without any, calls go to LLM_ENDPOINT under the same name"
    )

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Allow what the account may do with the model: a route has no rights of its own."""
        models = self.admin_site.get_model_admin(Model)
        if obj is None:
            return models.has_add_permission(request)
        return models.has_change_permission(request, obj)

    has_add_permission = has_delete_permission = has_change_permission

    def formfield_for_foreignkey(
        self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any
    ) -> forms.ModelChoiceField | None:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        field.empty_label = "LLM_ENDPOINT (environment)"  # type: ignore[union-attr]
        return field


class ModelForm(forms.ModelForm):
    capabilities = forms.MultipleChoiceField(
        choices=Model.Capability, widget=forms.CheckboxSelectMultiple, initial=default_capabilities
    )
    groups = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=Model._meta.get_field("groups").help_text,
    )


@admin.register(Model)
class ModelAdmin(Administered, admin.ModelAdmin):
    form = ModelForm
    fields = ("name", "capabilities", "groups", "offered", "enabled")
    inlines = (RouteInline,)
    list_display = ("name", "chain", "may_do", "for_whom", "offered", "enabled")
    ordering = ("name",)
    search_fields = ("name", "routes__upstream_model")
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        return Model.objects.with_routes()

    @admin.display(description=_("routes, in order"))
    def chain(self, model: Model) -> SafeString:
        """Name the upstreams of a model; struck through where nothing is sent."""
        routes = [
            (str(route), not route.upstream or route.upstream.enabled)
            for route in model.routes.all()
        ] or [(routing.ENVIRONMENT, True)]
        return format_html_join(
            " → ",
            "{}",
            (
                [name if is_enabled else format_html("<s>{}</s>", name)]
                for name, is_enabled in routes
            ),
        )

    @admin.display(description=_("capabilities"))
    def may_do(self, model: Model) -> str:
        return ", ".join(model.capabilities)

    @admin.display(description=_("groups"))
    def for_whom(self, model: Model) -> str:
        return ", ".join(group.name for group in model.groups.all()) or "everyone"
