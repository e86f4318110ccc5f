"""As little of DRF as the API needs: JSON in, JSON out, whatever Accept and Content-Type say."""

import codecs
import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Any

from django.conf import settings
from gunicorn.http.errors import ParseException
from rest_framework import negotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from conversations import bounded_json, exact_json
from conversations.body_limits import DRAIN_FACTOR
from conversations.record import CallRequest, threads
from conversations.record.calls import REFUSED_KEPT, Received
from conversations.shape import Json

from .. import faults
from ..limits.parsing import room
from .authentication import get_caller


class AsJSON(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return exact_json.dumps(data)


class AlwaysJSON(negotiation.BaseContentNegotiation):
    """Negotiation without a choice: an SDK asks for */*, a browser for HTML, and both get JSON."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> None:
        return None

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        return next(iter(renderers)), "application/json"


def read_object(request: Request, call_request: CallRequest | None = None) -> Json:
    """Read the body, a JSON object. Raises Fault; a call's request knows then what came."""
    with hold_room(request):
        return parse_object(read_body(request, call_request))


def hold_room(request: Request) -> AbstractContextManager[None]:
    """Hold room for a body that is to be read and parsed. Raises Fault where there is none."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    size = settings.MAX_BODY
    if length.isdigit() and not _is_chunked(request.META):
        size = min(int(length), size)
    return room.hold(size, get_caller(request).owner)


def read_body(request: Request, call_request: CallRequest | None = None) -> bytes:
    """Read the raw body, capped while it comes; a chunked one too, which Django takes for empty.

    Raises Fault. Tells a call's request what came.
    """
    http = request._request
    if http.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise faults.unsupported_encoding()
    limit, length = settings.MAX_BODY, http.META.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > DRAIN_FACTOR * limit:
        raise faults.request_too_large(limit)
    stream = http.META["wsgi.input"] if _is_chunked(http.META) else http
    try:
        body = stream.read(limit + 1)
        received = Received.of(body)
        if len(body) > limit:
            received = _drain(stream, body, (DRAIN_FACTOR - 1) * limit)
    except (OSError, ParseException):
        raise faults.body_incomplete() from None
    if call_request is not None:
        call_request.received = received
    if len(body) > limit:
        raise faults.request_too_large(limit)
    return body


def _is_chunked(meta: Mapping[str, Any]) -> bool:
    return "chunked" in meta.get("HTTP_TRANSFER_ENCODING", "").lower()


def _drain(stream: Any, body: bytes, limit: int) -> Received:
    """Read up to `limit` bytes more: most callers read no answer before they have sent all."""
    digest, length = sha256(body), len(body)
    while limit > 0 and (chunk := stream.read(1 << 16)):
        limit -= len(chunk)
        length += len(chunk)
        digest.update(chunk)
    return Received(body[:REFUSED_KEPT], length, digest.hexdigest())


def parse_object(body: bytes) -> Json:
    """Parse a JSON object: no NaN, no half of a surrogate pair, at most 64 levels. Raises Fault.

    It is UTF-8; a BOM ahead of it, which some programs write, is no part of it. All that walks
    through it in Python is bounded by the number of values that it may have.
    """
    encoding = json.detect_encoding(body)
    if not encoding.startswith("utf-8"):
        name = encoding[:6].upper()
        raise faults.invalid_json(
            f"The body is not JSON that can be kept: it is {name}, not UTF-8."
        )
    try:
        data = bounded_json.parse(body.removeprefix(codecs.BOM_UTF8))
    except bounded_json.TooManyValues as problem:
        raise faults.too_many_values(problem) from None
    except ValueError as problem:
        raise faults.invalid_json(f"The body is not JSON that can be kept: {problem}.") from None
    if not isinstance(data, dict):
        raise faults.invalid_json("The body must be a JSON object.")
    if body.count(b"{") + body.count(b"[") > threads.DEEPEST and threads.is_deeper(data):
        raise faults.invalid_json(f"The body is nested more than {threads.DEEPEST} levels deep.")
    return data
