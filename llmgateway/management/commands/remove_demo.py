"""The end of the demo: its accounts and keys stop working."""

from typing import Any

from django.core.management import BaseCommand
from django.db import transaction

from conversations.models import AuditEvent
from conversations.people import audit
from llmgateway.demo import accounts
from proxy.models import ApiKey


class Command(BaseCommand):
    help = (
        "Deactivates the demo's accounts and revokes their keys. "
        "What they said stays: the record is never deleted."
    )

    @transaction.atomic
    def handle(self, **options: Any) -> None:
        keys = ApiKey.objects.filter(owner__in=accounts.accounts(), revoked=None)
        revoked = [key.name for key in keys]
        for key in keys:
            key.revoke()
        deactivated = list(accounts.active_demo_accounts())
        for user in deactivated:
            user.is_active = False
            user.set_unusable_password()
            user.save(update_fields=["is_active", "password"])
            audit.record(
                "manage.py remove_demo",
                AuditEvent.Action.CHANGED,
                user,
                name=str(user),
                what="Deactivated, password and keys taken away.",
            )
        if not deactivated and not revoked:
            self.stdout.write(
                "There is no active demo account and no demo key. Nothing was changed."
            )
            return
        self.stdout.write(
            f"Deactivated {len(deactivated)} demo accounts: {', '.join(map(str, deactivated))}. "
            f"Revoked {len(revoked)} API keys."
        )
        self.stdout.write("Their conversations stay in the record.")
