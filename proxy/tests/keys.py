"""API keys that work, whatever they may do: a second person has agreed where one has to."""

from typing import Any

from django.utils import timezone

from conversations.models import Approval, User
from conversations.models.approval import canonical
from proxy.models import ApiKey


def working_key(owner: User, name: str, **fields: Any) -> tuple[ApiKey, str]:
    key, secret = ApiKey.make(owner, name, **fields)
    if key.terms is not None:
        second, _ = User.objects.get_or_create(username="second person")
        Approval.objects.create(
            kind=ApiKey.APPROVAL,
            target=str(key.pk),
            name=str(key),
            content=canonical(key.describe()),
            digest=key.terms,
            right=key.approval_right,
            asked_by=owner,
            decided=timezone.now(),
            decided_by=second,
            agreed=True,
        )
    return key, secret
