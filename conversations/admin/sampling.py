"""Sampling policies, for Leads. A draw depends on its policy: switched off, never changed."""

import secrets
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, gettext_lazy

from ..figures import count
from ..models import Review, SamplingPolicy, Usage, User
from ..people.access import Account, may, reviews_departments
from ..people.identity import FEWEST, hides_people, tells_a_person
from .rights import Administered

SENSIBLE = [MinValueValidator(0.01), MaxValueValidator(100)]


class PolicyForm(forms.ModelForm):
    percent = forms.DecimalField(
        max_digits=5,
        decimal_places=2,
        validators=SENSIBLE,
        help_text=gettext_lazy("of the conversations, and calls in none, that start from now on"),
    )
    reader: Account  # whose form it is

    def clean_department(self) -> str:
        """Refuse a department of few people: what is drawn of it would be known of a person.

        And one of none, which draws nothing: it is misspelt.
        """
        name: str = self.cleaned_data["department"]
        if tells_a_person(self.reader, [name] if name else []):
            text = gettext("Choose a department of at least %(number)d people, or all.")
            raise ValidationError(text % {"number": FEWEST})
        own = reviews_departments(self.reader)
        if own and name not in own:
            raise ValidationError(gettext("Choose one of the departments that you review."))
        if name and not User.objects.filter(is_active=True, department=name).exists():
            raise ValidationError(gettext("No person is in this department: check its spelling."))
        return name

    def clean_model(self) -> str:
        """Refuse a model that no call was for: it is misspelt, and would draw nothing."""
        name: str = self.cleaned_data["model"]
        if name and not Usage.objects.filter(model=name).exists():
            text = gettext("No call was for this model yet: check its spelling.")
            raise ValidationError(text)
        return name


@admin.register(SamplingPolicy)
class SamplingPolicyAdmin(Administered, admin.ModelAdmin):
    form = PolicyForm
    fields = ("percent", "department", "model", "active")
    list_display = ("__str__", "active", "drawn", "made_by", "made")
    list_select_related = ("made_by",)
    ordering = ("-id",)
    actions = None

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> type[PolicyForm]:
        form = cast(type[PolicyForm], super().get_form(request, *args, **kwargs))
        form.reader = request.user
        return form

    def _may(self, request: HttpRequest, *actions: str) -> bool:
        return actions != ("delete",) and may(request.user, "lead")

    def get_readonly_fields(
        self, request: HttpRequest, obj: SamplingPolicy | None = None
    ) -> tuple[str, ...]:
        return ("percent", "department", "model", "seed_in_hex", "made_by", "made") if obj else ()

    def get_fields(
        self, request: HttpRequest, obj: SamplingPolicy | None = None
    ) -> tuple[str, ...]:
        return (*self.fields, "seed_in_hex", "made_by", "made") if obj else self.fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[SamplingPolicy]:
        departments = reviews_departments(request.user)
        drawn = Review.objects.exclude(policy=None)
        if departments:
            drawn = drawn.of_owners(department__in=departments)
        if hides_people(request.user):  # a department may be one person
            drawn = drawn.filter(policy__department="")
        self.counts = dict(drawn.values_list("policy").annotate(Count("pk")))
        return super().get_queryset(request).known_to(departments)  # type: ignore[attr-defined]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A policy of all departments is not changed by a Lead of some."""
        departments = reviews_departments(request.user)
        foreign = isinstance(obj, SamplingPolicy) and obj.department not in departments
        return self._may(request, "change") and not (departments and foreign)

    def save_model(
        self, request: HttpRequest, obj: SamplingPolicy, form: PolicyForm, change: bool
    ) -> None:
        if obj.pk is None:
            obj.seed, obj.made_by = secrets.token_bytes(32), request.user  # type: ignore[assignment]
        super().save_model(request, obj, form, change)

    @admin.display(description=gettext_lazy("selected"))
    def drawn(self, policy: SamplingPolicy) -> str:
        number = self.counts.get(policy.pk, 0)
        return count(number) if number or not policy.department else "–"

    @admin.display(description="seed")
    def seed_in_hex(self, policy: SamplingPolicy) -> str:
        return bytes(policy.seed).hex()
