"""Use cases. A change holds for the next question; earlier questions stay as they were."""

from django.contrib import admin

from conversations.admin.rights import Administered

from ..models import UseCase


@admin.register(UseCase)
class UseCaseAdmin(Administered, admin.ModelAdmin):
    fields = ("name", "description", "prompt", "model", "order", "enabled")
    list_display = ("name", "description", "model", "order", "enabled")
    ordering = ("order", "name")
    actions = None
