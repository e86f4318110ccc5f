"""Other names of people: second accounts are joined here, and end users of shared keys named.

End users come by themselves, from the record. No account undoes what is known of its own person:
it would open that person's conversations to their own review.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import OtherName, User
from ..people.identity import hides_people
from ..people.persons import Fit, find_accounts, find_fits
from ..templatetags.review import visible
from .rights import Administered

Kind = OtherName.Kind


def _account_field(label: Any, **options: Any) -> forms.ModelChoiceField:
    """A field for a user name, typed: a list would have every account on the page."""
    return forms.ModelChoiceField(
        User.objects.all(),
        label=label,
        to_field_name="username",
        widget=forms.TextInput,
        error_messages={"invalid_choice": gettext_lazy("There is no user with that name.")},
        **options,
    )


class OtherNameForm(forms.ModelForm):
    account = _account_field(
        gettext_lazy("Account"),
        help_text=gettext_lazy(
            "User name of the second account; or of the account whose shared key names the person"
        ),
    )
    person = _account_field(
        gettext_lazy("Person"),
        required=False,
        help_text=gettext_lazy("User name of the person’s own account"),
    )

    class Meta:
        widgets = {"name": forms.TextInput}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["person"] = self.instance.person

    def clean(self) -> dict[str, Any] | None:
        data = super().clean() or {}
        kind = data.get("kind", self.instance.kind)
        account, person = data.get("account"), data.get("person")
        if kind == Kind.END_USER and not data.get("name", self.instance.name):
            self.add_error("name", _("Enter the name as the shared key gives it."))
        if kind == Kind.ACCOUNT and data.get("name"):
            self.add_error("name", _("A second account has no name of its own here."))
        if kind == Kind.ACCOUNT and not person and "person" not in self.errors:
            self.add_error("person", _("Enter whose second account it is."))
        if kind == Kind.ACCOUNT and account and account == person:
            self.add_error("person", _("These are the same account."))
        return data


class OtherNameList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        end_users = {
            (row.account_id, row.name) for row in self.result_list if row.kind == Kind.END_USER
        }
        fits = find_fits(end_users)
        for row in self.result_list:
            person = row.person if row.kind == Kind.ACCOUNT else None
            row.fit = person or fits.get((row.account_id, row.name))


@admin.register(OtherName)
class OtherNameAdmin(Administered, admin.ModelAdmin):
    form = OtherNameForm
    fields = ("kind", "account", "name", "person")
    list_display = ("other_name", "kind", "account", "whose", "made")
    list_filter = ("kind",)
    list_select_related = ("account", "person")
    search_fields = ("name", "account__username", "person__username")
    ordering = ("-id",)
    actions = None

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return OtherNameList

    def get_queryset(self, request: HttpRequest) -> QuerySet[OtherName]:
        """Select second accounts only, where end users have aliases for the reader."""
        rows = super().get_queryset(request).select_related("account", "person")
        return rows.filter(kind=Kind.ACCOUNT) if hides_people(request.user) else rows

    def get_readonly_fields(
        self, request: HttpRequest, obj: OtherName | None = None
    ) -> tuple[str, ...]:
        return ("kind", "account", "name") if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Name the person of an end user; what joins accounts is removed, not changed."""
        if isinstance(obj, OtherName) and (obj.kind == Kind.ACCOUNT or _is_own(request, obj)):
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """End users are on record, so their names stay."""
        if isinstance(obj, OtherName) and (obj.kind == Kind.END_USER or _is_own(request, obj)):
            return False
        return super().has_delete_permission(request, obj)

    @admin.display(description=gettext_lazy("other name"), ordering="name")
    def other_name(self, row: OtherName) -> SafeString:
        return visible(row.name or row.account.get_username())

    @admin.display(description=gettext_lazy("person"))
    def whose(self, row: OtherName) -> SafeString | str:
        """The account that an admin named, or whose name it is."""
        fit: User | Fit | None = row.fit  # type: ignore[attr-defined]
        return visible(fit.username) if fit else "–"


def _is_own(request: HttpRequest, row: OtherName) -> bool:
    joined = {row.account_id, row.person_id} if row.kind == Kind.ACCOUNT else {row.person_id}
    return bool(joined & find_accounts(request.user.pk))  # type: ignore[arg-type]
