"""The API's one error shape, OpenAI's: {"error": {"message", "type", "param", "code"}}, for whatever goes wrong."""

import logging

import orjson
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from rest_framework import exceptions
from rest_framework.response import Response

from conversations.people.audit import NotRecorded
from conversations.shape import Json

from ..faults import Fault
from ..relay import exchange

TYPES = {
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "not_allowed"),
    404: ("invalid_request_error", "not_found"),
    405: ("invalid_request_error", "method_not_allowed"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}
log = logging.getLogger(__name__)


def as_fault(problem: Exception) -> Fault:
    if isinstance(problem, Fault):
        return problem
    if isinstance(problem, exceptions.APIException):
        status = problem.status_code
        kind, code = TYPES.get(
            status, ("invalid_request_error" if status < 500 else "server_error", None)
        )
        return Fault(status, code, str(problem.detail), kind)
    if isinstance(problem, Http404):
        return Fault(404, "not_found", "There is nothing here.", "invalid_request_error")
    if isinstance(problem, PermissionDenied):
        return Fault(403, "not_allowed", "You may not do that.", "permission_error")
    if isinstance(problem, InterfaceError | OperationalError | NotRecorded):
        log.error("the database is away: %s", type(problem).__name__)
        return Fault(
            503, "record_not_writable", exchange.NOT_RECORDED, "server_error", retry_after="5"
        )
    log.error("a request failed in the gateway", exc_info=problem)
    return Fault(500, "internal_error", "The gateway failed.", "server_error")


def handler(problem, context) -> Response:
    """DRF's exception handler. It answers everything, so that no view of the API falls to an HTML page."""
    fault = as_fault(problem)
    response = Response(
        shape(fault, context["request"].path_info), fault.status if fault.status != 499 else 400
    )
    if fault.spent:
        response["x-should-retry"] = "false"
    if fault.retry_after:
        response["retry-after"] = fault.retry_after
    if fault.snapshot:
        response["x-request-id"] = str(fault.snapshot)
    if fault.conversation:
        response["x-conversation-id"] = str(fault.conversation)
    if header := getattr(problem, "auth_header", None):
        response["www-authenticate"] = header
    return response


def shape(fault: Fault, path: str) -> Json:
    """A classic client reads `message`."""
    return (
        {"error": fault.error}
        if path.startswith("/v1/")
        else {"message": fault.text, "error": fault.error}
    )


def plain(status: int, text: str) -> HttpResponse:
    """The same shape for what fails outside DRF: an unknown host, a middleware, a path that is not there."""
    kind, code = TYPES.get(
        status, ("invalid_request_error" if status < 500 else "server_error", None)
    )
    return HttpResponse(
        orjson.dumps({"error": Fault(status, code, text, kind).error}),
        status=status,
        content_type="application/json",
    )
