"""Sign-in is paused after too many failures: of an account from one address, or of one address.

Failures from elsewhere never pause an account for its owner, who is not locked out by others. Where
an account fails very often from everywhere together, an address has but a few tries left for it.
django-axes counts in the database. Known and unknown names are treated alike: the same words, after
the same time.
"""

from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from django.conf import settings
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from conversations.gateway_request import network_of
from llmgateway import errors, trusted_proxies

Credentials = dict[str, Any] | None
LONGEST = 150  # characters of a name that are told apart
FEW = 3  # failures from one address, of an account that is tried from everywhere
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
    """Three counts with one limit, in the order of AXES_LOCKOUT_PARAMETERS."""

    def get_failures(self, request: HttpRequest, credentials: Credentials = None) -> int:
        """Scale each count to SIGN_IN_FAILURES. An unknown address has no count of its own."""
        here, *wider = (
            attempts.aggregate(sum=Sum("failures_since_start"))["sum"] or 0
            for attempts in self.get_user_attempts(request, credentials)
        )
        account, address = wider
        counts = [here]
        if account >= settings.SIGN_IN_ACCOUNT_FAILURES:
            counts.append(here * settings.SIGN_IN_FAILURES // FEW)
        if getattr(request, "axes_ip_address", None):
            counts.append(address * settings.SIGN_IN_FAILURES // settings.SIGN_IN_ADDRESS_FAILURES)
        return max(counts)


def address(request: HttpRequest) -> str | None:
    """The client's address; of IPv6 its network."""
    return network_of(trusted_proxies.find_client(request.META))


def name(request: HttpRequest, credentials: Credentials) -> str:
    return str((credentials or request.POST).get("username") or "")[:LONGEST]


def paused(request: HttpRequest, response: HttpResponse, credentials: Credentials) -> HttpResponse:
    page = errors.page(request, 429, PAUSED)
    page["Retry-After"] = str(settings.SIGN_IN_PAUSE * 60)
    return page
