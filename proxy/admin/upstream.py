"""Upstreams, and the models that people know by name, each with the chain of places where it is found.

What the environment sets stands above the list of upstreams, to be read only. Changes work within seconds, in every process.
"""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from conversations.admin.rights import Administered

from ..faults import Fault
from ..models import Model, Route, Upstream
from ..models.upstream import default_capabilities
from ..providers.base import Endpoint
from ..upstreams import endpoints, routing
from ..upstreams.reach import test_upstream

OF_ENVIRONMENT = {  # what each is for → its setting, and the address that it comes to
    "chat": ("LLM_ENDPOINT", endpoints.chat_url),
    "chat, from the pages": ("LLM_GATEWAY_URL", endpoints.pages_chat_url),
    "images": ("LLM_IMG_ENDPOINT", endpoints.images_url),
    "embeddings": ("LLM_EMBEDDINGS_ENDPOINT", endpoints.embeddings_url),
    "list of models": ("LLM_MODELS_ENDPOINT", endpoints.models_url),
}


def of_environment() -> list[dict[str, str]]:
    """Each address that the environment gives, and the setting that it comes from."""
    rows = []
    for use, (name, address) in OF_ENVIRONMENT.items():
        if getattr(settings, name) or (settings.LLM_ENDPOINT and name != "LLM_GATEWAY_URL"):
            origin = f"from {name}" if getattr(settings, name) else "derived from LLM_ENDPOINT"
            rows.append({"use": use, "address": address(), "origin": origin})
    return rows


class UpstreamForm(forms.ModelForm):
    secret = forms.ChoiceField(
        label="Credential", required=False, help_text=Upstream._meta.get_field("secret").help_text
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = dict.fromkeys([*settings.UPSTREAM_SECRETS, self.instance.secret])
        choices = [
            (name, name if settings.UPSTREAM_SECRETS.get(name) else f"{name} (not set)")
            for name in names
            if name
        ]
        if "secret" in self.fields:
            self.fields["secret"].choices = [("", "none"), *choices]  # type: ignore[attr-defined]


@admin.register(Upstream)
class UpstreamAdmin(Administered, admin.ModelAdmin):
    form = UpstreamForm
    fieldsets = (
        (None, {"fields": ("name", "kind", "base_url", "secret", "enabled")}),
        ("In the record", {"fields": ("label",)}),
        ("Patience and places", {"fields": ("first_byte", "silence", "longest", "most_open")}),
        ("What only some kinds need", {"fields": ("api_version", "region")}),
    )
    list_display = ("name", "kind", "base_url", "in_record", "credential", "leads_to", "enabled")
    ordering = ("name",)
    actions = None
    change_list_template = "admin/proxy/upstreams.html"
    change_form_template = "admin/proxy/upstream.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Upstream]:
        return super().get_queryset(request).annotate(models=Count("routes__model", distinct=True))

    def changelist_view(self, request: HttpRequest, extra_context=None) -> HttpResponse:
        ours = {
            "of_environment": of_environment(),
            "label": settings.LLM_LABEL,
            "may_test": self.has_change_permission(request),
        }
        authorization = settings.LLM_API_AUTHORIZATION
        ours["credential"] = (
            "none" if authorization.lower() == "none" else "set" if authorization else "not set"
        )
        return super().changelist_view(request, ours | (extra_context or {}))

    def construct_change_message(
        self, request: HttpRequest, form, formsets, add: bool = False
    ) -> list[dict[str, Any]]:
        """With what was and what is: where calls go is evidence. No field holds a secret."""
        said = super().construct_change_message(request, form, formsets, add)
        return [
            *said,
            {
                "from_to": {
                    name: [form.initial.get(name), form.cleaned_data[name]]
                    for name in form.changed_data
                }
            },
        ]

    # Test -----------------------------------------------------------------------------------------------------------

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
        name = row.name if row else routing.ENVIRONMENT
        try:
            said = test_upstream(
                routing.make_route(row) if row else routing.environment_route(Endpoint.CHAT)
            )
            self.message_user(request, f"“{name}”: {said}", messages.SUCCESS)
        except Fault as fault:
            self.message_user(request, f"“{name}”: {fault.text}", messages.ERROR)
        return HttpResponseRedirect(
            reverse("admin:proxy_upstream_change", args=[number])
            if number
            else reverse("admin:proxy_upstream_changelist")
        )

    # The list -------------------------------------------------------------------------------------------------------

    @admin.display(description="in the record")
    def in_record(self, row: Upstream) -> str:
        return row.in_record

    @admin.display(description="credential")
    def credential(self, row: Upstream) -> str:
        if not row.secret:
            return "none"
        return (
            f"{row.secret}"
            if settings.UPSTREAM_SECRETS.get(row.secret)
            else f"{row.secret} (not set)"
        )

    @admin.display(description="models", ordering="models")
    def leads_to(self, row: Upstream) -> int:
        return row.models  # type: ignore[attr-defined]


class RouteInline(admin.TabularInline):
    model = Route
    fields = ("order", "upstream", "upstream_model", "prompt_price", "completion_price")
    extra = 1
    verbose_name = "place"
    verbose_name_plural = "Where it is found: the first that answers serves. No place at all is LLM_ENDPOINT, by the same name"

    def has_view_permission(self, request: HttpRequest, obj=None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj=None) -> bool:
        """A place has no rights of its own: whoever may make or change the model says where it is found."""
        ours = self.admin_site.get_model_admin(Model)
        return ours.has_change_permission(request, obj) if obj else ours.has_add_permission(request)

    has_add_permission = has_delete_permission = has_change_permission

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **kwargs):
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

    @admin.display(description="asked, in this order")
    def chain(self, model: Model) -> SafeString:
        """Each place; struck through where nothing is sent."""
        places = [
            (str(route), not route.upstream or route.upstream.enabled)
            for route in model.routes.all()
        ] or [(routing.ENVIRONMENT, True)]
        return format_html_join(
            " → ",
            "{}",
            ([name if used else format_html("<s>{}</s>", name)] for name, used in places),
        )

    @admin.display(description="may do")
    def may_do(self, model: Model) -> str:
        return ", ".join(model.capabilities)

    @admin.display(description="for")
    def for_whom(self, model: Model) -> str:
        return ", ".join(group.name for group in model.groups.all()) or "everyone"
