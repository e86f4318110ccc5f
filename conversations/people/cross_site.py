"""A look that another site had a person's browser take is no evidence about that person."""

from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

READS = ("GET", "HEAD")  # what changes something carries a CSRF token
OURS = ("same-origin", "none")  # none: a bookmark, or typed


class CrossSite(PermissionDenied):
    """The address was opened from another site."""


def refuse(request: HttpRequest) -> None:
    """Refuse a session's read that came from elsewhere. Raises CrossSite.

    Callers with a key have no session: a program decides itself what it asks.
    """
    if request.method in READS and hasattr(request, "session") and comes_from_elsewhere(request):
        raise CrossSite


def comes_from_elsewhere(request: HttpRequest) -> bool:
    """Whether the browser says that another site caused the request.

    Browsers say so in Sec-Fetch-Site, over TLS and on the own machine; older ones, and those over
    plain http, at most name the page that they came from.
    """
    if site := request.headers.get("Sec-Fetch-Site"):
        return site not in OURS
    source = request.headers.get("Origin") or request.headers.get("Referer")
    if not source:
        return False
    address = urlsplit(source)
    origin = f"{address.scheme}://{address.netloc}"
    return address.netloc != request.get_host() and origin not in settings.CSRF_TRUSTED_ORIGINS
