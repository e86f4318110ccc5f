"""Sign-in is paused after too many failures, of one account or from one address.

django-axes counts them in the database.
Known and unknown names are treated alike: the same words, after the same time.
"""

from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from django.conf import settings
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from llmgateway import errors, trusted_proxies

Credentials = dict[str, Any] | None
LONGEST = 150  # characters of a name that are told apart
PAUSED = errors.Words(
    _("Too many attempts"),
    format_lazy(
        _(
            "Sign-in is paused for this account or from this address. "
            "Try again in {minutes} minutes."
        ),
        minutes=settings.SIGN_IN_PAUSE,
    ),
    _("Back to sign-in"),
)


class Throttle(AxesDatabaseHandler):
    """An address may fail more often than an account: an office shares one."""

    def get_failures(self, request: HttpRequest, credentials: Credentials = None) -> int:
        """Scale those of an address, so that one limit serves both; an unknown one has none."""
        account, address = (
            attempts.aggregate(sum=Sum("failures_since_start"))["sum"] or 0
            for attempts in self.get_user_attempts(request, credentials)
        )
        if not getattr(request, "axes_ip_address", None):
            return account
        return max(
            account, address * settings.SIGN_IN_FAILURES // settings.SIGN_IN_ADDRESS_FAILURES
        )


def address(request: HttpRequest) -> str | None:
    return trusted_proxies.find_client(request.META)


def name(request: HttpRequest, credentials: Credentials) -> str:
    return str((credentials or request.POST).get("username") or "")[:LONGEST]


def paused(request: HttpRequest, response: HttpResponse, credentials: Credentials) -> HttpResponse:
    page = errors.page(request, 429, PAUSED)
    page["Retry-After"] = str(settings.SIGN_IN_PAUSE * 60)
    return page
