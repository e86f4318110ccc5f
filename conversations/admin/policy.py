"""The usage policy: written as a draft, published for good, accepted by people on their pages."""

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from ..models import UsagePolicy
from ..reading import markdown
from .rights import Administered


class UsagePolicyForm(forms.ModelForm):
    publish = forms.BooleanField(
        required=False,
        help_text="For good, as the next version: everybody is asked to accept it before the next question.",
    )


@admin.register(UsagePolicy)
class UsagePolicyAdmin(Administered, admin.ModelAdmin):
    form = UsagePolicyForm
    list_display = ("name", "published", "accepted_by")
    ordering = ("-id",)
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsagePolicy]:
        return super().get_queryset(request).defer("text").annotate(people=Count("acceptances"))

    def get_fields(self, request: HttpRequest, obj=None):
        if obj and obj.version:
            return ("version", "published", "accepted_by", "as_shown")
        return (
            ("text", "publish")
            if obj is None or self.has_change_permission(request, obj)
            else ("text",)
        )

    def get_readonly_fields(self, request: HttpRequest, obj=None):
        return ("version", "published", "accepted_by", "as_shown") if obj and obj.version else ()

    def has_change_permission(self, request: HttpRequest, obj=None) -> bool:
        return not (obj and obj.version) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj=None) -> bool:
        return not (obj and obj.version) and super().has_delete_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj=None) -> bool:
        return self._may(request, "view", "change")

    def save_model(self, request: HttpRequest, obj: UsagePolicy, form, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if form.cleaned_data["publish"]:
            obj.publish()

    @admin.display(description="policy")
    def name(self, policy: UsagePolicy) -> str:
        return str(policy).capitalize()

    @admin.display(description="accepted by")
    def accepted_by(self, policy: UsagePolicy) -> str:
        people = policy.people  # type: ignore[attr-defined]
        return f"{people:,} {'person' if people == 1 else 'people'}" if policy.version else "–"

    @admin.display(description="text")
    def as_shown(self, policy: UsagePolicy) -> SafeString:
        return markdown.html(policy.text)
