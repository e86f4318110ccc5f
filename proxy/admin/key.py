"""API keys: created and revoked, never changed.

A key's secret is shown once, to the admin who created it; its digest never.
"""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.postgres.forms import SimpleArrayField
from django.core.exceptions import ValidationError
from django.db.models import Field, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from conversations.admin.rights import Administered
from conversations.models import AuditEvent, User
from conversations.people import audit
from conversations.people.identity import hides_people

from .. import key_terms
from ..models import ApiKey, default_scopes, latest_expiry
from ..models.key import validate_network

WAITS = {
    ApiKey.State.FOR_OWNER: _("It works once its owner has accepted it on the page “API keys”."),
    ApiKey.State.FOR_SECOND: _("It works once a second person has agreed to it (Approvals)."),
}
LINES = forms.Textarea(attrs={"rows": 3, "cols": 40})


class ApiKeyForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(
        label=_("Permissions"),
        choices=ApiKey.Scope,
        widget=forms.CheckboxSelectMultiple,
        initial=default_scopes,
    )

    addresses = SimpleArrayField(
        forms.CharField(max_length=50, validators=[validate_network]),
        delimiter="\n",
        required=False,
        widget=LINES,
        help_text=ApiKey._meta.get_field("addresses").help_text,
    )

    def clean_addresses(self) -> list[str]:
        return [address for address in self.cleaned_data["addresses"] if address]

    def clean(self) -> dict[str, Any] | None:
        data = super().clean()
        if data is None or "addresses" in self.errors:
            return data
        if ApiKey.Scope.EXPORT in data.get("scopes", ()) and not data.get("addresses"):
            self.add_error(
                "addresses",
                gettext("A key that may export the log needs the addresses that it is used from."),
            )
        return data

    def clean_owner(self) -> User:
        owner: User = self.cleaned_data["owner"]
        ApiKey.make_room(owner)  # the admin's forms are one transaction with what they save
        return owner

    def clean_expires(self) -> datetime:
        expires = self.cleaned_data["expires"]
        if not timezone.now() < expires <= latest_expiry() + timedelta(days=1):
            text = gettext("A key expires in the future, and is valid for %(days)s days at most.")
            raise ValidationError(text % {"days": settings.API_KEY_MAX_DAYS})
        return min(expires, latest_expiry())


def without_last_use(request: HttpRequest, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out when a key was used, where the reader has calls at that time under an alias."""
    if not hides_people(request.user):
        return columns
    return tuple(column for column in columns if column != "last_used")


@admin.register(ApiKey)
class ApiKeyAdmin(Administered, admin.ModelAdmin):
    form = ApiKeyForm
    fields = ("owner", "name", "scopes", "shared", "expires", "addresses", "rows_a_day")
    autocomplete_fields = ("owner",)
    list_display = (
        "prefix",
        "name",
        "owner",
        "made_by",
        "may_do",
        "shared",
        "state",
        "created",
        "expires",
        "last_used",
    )
    list_select_related = ("owner", "made_by")
    search_fields = ("prefix", "name", "owner__username")
    ordering = ("-id",)
    actions = ("revoke",)

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Search by owner only for readers to whom people have names."""
        return self.search_fields[:2] if hides_people(request.user) else self.search_fields

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Keep revoked keys too: the record names keys by their prefix."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "change")

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return without_last_use(request, self.list_display)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        if not obj:
            return self.fields
        fields = ("may_do" if name == "scopes" else name for name in self.fields)
        more = ("made_by", "created", "accepted", "last_used", "revoked")
        return without_last_use(request, ("prefix", *fields, *more))

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        buttons = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, buttons | (extra_context or {}))

    def formfield_for_dbfield(
        self, db_field: Field, request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name == "owner":
            for action in ("add", "change", "view"):
                setattr(field.widget, f"can_{action}_related", False)
        return field

    @admin.display(description=_("permissions"))
    def may_do(self, key: ApiKey) -> str:
        return ", ".join(key.permissions)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        state = key.state
        if state == ApiKey.State.IN_USE and not key.owner.is_active:
            return "owner deactivated"
        return state

    @admin.action(description=_("Revoke the selected keys permanently"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        usable = [key for key in keys if key.revoked is None]
        for key in usable:
            key.revoke()
            self.log_change(request, key, "Revoked.")
        message = gettext("%(count)s revoked. Within seconds they stop working.")
        self.message_user(request, message % {"count": len(usable)}, messages.SUCCESS)

    def save_model(self, request: HttpRequest, key: ApiKey, form: ApiKeyForm, change: bool) -> None:
        fields = {name: form.cleaned_data[name] for name in self.fields}
        made, key.secret = ApiKey.make_for(maker=request.user, **fields)  # type: ignore[attr-defined, arg-type]
        key.__dict__ |= {
            field.attname: getattr(made, field.attname) for field in made._meta.concrete_fields
        }

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Record whose key it is and what it may do; ask for a second person where it needs one."""
        detail = key_terms.describe(obj) | {"name": str(obj), "what": message}
        audit.record(request, AuditEvent.Action.ADDED, obj, **detail)
        key_terms.ask_second_person(request, obj)
        return admin.ModelAdmin.log_addition(self, request, obj, message)

    def response_add(
        self, request: HttpRequest, key: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the secret in this very response: it lies in no session and no message."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("API key created"),
            "key": key,
            "waits": WAITS.get(key.state, ""),
            "secret": key.secret,  # type: ignore[attr-defined]
        }
        return TemplateResponse(
            request, "admin/proxy/key_made.html", context, headers={"Cache-Control": "no-store"}
        )
