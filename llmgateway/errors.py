"""What a page says when there is none: one shape, one way on, and the id that names the request.

No query, no session and no form is behind it: it stands when the database does not, and every
reader gets the same bytes but for the id and the theme.
"""

import sys
from typing import NamedTuple

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from procrastinate.exceptions import ConnectorException

from conversations.people.audit import NotRecorded
from conversations.people.cross_site import CrossSite
from llmgateway import theme
from llmgateway.middleware import is_api
from proxy.api import errors as api

Text = str | Promise


class Words(NamedTuple):
    """What the page says, and where its one link leads."""

    title: Text
    text: Text
    label: Text
    path: str | None = None  # None: the address that was asked for


AGAIN = _("Try again")
START = _("Go to the start page")
TOO_LARGE = Words(
    _("The request is too large"),
    _("That is more than this page accepts at a time. Send less, or in several parts."),
    START,
    "/",
)
BUSY = Words(
    _("Back in a moment"),
    _("Too many large requests are being read. Nothing was sent. Try again in a moment."),
    AGAIN,
)
BY_STATUS = {
    400: Words(
        _("We could not understand that request"),
        _("Something in the address or the form was not what this page expects."),
        START,
        "/",
    ),
    403: Words(_("Not allowed"), _("Your account may not open this page."), START, "/"),
    404: Words(
        _("Page not found"),
        _("There is no such page, or it is not one of yours."),
        START,
        "/",
    ),
    411: Words(
        _("We could not understand that request"),
        _("The request does not say how long it is. Send it with its length."),
        START,
        "/",
    ),
    413: TOO_LARGE,
    429: Words(_("Too many requests"), _("Wait for a moment, then try again."), AGAIN),
    500: Words(
        _("Something went wrong on our side"),
        _("The error has been recorded under the number below."),
        AGAIN,
    ),
    503: Words(
        _("Back in a moment"),
        _("The gateway cannot reach its record, and it passes nothing on that is not recorded."),
        AGAIN,
    ),
}
NOT_RECORDED = Words(
    _("Back in a moment"),
    _("The gateway cannot record that you opened this page, so it does not show it."),
    AGAIN,
)
FROM_ELSEWHERE = Words(
    _("Open this page yourself"),
    _(
        "A link of another site led here. Opening this page is recorded in your name, "
        "so nothing is shown before you choose to."
    ),
    _("Open the page"),
)
EXPIRED = Words(
    _("This page has expired"),
    _(
        "It was open for too long, or in another browser. Nothing was sent. "
        "Open the page again and repeat what you did."
    ),
    _("Open it again"),
)


def page(request: HttpRequest, status: int, words: Words | None = None) -> HttpResponse:
    words = words or BY_STATUS[status]
    if is_api(request) or api.is_program(request.META):
        return api.plain(status, f"{words.title}. {words.text}", request)
    context = words._asdict() | {
        "status": status,
        # Two slashes would name another host.
        "way": words.path or "/" + request.path.lstrip("/"),
        "request_id": getattr(request, "id", ""),
    }
    response = HttpResponse(
        render_to_string("error.html", context | theme.shown(request)), status=status
    )
    response["Cache-Control"] = "no-store"
    if status in (429, 503):
        response["Retry-After"] = "5"
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page(request, 413 if isinstance(exception, RequestDataTooBig) else 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page(request, 403, FROM_ELSEWHERE if isinstance(exception, CrossSite) else None)


def stale_form(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW."""
    return page(request, 403, EXPIRED)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page(request, 404)


def failed(request: HttpRequest) -> HttpResponse:
    problem = sys.exception()
    if isinstance(problem, NotRecorded):
        return page(request, 503, NOT_RECORDED)
    is_away = isinstance(problem, OperationalError | InterfaceError | ConnectorException)
    return page(request, 503 if is_away else 500)
