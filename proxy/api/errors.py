"""The API's errors, in the words of the API that the caller speaks.

OpenAI's {"error": {"message", "type", "param", "code"}}; with a `message` beside it for classic
clients; Anthropic's {"type": "error", "error": {"type", "message"}, "request_id"}.
"""

import logging
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import orjson
from django.core.exceptions import DisallowedHost, PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from procrastinate.exceptions import ConnectorException
from rest_framework import exceptions
from rest_framework.response import Response

from conversations.people.audit import NotRecorded
from conversations.shape import Json

from .. import faults
from ..faults import Fault

AWAY = (InterfaceError, OperationalError, ConnectorException, NotRecorded)  # of the database
log = logging.getLogger(__name__)

PROGRAMS = (
    *("HTTP_AUTHORIZATION", "HTTP_API_KEY", "HTTP_X_API_KEY", "HTTP_X_GOOG_API_KEY"),
    "HTTP_ANTHROPIC_VERSION",
)
ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class Api(StrEnum):
    """Whose API a caller speaks; the value is the base URL that it is given, below the host."""

    OPENAI = "/v1"
    CLASSIC = "/api"
    ANTHROPIC = ""


def find_api(meta: Mapping[str, Any], path: str) -> Api:
    if meta.get("HTTP_ANTHROPIC_VERSION") or re.match(r"/v1/(messages|complete)(/|$)", path):
        return Api.ANTHROPIC
    return Api.CLASSIC if path.startswith("/api/") else Api.OPENAI


def is_program(meta: Mapping[str, Any]) -> bool:
    """Return whether a request is a program's wherever it goes: it brings a key, or JSON.

    A browser's may have a header for keys from a proxy that signs people on; it asks for HTML.
    """
    if "json" in meta.get("CONTENT_TYPE", ""):
        return True
    is_browsers = "text/html" in meta.get("HTTP_ACCEPT", "")
    return not is_browsers and any(meta.get(name) for name in PROGRAMS)


def say_where(request: HttpRequest) -> str:
    """Say what was asked for, and what the base URL of the caller's API is."""
    base = find_api(request.META, request.path_info).value
    try:
        base = request.build_absolute_uri(base or "/").rstrip("/")
    except DisallowedHost:
        pass  # it is not said under a name that is not ours
    path = "".join(sign for sign in request.path[:200] if sign.isprintable())
    return f"This was {request.method} {path}; the base URL of this API is {base or '/'}."


def find_request_fault(problem: Exception) -> Fault:
    """Say why a request of the API fails, whatever a view raised."""
    if isinstance(problem, Fault):
        return problem
    if isinstance(problem, exceptions.APIException):
        return faults.by_status(problem.status_code, str(problem.detail))
    if isinstance(problem, Http404):
        return faults.not_found()
    if isinstance(problem, PermissionDenied):
        return faults.not_allowed()
    if isinstance(problem, AWAY):
        log.error("the database is away: %s", type(problem).__name__)
        return faults.record_not_writable()
    log.error("a request failed in the gateway", exc_info=problem)
    return faults.internal_error()


def handler(problem: Exception, context: Json) -> Response:
    """Answer every exception of a view, so that none of the API falls to an HTML page.

    DRF calls it.
    """
    fault, request = find_request_fault(problem), context["request"]._request
    if isinstance(problem, exceptions.APIException) and fault.status in (401, 404, 405):
        fault = fault.copy(text=f"{fault.text} {say_where(request)}")
    status = 400 if fault.status == 499 else fault.status
    response = Response(shape(fault, request), status)
    if not fault.worth_repeating:
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


def shape(fault: Fault, request: HttpRequest) -> Json:
    error: Json = {"error": fault.error}
    match find_api(request.META, request.path_info):
        case Api.ANTHROPIC:
            other = "invalid_request_error" if fault.status < 500 else "api_error"
            kind = ANTHROPIC_TYPES.get(fault.status, other)
            number = str(fault.snapshot or getattr(request, "id", None) or "")
            words = {"type": kind, "message": fault.text}
            return {"type": "error", "error": words, "request_id": number}
        case Api.CLASSIC:
            return {"message": fault.text} | error
        case Api.OPENAI:
            return error


def plain(status: int, text: str, request: HttpRequest | None = None) -> HttpResponse:
    """Give what fails outside DRF the same shape: an unknown host, a middleware, a wrong path.

    Without a request that could be read it is OpenAI's.
    """
    if request and status == 404:
        text = f"{text} {say_where(request)}"
    fault = faults.by_status(status, text)
    body = shape(fault, request) if request else {"error": fault.error}
    return HttpResponse(orjson.dumps(body), status=status, content_type="application/json")
