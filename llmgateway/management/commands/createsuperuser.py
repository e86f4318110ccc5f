"""Django's own, on the audit trail."""

from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.db import transaction

from conversations.models import AuditEvent, User
from conversations.people import audit


class Command(createsuperuser.Command):
    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        newest = User.objects.order_by("-id").first()
        super().handle(*args, **options)
        for user in User.objects.filter(id__gt=newest.pk if newest else 0):
            audit.record(
                "manage.py createsuperuser",
                AuditEvent.Action.ADDED,
                user,
                name=str(user),
                what="Superuser.",
            )
