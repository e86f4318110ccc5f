"""What people agree to when a key is made, and what the audit trail says of it."""

from typing import Any

from django.http import HttpRequest

from conversations.models import Approval
from conversations.people import approvals

from .models import ApiKey


def describe(key: ApiKey) -> dict[str, Any]:
    """The details of the audit event of making a key: whose it is, and what it may do."""
    if not key.made_elsewhere:
        return key.describe()
    return key.describe() | {"made_by": key.made_by.get_username() if key.made_by else "not known"}


def ask_second_person(request: HttpRequest, key: ApiKey) -> Approval | None:
    """Ask for a second person's agreement, where the key needs it and nobody has asked yet.

    For a person's key its owner asks, by making or accepting it; for a program's its maker.
    """
    if key.terms is None or key.waits_for_owner or key.approval:
        return None
    wanted = approvals.Wanted(
        kind=ApiKey.APPROVAL,
        target=str(key.pk),
        name=f"API key {key} of {key.owner.get_username()}",
        content=key.describe(),
        right=key.approval_right,
        until=key.expires,
    )
    return approvals.ask(request, wanted)
