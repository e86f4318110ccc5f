"""The script of one call: admit → open → send → pass on → close.

`Exchange.close` runs once, however the call ends. `[DONE]`, or the last byte of a JSON reply, leaves only after the
record is closed: a caller that saw the end has a row that says so.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
from django.conf import settings
from django.db import Error
from requests import Response
from urllib3.exceptions import HTTPError

from conversations import database, record
from conversations.models import Snapshot
from conversations.record import CallRequest
from conversations.shape import Json

from .. import faults, outcome, request_id
from ..faults import Fault
from ..providers import kinds
from ..providers.base import Sent
from ..upstreams import client
from ..upstreams.body import Truncated
from ..upstreams.routing import ENVIRONMENT, Route, Way
from . import metrics, sse
from .exchange import Cause, Exchange, slots

TRIES = 2  # at each upstream
JITTER = (0.1, 0.4)  # seconds between two
AT_ONCE, SOON_ENOUGH = (
    0.5,
    5.0,
)  # seconds that an upstream may ask us to wait, while others are left, and at the last
T = TypeVar("T")
log = logging.getLogger(__name__)


def admit(
    asked: CallRequest,
    way: Way,
    client: Any = None,
    *,
    cancellable: bool = False,
    stoppable: bool = False,
    token: str = "",
) -> Exchange:
    """Admit and record. Raises Fault, having recorded the refusal; nothing has left."""
    asked.upstream = way.label
    try:
        asked.sent = way.first().body
        slots.take()
    except Fault as fault:
        raise refuse(asked, fault) from None
    try:
        call = record.open(asked)
    except record.UnknownConversation:
        slots.give()
        raise refuse(asked, faults.conversation_not_found()) from None
    except BaseException as problem:
        slots.give()
        if not isinstance(problem, Exception):
            raise
        log.exception("a call could not be recorded")
        raise faults.record_not_writable() from None
    finally:
        database.release()
    request_id.current.set(str(call.id))
    return Exchange(
        asked, call, way, client, cancellable=cancellable, stoppable=stoppable, token=token
    )


def refuse(asked: CallRequest, fault: Fault) -> Fault:
    """The same fault, once the refusal is on record; it then names the snapshot."""
    metrics.refused(asked.kind, fault)
    try:
        snapshot = record.refuse(asked, fault.code or "", fault.text)
        request_id.current.set(str(snapshot))
        return fault.about(snapshot)
    except Error:
        log.exception("a refusal could not be recorded")
        return faults.record_not_writable()
    finally:
        database.release()


def post(exchange: Exchange, begin: Callable[[Response], T]) -> T:
    """What `begin` makes of the first reply of status 200 that turns out to be an answer. Until then any of the call's upstreams may fail,
    for nothing of theirs was passed on. Raises Fault."""
    fault: Fault | None = None
    for route, others in order_routes(exchange.way.routes):
        for left in reversed(range(TRIES)):
            try:
                return attempt(exchange, route, begin)
            except Fault as problem:
                if exchange.cause or not problem.repeatable:
                    raise
                if fault is None or not problem.ours:
                    fault = problem
                if others and route.gate.state != "closed":
                    break
                if not left:
                    fault = fault.after_last_try()
                elif not pause(exchange, problem, AT_ONCE if others else SOON_ENOUGH):
                    break
    assert fault
    raise fault


def order_routes(routes: tuple[Route, ...]) -> Iterator[tuple[Route, bool]]:
    """Each with whether others are left. Those that fail of late come last."""
    passed: list[Route] = []
    for i, route in enumerate(routes):
        if route.gate.admits():
            yield route, i + 1 < len(routes) or bool(passed)
        else:
            passed.append(route)
    for i, route in enumerate(passed, 1):
        yield route, i < len(passed)


def attempt(exchange: Exchange, route: Route, begin: Callable[[Response], T]) -> T:
    """Send once. Raises Fault."""
    started = datetime.now(UTC)
    try:
        sent = prepare(exchange.way, route)
        if not exchange.goes_to(route):
            raise faults.upstream_full()
        token = (
            exchange.token
            if route.upstream == ENVIRONMENT and client.may_take_token(sent.url)
            else ""
        )
        headers = sent.headers | {"Authorization": token} if token else sent.headers
        reply = client.send("POST", sent.url, headers, sent.body, exchange=exchange)
        exchange.first_byte, exchange.since = datetime.now(UTC), time.monotonic()
        exchange.request_id = client.request_id(reply)
        if reply.status_code != 200:
            with closing(reply):
                raise client.read_refusal(
                    reply, kinds.find_kind(route.target, exchange.way.endpoint), token
                )
        begun = begin(reply)
    except Exception as problem:
        fault = exchange.discreet(as_fault(problem))
        route.gate.judge(judge_upstream(exchange, fault))
        exchange.leave()
        exchange.tried(route, started, fault)
        raise fault from None
    route.gate.judge(True)
    exchange.tried(route, started)
    return begun


def judge_upstream(exchange: Exchange, fault: Fault) -> bool | None:
    """What a failed try says of its upstream: one that refuses a call is well. None: nothing, as of one that has too many calls."""
    if fault.ours or fault.answered == 429 or exchange.cause not in (None, Cause.SILENT):
        return None
    return fault.answered in range(400, 500) and fault.answered != 408


def prepare(way: Way, route: Route) -> Sent:
    try:
        return way.request(route)
    except Fault as fault:
        raise fault.unsent_by_us() from None


def pause(exchange: Exchange, fault: Fault, longest: float) -> bool:
    """Wait before the next try, at least as long as the upstream asks for. False if that is too long, too late, or in vain."""
    asked = float(fault.retry_after or 0)
    end = time.monotonic() + max(asked, random.uniform(*JITTER))  # noqa: S311 - no secret hangs on it
    if fault.ours or asked > longest or end - exchange.began > exchange.patience.first_byte:
        return False
    while (left := end - time.monotonic()) > 0 and not exchange.cause:
        exchange.since = time.monotonic()
        time.sleep(min(left, 0.2))
    return not exchange.cause


def fetch(exchange: Exchange) -> bytes:
    """A call whose reply is one JSON document: its bytes. Raises Fault, always with the record closed."""
    try:
        answer, data, url = post(exchange, lambda reply: read_document(exchange, reply))
        pictures = None
        if exchange.asked.kind == Snapshot.Kind.IMAGE:
            pictures = outcome.picture_parts(answer, lambda link: client.fetch_picture(link, url))
        ended = exchange.amounts_to(answer, Snapshot.Status.OK, pictures)
    except Exception as problem:
        raise exchange.fail(as_fault(problem)) from None
    exchange.close(ended)
    return data


def read_document(exchange: Exchange, reply: Response) -> tuple[Json, bytes, str]:
    """A whole reply as OpenAI would give it, its bytes, and where it came from. Raises Fault; one whose end may be missing had been made, and is not asked for
    again."""
    try:
        data = client.read_body(reply, settings.MAX_REPLY, exchange)
    finally:
        reply.close() if exchange.cause else reply.raw.release_conn()
    kind = client.content_type(reply)
    streamed = kind == "text/event-stream"  # unasked: some do
    came = collect_stream(data) if streamed else client.load_json(data, kind)
    try:
        answer = translate(exchange, came)
    except Fault as fault:
        raise fault.without_answer() from None
    return (
        answer,
        data if answer is came and not streamed else orjson.dumps(answer),
        reply.request.url or "",
    )


def collect_stream(data: bytes) -> Json:
    streamed = sse.Reply()
    streamed.feed(data)
    streamed.digest()
    if streamed.begun and (streamed.error or streamed.bad or not streamed.finished):
        raise Truncated
    if streamed.error:
        raise faults.failed(streamed.error).without_answer()
    return streamed.completion() or {}


def translate(exchange: Exchange, answer: Any) -> Json:
    """As OpenAI would say it. Raises Fault where it is no answer."""
    way = exchange.way
    return kinds.find_kind(exchange.route.target, way.endpoint).reply(
        way.endpoint, way.body, answer
    )


def as_fault(problem: Exception) -> Fault:
    if isinstance(problem, Fault):
        return problem
    if isinstance(problem, OSError | Truncated | HTTPError):
        return faults.truncated()
    log.error("a call failed in the gateway", exc_info=problem)
    return faults.internal_error()
