"""API keys: made and revoked, never changed. A key's secret is shown once, to who made it; its digest never."""

from datetime import timedelta

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.postgres.forms import SimpleArrayField
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from conversations.admin.rights import Administered

from ..models import ApiKey, default_scopes, latest_expiry
from ..models.key import is_network

LINES = forms.Textarea(attrs={"rows": 3, "cols": 40})


class ApiKeyForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(
        choices=ApiKey.Scope, widget=forms.CheckboxSelectMultiple, initial=default_scopes
    )

    addresses = SimpleArrayField(
        forms.CharField(max_length=50, validators=[is_network]),
        delimiter="\n",
        required=False,
        widget=LINES,
        help_text=ApiKey._meta.get_field("addresses").help_text,
    )

    def clean_addresses(self) -> list[str]:
        return [address for address in self.cleaned_data["addresses"] if address]

    def clean(self):
        given = super().clean()
        if (
            given
            and ApiKey.Scope.EXPORT in given.get("scopes", ())
            and not given.get("addresses")
            and "addresses" not in self.errors
        ):
            self.add_error(
                "addresses",
                "A key that exports the log needs the addresses that it may be used from.",
            )
        return given

    def clean_expires(self):
        expires = self.cleaned_data["expires"]
        if not timezone.now() < expires <= latest_expiry() + timedelta(days=1):
            raise ValidationError(
                f"A key lasts {settings.API_KEY_MAX_DAYS} days at most, and expires in the future."
            )
        return min(expires, latest_expiry())


@admin.register(ApiKey)
class ApiKeyAdmin(Administered, admin.ModelAdmin):
    form = ApiKeyForm
    fields = ("owner", "name", "scopes", "shared", "expires", "addresses", "rows_a_day")
    autocomplete_fields = ("owner",)
    list_display = (
        "prefix",
        "name",
        "owner",
        "may_do",
        "shared",
        "state",
        "created",
        "expires",
        "last_used",
    )
    list_select_related = ("owner",)
    search_fields = ("prefix", "name", "owner__username")
    ordering = ("-id",)
    actions = ("revoke",)

    def has_change_permission(self, request: HttpRequest, obj=None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj=None) -> bool:
        """The record names keys by their prefix: they stay, revoked."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "change")

    def get_fields(self, request: HttpRequest, obj=None):
        return ("prefix", *self.fields, "created", "last_used", "revoked") if obj else self.fields

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context=None
    ) -> HttpResponse:
        return super().add_view(
            request,
            form_url,
            {"show_save_and_add_another": False, "show_save_and_continue": False}
            | (extra_context or {}),
        )

    def formfield_for_dbfield(self, db_field, request: HttpRequest, **kwargs):
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name == "owner":
            field.widget.can_add_related = field.widget.can_change_related = (
                field.widget.can_view_related
            ) = False
        return field

    @admin.display(description="may call")
    def may_do(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        return (
            "owner deactivated" if key.state == "in use" and not key.owner.is_active else key.state
        )

    @admin.action(description="Revoke the selected keys, for good", permissions=["revoke"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        usable = [key for key in keys if key.revoked is None]
        for key in usable:
            key.revoke()
            self.log_change(request, key, "Revoked.")
        self.message_user(
            request,
            f"{len(usable)} revoked. Within seconds they open nothing any more.",
            messages.SUCCESS,
        )

    def save_model(self, request: HttpRequest, key: ApiKey, form, change: bool) -> None:
        made, key.secret = ApiKey.make(**{name: form.cleaned_data[name] for name in self.fields})  # type: ignore[attr-defined]
        key.__dict__ |= {
            field.attname: getattr(made, field.attname) for field in made._meta.concrete_fields
        }

    def response_add(
        self, request: HttpRequest, key: ApiKey, post_url_continue=None
    ) -> HttpResponse:
        """The page with the secret, at once: it lies in no session and no message, and going back to it shows nothing."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "API key made",
            "key": key,
            "secret": key.secret,  # type: ignore[attr-defined]
        }
        return TemplateResponse(
            request, "admin/proxy/key_made.html", context, headers={"Cache-Control": "no-store"}
        )
