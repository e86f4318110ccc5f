"""The usage policy: a draft first, then a published version that users accept."""

from django import forms
from django.contrib import admin
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy, ngettext

from ..figures import count
from ..models import UsagePolicy
from ..reading import markdown
from .rights import Administered

PUBLISHED = ("version", "published", "accepted_by", "as_shown")


class UsagePolicyForm(forms.ModelForm):
    publish = forms.BooleanField(
        required=False,
        help_text=gettext_lazy(
            "Publishes this text as the next version. It cannot be changed afterwards, and "
            "everyone is asked to accept it before their next question."
        ),
    )


@admin.register(UsagePolicy)
class UsagePolicyAdmin(Administered, admin.ModelAdmin):
    form = UsagePolicyForm
    list_display = ("name", "published", "accepted_by")
    ordering = ("-id",)
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsagePolicy]:
        return super().get_queryset(request).defer("text").annotate(people=Count("acceptances"))

    def get_fields(self, request: HttpRequest, obj: UsagePolicy | None = None) -> tuple[str, ...]:
        if is_published(obj):
            return PUBLISHED
        writable = obj is None or self.has_change_permission(request, obj)
        return ("text", "publish") if writable else ("text",)

    def get_readonly_fields(
        self, request: HttpRequest, obj: UsagePolicy | None = None
    ) -> tuple[str, ...]:
        return PUBLISHED if is_published(obj) else ()

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return not is_published(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return not is_published(obj) and super().has_delete_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, "view", "change")

    def save_model(
        self, request: HttpRequest, obj: UsagePolicy, form: UsagePolicyForm, change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        if form.cleaned_data["publish"]:
            obj.publish()

    @admin.display(description="policy")
    def name(self, policy: UsagePolicy) -> str:
        return str(policy).capitalize()

    @admin.display(description="accepted by")
    def accepted_by(self, policy: UsagePolicy) -> str:
        if not policy.version:
            return "–"
        people = policy.people  # type: ignore[attr-defined]
        return ngettext("%(count)s person", "%(count)s people", people) % {"count": count(people)}

    @admin.display(description="text")
    def as_shown(self, policy: UsagePolicy) -> SafeString:
        return markdown.html(policy.text)


def is_published(policy: Model | None) -> bool:
    return isinstance(policy, UsagePolicy) and bool(policy.version)
