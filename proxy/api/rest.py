"""As little of DRF as an OpenAI-shaped API needs: JSON in, JSON out, whatever Accept and Content-Type say."""

from typing import Any

import orjson
from django.conf import settings
from gunicorn.http.errors import ParseException
from rest_framework import negotiation, renderers

from conversations.record import threads
from conversations.shape import Json

from ..faults import Fault

DRAINED = 4  # times the largest body is read, to be refused


class AsJSON(renderers.BaseRenderer):
    media_type, format, charset = "application/json", "json", None

    def render(self, data, media_type=None, context=None):
        return orjson.dumps(data)


class AlwaysJSON(negotiation.BaseContentNegotiation):
    """An SDK asks for */*, a browser for HTML, and both get JSON."""

    def select_parser(self, request, parsers):
        return None

    def select_renderer(self, request, renderers, format_suffix=None):
        return renderers[0], "application/json"


def body_of(request) -> bytes:
    """The raw body, capped while it is read; also a chunked one, which Django takes for empty. Raises Fault."""
    http = request._request
    if http.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise Fault(
            415,
            "unsupported_encoding",
            "Send the body without compression.",
            "invalid_request_error",
        )
    limit, length = settings.MAX_BODY, http.META.get("CONTENT_LENGTH") or "0"
    too_large = Fault(
        413,
        "request_too_large",
        f"The request is larger than {limit >> 20} MB.",
        "invalid_request_error",
    )
    if not length.isdigit() or int(length) > DRAINED * limit:
        raise too_large
    stream = (
        http.META["wsgi.input"]
        if "chunked" in http.META.get("HTTP_TRANSFER_ENCODING", "").lower()
        else http
    )
    try:
        body = stream.read(limit + 1)
        if len(body) > limit:
            _drain(stream, (DRAINED - 1) * limit)
            raise too_large
    except (OSError, ParseException):
        raise Fault(
            400, "body_incomplete", "The request's body ended early.", "invalid_request_error"
        ) from None
    return body


def _drain(stream: Any, most: int) -> None:
    """Most callers read no answer before they have sent everything."""
    while most > 0 and (piece := stream.read(1 << 16)):
        most -= len(piece)


def parsed(body: bytes) -> Json:
    """A JSON object: no NaN, no half of a surrogate pair, not deeper than 64 levels. Raises Fault."""
    try:
        data = orjson.loads(body)
    except ValueError as problem:
        raise Fault(
            400,
            "invalid_json",
            f"The body is not JSON that can be kept: {problem}.",
            "invalid_request_error",
        ) from None
    if not isinstance(data, dict):
        raise Fault(400, "invalid_json", "The body must be a JSON object.", "invalid_request_error")
    if body.count(b"{") + body.count(b"[") > threads.DEEPEST and threads.is_deeper(data):
        raise Fault(
            400,
            "invalid_json",
            f"The body is nested more than {threads.DEEPEST} levels deep.",
            "invalid_request_error",
        )
    return data
