"""Whether somebody has to accept the usage policy before asking.

Asking on pages waits for that; calls with API keys do not. With USAGE_POLICY_URL the company's own page stands instead,
and acceptance is the company's to ask for.
"""

from django.conf import settings

from ..models import UsagePolicy

ACCEPT_FIRST = "Accept the usage policy first."


def pending_policy(user) -> UsagePolicy | None:
    """What stands between this person and asking. One query."""
    return None if settings.USAGE_POLICY_URL else UsagePolicy.objects.awaiting(user)
