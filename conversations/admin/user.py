"""Users and groups. A user with calls on record is deactivated, not deleted."""

import base64
import zlib
import zoneinfo
from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import admin as auth
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.contrib.postgres.forms import SimpleArrayField
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..body_limits import BodyLimit, takes
from ..imports import directory, people
from ..models import AuditEvent, Conversation, Decision, Snapshot, Usage, User
from ..people.identity import hides_people
from .rights import Administered

SHOWN = 500  # lines of an import on its page


class UserForm(UserChangeForm):
    reviews_departments = SimpleArrayField(
        forms.CharField(max_length=150, required=False),
        delimiter="\n",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=User._meta.get_field("reviews_departments").help_text,
    )

    def clean_reviews_departments(self) -> list[str]:
        return [name for name in self.cleaned_data["reviews_departments"] if name]

    def clean_time_zone(self) -> str:
        name = self.cleaned_data["time_zone"]
        if name and name not in zoneinfo.available_timezones():
            raise ValidationError(
                _(
                    "This is not a known time zone. "
                    "Examples: Europe/Berlin, America/New_York, Asia/Tokyo."
                )
            )
        return name


class NewUserForm(AdminUserCreationForm):
    def clean(self) -> dict[str, Any] | None:
        data = super().clean()
        if data and data.get("is_service") and data.get("set_usable_password"):
            text = _("A service account does not sign in: switch its password off.")
            self.add_error("is_service", text)
        return data


@admin.register(User)
class UserAdmin(Administered, auth.UserAdmin):
    form, add_form = UserForm, NewUserForm
    add_fieldsets = (*auth.UserAdmin.add_fieldsets, (None, {"fields": ("is_service",)}))
    list_display = (
        "username",
        "full_name",
        "email",
        "job_title",
        "department",
        "is_active",
        "is_staff",
    )
    list_filter = ("is_active", "is_staff", "groups")
    search_fields = ("username", "first_name", "last_name", "email", "external_id")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (
            "Person",
            {
                "fields": (
                    "first_name",
                    "last_name",
                    "email",
                    "job_title",
                    "department",
                    "external_id",
                    "time_zone",
                )
            },
        ),
        (
            gettext_lazy("Permissions"),
            {
                "fields": (
                    "is_active",
                    "is_service",
                    "is_staff",
                    "is_superuser",
                    "groups",
                    "user_permissions",
                    "reviews_departments",
                )
            },
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    change_list_template = "admin/conversations/users.html"

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Declare no account a program's that exists: keys would work without its owner."""
        fixed = obj is not None and not obj.is_service
        return (*self.readonly_fields, "is_service") if fixed else self.readonly_fields

    @admin.display(description="name", ordering="last_name")
    def full_name(self, user: User) -> str:
        return user.get_full_name()

    def get_urls(self) -> list[URLPattern]:
        return [
            path(
                "import/",
                self.admin_site.admin_view(self.import_view),
                name="conversations_user_import",
            ),
            *super().get_urls(),
        ]

    @takes(BodyLimit(2 * directory.LARGEST, files=True))  # what is little too large is told so
    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Import people from a file: show what would change, then apply what was shown."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        options = people.Options(*(name in request.POST for name in people.Options._fields))
        if options.create and not self.has_add_permission(request):
            raise PermissionDenied
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": "Import people",
            "opts": self.opts,
            "entries": None,
            "options": options,
            "may_create": self.has_add_permission(request),
        }
        file, kept = request.FILES.get("file"), request.POST.get("kept", "")
        if file or kept:
            try:
                data = file.read(directory.LARGEST + 1) if file else unpack(kept)
                context |= self._import(request, data, options)
            except directory.UnreadableDirectory as problem:
                context["error"] = str(problem)
        return TemplateResponse(
            request,
            "admin/conversations/import_people.html",
            context,
            status=400 if "error" in context else 200,
        )

    def _import(self, request: HttpRequest, data: bytes, options: people.Options) -> dict[str, Any]:
        """Apply what was shown, or show what would change. Raises UnreadableDirectory."""
        written, has_moved = "write" in request.POST, False
        try:
            if written:
                entries = people.write(data, request, options, request.POST.get("plan", ""))
        except people.PlanChanged:
            written, has_moved = False, True
        if not written:
            entries = people.read(data, options, request)
        differing = [entry for entry in entries if entry.status != people.Status.SAME]
        return {
            "written": written,
            "has_moved": has_moved,
            "counted": people.counted(entries),
            "entries": differing[:SHOWN],
            "more": len(differing[SHOWN:]),
            "changing": any(entry.new for entry in entries),
            "kept": "" if written else pack(data),
            "plan": people.fingerprint(entries),
        }

    def get_deleted_objects(
        self, objs: Sequence[User] | QuerySet[User], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Protect users on record, without a look at their conversations: titles are content.

        Where people have aliases for the reader, all users: who is on record is not told by name.
        """
        told = not hides_people(request.user)
        kept = [user for user in objs if not told or is_on_record(user)]
        if not kept:
            return super().get_deleted_objects(objs, request)
        reason = _("the records of %(user)s, which are kept. Deactivate the account instead.")
        return [str(user) for user in objs], {}, set(), [reason % {"user": user} for user in kept]


def pack(data: bytes) -> str:
    """Write a file into a field of a form, which brings it back."""
    return base64.b64encode(zlib.compress(data)).decode()


def unpack(field: str) -> bytes:
    """Read it again, up to more than an import takes. Raises UnreadableDirectory."""
    try:
        packed = base64.b64decode(field, validate=True)
        return zlib.decompressobj().decompress(packed, directory.LARGEST + 1)
    except (ValueError, zlib.error):
        text = _("The file did not come back whole. Choose it again.")
        raise directory.UnreadableDirectory(text) from None


def is_on_record(user: User) -> bool:
    owns = any(rows.objects.filter(owner=user).exists() for rows in (Snapshot, Conversation, Usage))
    return (
        owns
        or AuditEvent.objects.by(user).exists()
        or Decision.objects.filter(reviewer=user).exists()
    )


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(Administered, auth.GroupAdmin):
    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> list[dict[str, Any]]:
        """Keep the old name of a group too: memberships on the trail bear it."""
        message = super().construct_change_message(request, form, formsets, add)
        if add or "name" not in form.changed_data:
            return message
        return [*message, {"renamed": {"was": form.initial["name"], "is": form.instance.name}}]
