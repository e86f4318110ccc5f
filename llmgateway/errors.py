"""What a page says when there is none: one shape, one way on, and the id under which the request can be found.

No query, no session and no form is behind it: it stands when the database does not, and all who get it get the same
bytes but for the id and the theme.
"""

import sys

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse
from django.template.loader import render_to_string

from conversations.people.audit import NotRecorded
from llmgateway import theme
from llmgateway.middleware import is_api
from proxy.api import errors as api

AGAIN, START = "Try again", "Go to the start page"
TEXTS = {  # status: title, text, the link's words, where it leads (none: here)
    400: (
        "That request made no sense",
        "Something in the address or the form was not what this page expects.",
        START,
        "/",
    ),
    403: ("Not allowed", "Your account may not open this page.", START, "/"),
    404: ("Nothing here", "There is no such page, or it is not one of yours.", START, "/"),
    413: (
        "Too much at once",
        "The request is larger than the 20 MB that the gateway accepts. Send less, or in several parts.",
        START,
        "/",
    ),
    429: ("Too many requests", "Wait for a moment, then try again.", AGAIN, None),
    500: (
        "The gateway failed",
        "This is our fault. It has been noted under the number below.",
        AGAIN,
        None,
    ),
    503: (
        "Back in a moment",
        "The gateway cannot reach its record, and nothing passes that is not recorded.",
        AGAIN,
        None,
    ),
}
NOT_RECORDED = (
    "Back in a moment",
    "The gateway cannot record that you opened this page, so it does not show it.",
    AGAIN,
    None,
)
STALE = (
    "This form is too old",
    "It was open for too long, or in another browser. Nothing was sent. Open the page again and repeat it.",
    "Open it again",
    None,
)


def page(
    request, status: int, words: tuple[str, str, str, str | None] | None = None
) -> HttpResponse:
    title, text, label, where = words or TEXTS[status]
    if is_api(request):
        return api.plain(status, f"{title}. {text}")
    way = where or "/" + request.path.lstrip("/")  # two slashes would name another host
    shown = {
        "status": status,
        "title": title,
        "text": text,
        "label": label,
        "way": way,
        "request_id": request.id,
    } | theme.shown(request)
    content = render_to_string("error.html", shown)
    response = HttpResponse(content, status=status)
    response["Cache-Control"] = "no-store"
    if status in (429, 503):
        response["Retry-After"] = "5"
    return response


def bad_request(request, exception) -> HttpResponse:
    return page(request, 413 if isinstance(exception, RequestDataTooBig) else 400)


def forbidden(request, exception) -> HttpResponse:
    return page(request, 403)


def stale_form(request, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW."""
    return page(request, 403, STALE)


def not_found(request, exception) -> HttpResponse:
    return page(request, 404)


def failed(request) -> HttpResponse:
    problem = sys.exception()
    if isinstance(problem, NotRecorded):
        return page(request, 503, NOT_RECORDED)
    return page(request, 503 if isinstance(problem, OperationalError | InterfaceError) else 500)
