"""Sign-in is paused after too many failures for one account, or from one address: django-axes counts them in the database.

Known and unknown names are treated alike: the same words, after the same time.
"""

from axes.handlers.database import AxesDatabaseHandler
from django.conf import settings
from django.db.models import Sum
from django.http import HttpResponse

from llmgateway import errors
from llmgateway.middleware import client_address

LONGEST = 150  # characters of a name that are told apart
PAUSED = (
    "Too many attempts",
    f"Sign-in is paused for this account or from this address. Try again in {settings.SIGN_IN_PAUSE} minutes.",
    "Back to sign-in",
    None,
)


class Throttle(AxesDatabaseHandler):
    """An address may fail more often than an account: an office shares one."""

    def get_failures(self, request, credentials: dict | None = None) -> int:
        """An address's are scaled, so that one limit serves both; an unknown address has none."""
        account, address = (
            attempts.aggregate(sum=Sum("failures_since_start"))["sum"] or 0
            for attempts in self.get_user_attempts(request, credentials)
        )
        scaled = (
            address * settings.SIGN_IN_FAILURES // settings.SIGN_IN_ADDRESS_FAILURES
            if request.axes_ip_address
            else 0
        )
        return max(account, scaled)


def address(request) -> str | None:
    return client_address(request.META)


def name(request, credentials: dict | None) -> str:
    return str((credentials or request.POST).get("username") or "")[:LONGEST]


def paused(request, response, credentials) -> HttpResponse:
    page = errors.page(request, 429, PAUSED)
    page["Retry-After"] = str(settings.SIGN_IN_PAUSE * 60)
    return page
