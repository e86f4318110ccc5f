"""Use cases: what is changed here holds for the next question; what was asked before stays as it was."""

from django.contrib import admin

from conversations.admin.rights import Administered

from ..models import UseCase


@admin.register(UseCase)
class UseCaseAdmin(Administered, admin.ModelAdmin):
    fields = ("name", "description", "prompt", "model", "order", "enabled")
    list_display = ("name", "description", "model", "order", "enabled")
    ordering = ("order", "name")
    actions = None
