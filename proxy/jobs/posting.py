"""One POST of the worker's to an address of the operator's: its time, its way, how it ended.

It goes through the address guard and follows no redirect. Nothing leaves after its time is over.
"""

import hmac
import logging
import threading
import time
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from django.conf import settings

from .. import addresses
from ..faults import Code, Fault
from ..providers.base import Sent
from ..upstreams import client, replies
from ..upstreams.body import Truncated
from ..upstreams.connections import shut_socket

LONGEST_WAIT = 3600.0  # seconds of a Retry-After that are granted
AGAIN = (408, 425, 429)  # of the 4xx: the same may pass later
PROBLEMS: dict[str, str] = {
    Code.UPSTREAM_TIMEOUT: "no connection in time",
    Code.UPSTREAM_TLS: "the receiver could not prove who it is",
    Code.UPSTREAM_UNREACHABLE: "the receiver could not be reached, or hung up",
}
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "llm-gateway"}
log = logging.getLogger(__name__)


class Try:
    """An OpenCall with an end (seconds), after which nothing leaves and nothing is waited for."""

    since = 0.0

    def __init__(self, timeout: float) -> None:
        self.lock, self.sock = threading.Lock(), None
        self.ends = time.monotonic() + timeout
        self.timer = threading.Timer(timeout, self.cut)
        self.timer.daemon = True

    def carried_by(self, sock: Any) -> None:
        with self.lock:
            if sock is not None and self.over:
                raise OSError("too late to be sent")
            self.sock = sock

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.ends

    def cut(self) -> None:
        with self.lock:
            if self.sock is not None:
                shut_socket(self.sock)

    def __enter__(self) -> "Try":
        self.timer.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self.timer.cancel()


class Answer(NamedTuple):
    """The end of a try; `problem` is empty where what was sent was taken."""

    problem: str = ""
    refused: bool = False  # as it is: the same would hardly pass later
    retry_after: float = 0.0
    all_wait: bool = False  # retry_after is meant for all that this receiver gets


def post(setting: str, headers: dict[str, str], body: bytes, attempt: Try) -> Answer:
    """Send once, to the address that the setting of this name holds."""
    url = getattr(settings, setting)
    if addresses.find_objection(url):
        return Answer(f"{setting} is an address that calls may not be sent to", refused=True)
    try:
        reply = client.post(Sent(url, HEADERS | headers, body), exchange=attempt)
    except Fault as fault:
        return Answer(
            "no answer in time" if attempt.over else PROBLEMS.get(fault.code or "", "failed")
        )
    if attempt.over:  # cut inside the headers, whose reader takes that for their end
        reply.close()
        return Answer("no answer in time")
    _drain(reply, attempt)
    return read_answer(reply.status_code, reply.headers.get("retry-after", ""))


def sign_body(secret: str, body: bytes, now: int) -> dict[str, str]:
    """Make the headers that sign a body and the second of its sending."""
    signature = hmac.digest(secret.encode(), b"%d." % now + body, "sha256").hex()
    return {"X-Signature-Timestamp": str(now), "X-Signature": f"sha256={signature}"}


def _drain(reply: Any, attempt: Try) -> None:
    """Read the body, only so that the connection can be used again: the status is the answer."""
    try:
        replies.read_body(reply, 65536, attempt)
        reply.raw.release_conn()
    except (Fault, Truncated):
        reply.close()


def read_answer(status: int, retry_after: str) -> Answer:
    if 200 <= status < 300:
        return Answer()
    problem = f"the receiver answered {status}"
    if 300 <= status < 400:
        problem += ", a redirect: those are not followed"
    wait = read_seconds(retry_after) if status in (429, 503) else 0.0
    return Answer(
        problem,
        refused=300 <= status < 500 and status not in AGAIN,
        retry_after=wait,
        all_wait=status == 429 and wait > 0,
    )


def read_seconds(retry_after: str) -> float:
    """Read a Retry-After header in either of its forms."""
    try:
        wait = float(retry_after) if retry_after.isdecimal() else _seconds_until(retry_after)
    except (ValueError, OverflowError):
        return 0.0
    return min(max(wait, 0.0), LONGEST_WAIT)


def _seconds_until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()
