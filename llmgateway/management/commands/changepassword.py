"""Django's own, on the audit trail."""

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.db import transaction

from conversations.models import AuditEvent, User
from conversations.people import audit


class Command(changepassword.Command):
    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> str | None:
        answer = super().handle(*args, **options)
        changed = User.objects.get_by_natural_key(options["username"] or getpass.getuser())
        audit.record(
            "manage.py changepassword", AuditEvent.Action.PASSWORD, changed, name=str(changed)
        )
        return answer
