"""As little of DRF as an OpenAI-shaped API needs: JSON in, JSON out, whatever Accept and Content-Type say."""

from typing import Any

import orjson
from django.conf import settings
from gunicorn.http.errors import ParseException
from rest_framework import negotiation, renderers

from conversations.record import threads
from conversations.shape import Json

from .. import faults

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
        raise faults.unsupported_encoding()
    limit, length = settings.MAX_BODY, http.META.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > DRAINED * limit:
        raise faults.request_too_large(limit)
    stream = (
        http.META["wsgi.input"]
        if "chunked" in http.META.get("HTTP_TRANSFER_ENCODING", "").lower()
        else http
    )
    try:
        body = stream.read(limit + 1)
        if len(body) > limit:
            _drain(stream, (DRAINED - 1) * limit)
            raise faults.request_too_large(limit)
    except (OSError, ParseException):
        raise faults.body_incomplete() from None
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
        raise faults.invalid_json(f"The body is not JSON that can be kept: {problem}.") from None
    if not isinstance(data, dict):
        raise faults.invalid_json("The body must be a JSON object.")
    if body.count(b"{") + body.count(b"[") > threads.DEEPEST and threads.is_deeper(data):
        raise faults.invalid_json(f"The body is nested more than {threads.DEEPEST} levels deep.")
    return data
