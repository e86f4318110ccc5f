"""The review desk: what compliance staff see in Django's admin. Evidence is read-only there, for everyone."""

from django.contrib import admin

from . import conversation, policy, snapshot, user

admin.site.index_title = "Review and administration"

__all__ = ["conversation", "policy", "snapshot", "user"]
