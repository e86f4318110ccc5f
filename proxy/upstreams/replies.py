"""What an upstream replied: its body within limits, its JSON, its error."""

import re
import time
from collections.abc import Callable
from typing import Any

import requests

from conversations import bounded_json, exact_json

from .. import faults, redaction
from ..faults import Fault
from ..protocols import errors, events, waits
from ..providers.base import Kind
from .body import Truncated, read_piece
from .connections import Watched

MOST_VALUES = 5_000_000  # of a reply: as many numbers of an embedding as MAX_REPLY holds
STREAMS_END = re.compile(rb"\s*data:\s*\[DONE\]\s*\Z")
REQUEST_ID_HEADERS = ("x-request-id", "apim-request-id", "x-amzn-requestid")


def read_body(reply: requests.Response, limit: int, exchange: Watched | None = None) -> bytes:
    """Read all of the body. Raises Truncated; Fault past the limit, after decompression."""
    pieces, size = [], 0
    while piece := read_piece(reply.raw):
        if exchange is not None:
            exchange.since = time.monotonic()
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            reply.close()
            raise faults.reply_too_large()
    return b"".join(pieces)


def read_refusal(reply: requests.Response, kind: Kind, token: str = "") -> Fault:
    """Read the upstream's own error as the caller's.

    A 4xx passes with its status and words, except one about the gateway's own credentials.
    """
    try:
        data = redaction.hide_document(read_body(reply, 65536))
    except (Fault, Truncated):
        data = b""  # the status has to do
    status, error = kind.error(reply.status_code, reply.headers, data)
    wait = waits.read_wait(reply.headers)
    if wait is None and status in faults.LIMITED:
        wait = waits.read_limit(reply.headers, data.decode(errors="replace"))
    fault = faults.refused(status, error, token, wait)
    is_futile = reply.headers.get("x-should-retry", "").strip().lower() == "false"
    return fault.after_last_try() if is_futile else fault


def is_answer(status: int) -> bool:
    """Tell whether a status says that it was done, and what it brought is in the body."""
    return 200 <= status < 300 and status not in (204, 205)


def read_content_type(reply: requests.Response) -> str:
    return reply.headers.get("content-type", "").split(";")[0].strip().lower()


def read_request_id(reply: requests.Response) -> str:
    found = (reply.headers[name] for name in REQUEST_ID_HEADERS if name in reply.headers)
    return redaction.hide(next(found, ""))


def strip_frame(data: bytes) -> bytes:
    """Return a document without a BOM ahead and without the end of a stream behind."""
    data = data.removeprefix(events.BOM)
    return STREAMS_END.sub(b"", data) if b"[DONE]" in data[-20:] else data


def load_json(
    data: bytes, content_type: str, load: Callable[[bytes | str], Any] = exact_json.loads
) -> Any:
    """Parse a body.

    Raises Fault, as one without an answer unless the body looks like JSON that was cut or misspelt.
    """
    try:
        return bounded_json.parse(strip_frame(data), MOST_VALUES, load)
    except bounded_json.TooManyValues:
        raise faults.reply_too_large() from None
    except ValueError:
        what = "a web page" if "html" in content_type else "something that is not JSON"
        fault = faults.bad_reply(f"The model's server answered with {what}.")
        like_json = data.lstrip()[:1] in (b"", b"{", b"[")
        raise (fault if like_json else fault.without_answer()) from None


def parse_answer(data: bytes, content_type: str) -> Any:
    """Parse a JSON object or list that is not an error. Raises Fault."""
    answer = load_json(data, content_type)
    if not isinstance(answer, dict | list):
        raise faults.no_object()
    if error := errors.find(answer):
        raise faults.failed(error)
    return answer
