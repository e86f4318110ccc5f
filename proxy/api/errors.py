"""The API's one error shape, OpenAI's: {"error": {"message", "type", "param", "code"}}."""

import logging

import orjson
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from procrastinate.exceptions import ConnectorException
from rest_framework import exceptions
from rest_framework.response import Response

from conversations.people.audit import NotRecorded
from conversations.shape import Json

from .. import faults
from ..faults import Fault

AWAY = (InterfaceError, OperationalError, ConnectorException, NotRecorded)  # of the database
log = logging.getLogger(__name__)


def as_fault(problem: Exception) -> Fault:
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
    fault = as_fault(problem)
    status = 400 if fault.status == 499 else fault.status
    response = Response(shape(fault, context["request"].path_info), status)
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


def shape(fault: Fault, path: str) -> Json:
    error: Json = {"error": fault.error}
    if path.startswith("/v1/"):
        return error
    return {"message": fault.text} | error  # which a classic client reads


def plain(status: int, text: str) -> HttpResponse:
    """Give what fails outside DRF the same shape: an unknown host, a middleware, a wrong path."""
    return HttpResponse(
        orjson.dumps({"error": faults.by_status(status, text).error}),
        status=status,
        content_type="application/json",
    )
