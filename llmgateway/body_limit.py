"""A page's body is held to its view's limit before any middleware or view parses it.

A body is never longer than its Content-Length, since neither gunicorn nor Django reads further; so
that header decides. A page takes no body of unknown length. A larger one is read and parsed here,
as soon as there is room for it: a page reads it before it asks who sends it. The API's bodies are
capped while proxy.api.rest reads them, and no other code reads those.
"""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils.translation import gettext as _

from conversations import database
from conversations.body_limits import BodyLimit, limit_of
from llmgateway import errors
from llmgateway.middleware import Respond, is_api
from proxy.faults import Fault
from proxy.limits import parsing

DRAINED = 32 << 20  # bytes of a larger body that are read: browsers read no answer before


class HoldBody:
    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, *args: Any) -> HttpResponse | None:
        if is_api(request):
            return None
        limit = limit_of(view)
        # Django's handler of CSRF tokens parses the form, and with it the files.
        request.upload_handlers = [limit.handler(request)]
        if "HTTP_TRANSFER_ENCODING" in request.META:
            return errors.page(request, HTTPStatus.LENGTH_REQUIRED)
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdigit() and int(length) <= limit.bytes:
            return parse(request, int(length)) if int(length) > parsing.SMALL else None
        drain(request)
        return errors.page(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, describe(limit))


def parse(request: HttpRequest, length: int) -> HttpResponse | None:
    """Read and parse the form, which the request keeps. Strangers share one account's room."""
    owner = request.user.pk or 0
    database.release()  # the body may be slow to come
    try:
        with parsing.room.hold(length, owner):
            request.POST  # noqa: B018 (Django parses it when it is asked for)
    except UnreadablePostError:
        return errors.page(request, HTTPStatus.BAD_REQUEST)
    except Fault as fault:
        drain(request)
        return errors.page(request, fault.status, errors.BUSY)
    return None


def drain(request: HttpRequest) -> None:
    left = DRAINED
    try:
        while left > 0 and (piece := request.read(1 << 16)):
            left -= len(piece)
    except OSError:
        pass  # the client has gone, and reads no answer


def describe(limit: BodyLimit) -> errors.Words:
    text = _("This page accepts %(number)d MB at a time. Send less, or in several parts.")
    return errors.TOO_LARGE._replace(text=text % {"number": limit.bytes >> 20})
