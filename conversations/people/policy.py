"""Whether a person has to accept the usage policy before asking a model.

Asking on pages waits for that; calls with API keys do not. With USAGE_POLICY_URL the company's own
page takes its place, and the company sees to acceptance itself.
"""

from django.conf import settings

from ..models import UsagePolicy
from .access import Account

ACCEPT_FIRST = "Accept the usage policy first."


def pending_policy(user: Account) -> UsagePolicy | None:
    """The policy that this person has not accepted yet. One query."""
    return None if settings.USAGE_POLICY_URL else UsagePolicy.objects.awaiting(user)
