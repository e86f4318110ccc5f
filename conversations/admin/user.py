"""People and groups. Who has calls on record is deactivated, not deleted."""

import zoneinfo

from django.contrib import admin
from django.contrib.auth import admin as auth
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from ..models import AuditEvent, Conversation, Decision, Snapshot, Usage, User
from .rights import Administered


class UserForm(UserChangeForm):
    def clean_time_zone(self) -> str:
        name = self.cleaned_data["time_zone"]
        if name and name not in zoneinfo.available_timezones():
            raise ValidationError("No such time zone. Write it as Europe/Berlin, America/New_York or Asia/Tokyo.")
        return name


@admin.register(User)
class UserAdmin(Administered, auth.UserAdmin):
    form = UserForm
    list_display = ("username", "get_full_name", "email", "job_title", "department", "is_active", "is_staff")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    search_fields = ("username", "first_name", "last_name", "email", "external_id")
    show_full_result_count = False
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email", "job_title", "department", "external_id", "time_zone")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    def get_deleted_objects(self, objs, request: HttpRequest):
        """Who is on record stays. Said without walking through their conversations, whose titles are content."""
        kept = [user for user in objs if on_record(user)]
        if not kept:
            return super().get_deleted_objects(objs, request)
        return [str(user) for user in objs], {}, set(), [f"What {user} did, which stays on record. Deactivate the account instead." for user in kept]


def on_record(user: User) -> bool:
    owns = any(rows.objects.filter(owner=user).exists() for rows in (Snapshot, Conversation, Usage))
    return owns or AuditEvent.objects.by(user).exists() or Decision.objects.filter(reviewer=user).exists()


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(Administered, auth.GroupAdmin):
    pass
