"""The script of one call: admit → open → send → pass on → close.

`Exchange.close` runs once, however the call ends. `[DONE]`, or the last byte of a JSON reply,
leaves only after the record is closed: a caller that saw the end has a row that says so.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import orjson
from django.conf import settings
from django.db import Error
from requests import Response

from conversations import database, exact_json, record
from conversations.models import Snapshot
from conversations.record import CallRequest, Outcome
from conversations.shape import Json

from .. import faults, outcome, redaction, request_id
from ..faults import Fault
from ..protocols import chat, events
from ..protocols.base import StreamProtocol
from ..protocols.images import Pictures, read_count
from ..providers import kinds
from ..providers.base import Endpoint, Sent
from ..upstreams import client, replies
from ..upstreams.body import Truncated
from ..upstreams.routing import ENVIRONMENT, Route, Way
from . import metrics
from .causes import Cause
from .exchange import NO_LINK, CallerLink, Exchange, process
from .retries import JITTER, REPEATS, GiveUp, Retry, Standing, next_step

PICTURES = {Endpoint.IMAGES: "image_generation", Endpoint.EDITS: "image_edit"}
T = TypeVar("T")
log = logging.getLogger(__name__)


def admit(request: CallRequest, way: Way, caller: CallerLink = NO_LINK) -> Exchange:
    """Admit and record. Raises Fault, having recorded the refusal; nothing has left."""
    request.upstream = way.label
    try:
        request.sent = way.first().body
        process.slots.take(request.owner)
    except Fault as fault:
        raise refuse(request, fault) from None
    try:
        call = record.open(request)
    except record.UnknownConversation:
        process.slots.give(request.owner)
        raise refuse(request, faults.conversation_not_found()) from None
    except BaseException as problem:
        process.slots.give(request.owner)
        if not isinstance(problem, Exception):
            raise
        log.exception("a call could not be recorded")
        raise faults.record_not_writable() from None
    finally:
        database.release()
    request_id.current.set(str(call.id))
    return Exchange(request, call, way, caller)


def refuse(request: CallRequest, fault: Fault) -> Fault:
    """Record the refusal. Return the same fault, which then names the snapshot."""
    metrics.count_refusal(request.kind, fault)
    try:
        snapshot = record.refuse(request, fault.code or "", fault.text)
        request_id.current.set(str(snapshot))
        return fault.about(snapshot)
    except Error:
        log.exception("a refusal could not be recorded")
        return faults.record_not_writable()
    finally:
        database.release()


# Tries ------------------------------------------------------------------------------------------


def post(exchange: Exchange, begin: Callable[[Response], T]) -> T:
    """Return what `begin` makes of the first reply that turns out to be an answer.

    Raises Fault: the last one that an upstream gave, or where none did, the gateway's first.
    """
    redaction.present(exchange.token)
    routes = order_routes(exchange.way.routes)
    route, routes_left = next(routes)
    repeats_left, due = REPEATS, exchange.began + exchange.way.patience
    reported: Fault | None = None
    while True:
        try:
            return attempt(exchange, route, begin)
        except Fault as fault:
            if not exchange.cause and exchange.way.leave_out_usage(route, fault):
                continue
            if reported is None or not fault.ours:
                reported = fault
            step = next_step(
                fault,
                Standing(
                    is_cut=exchange.cause is not None,
                    is_failing=route.gate.state != "closed",
                    repeats_left=repeats_left,
                    routes_left=routes_left,
                    seconds_left=due - time.monotonic(),
                ),
                random.uniform(*JITTER),  # noqa: S311 - no secret hangs on it
            )
        if isinstance(step, Retry):
            repeats_left -= 1
            if pause(exchange, step.seconds):
                continue
            raise reported
        if isinstance(step, GiveUp):
            raise reported.after_last_try() if step.spent else reported
        route, routes_left = next(routes)


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


def pause(exchange: Exchange, seconds: float) -> bool:
    """Wait before the next try. False if the call is cut: there will be none."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not exchange.cause:
        exchange.since = time.monotonic()
        time.sleep(min(left, 0.2))
    return not exchange.cause


def attempt(exchange: Exchange, route: Route, begin: Callable[[Response], T]) -> T:
    """Send once. Raises Fault."""
    started = datetime.now(UTC)
    try:
        begun = begin(send(exchange, route))
    except Exception as problem:
        fault = find_call_fault(problem)
        route.gate.judge(healthy=judge_upstream(exchange, fault))
        exchange.leave()
        exchange.note_try(route, started, fault)
        raise fault from None
    route.gate.judge(healthy=True)
    exchange.note_try(route, started)
    return begun


def send(exchange: Exchange, route: Route) -> Response:
    """Return a reply that says it was done, its body unread. Raises Fault."""
    sent = prepare(exchange.way, route)
    if not exchange.enter(route):
        raise faults.upstream_full()
    token = ""
    if route.upstream == ENVIRONMENT and client.may_take_token(sent.url):
        token = exchange.token
    if token:
        sent = replace(sent, headers=sent.headers | {"Authorization": token})
    reply = client.post(sent, exchange=exchange)
    exchange.first_byte, exchange.since = datetime.now(UTC), time.monotonic()
    exchange.request_id = replies.read_request_id(reply)
    if not replies.is_answer(reply.status_code):
        kind = kinds.find_kind(route.target, exchange.way.endpoint)
        with closing(reply):
            raise replies.read_refusal(reply, kind, token)
    return reply


def prepare(way: Way, route: Route) -> Sent:
    try:
        return way.request(route)
    except Fault as fault:
        raise fault.unsent_by_us() from None


def judge_upstream(exchange: Exchange, fault: Fault) -> bool | None:
    """Say whether its upstream is well after a failed try; one that refuses a call is.

    None: the try says nothing, as of one that has too many calls.
    """
    if fault.ours or fault.answered == 429 or exchange.cause not in (None, Cause.SILENT):
        return None
    return fault.answered in range(400, 500) and fault.answered != 408


# Replies of one JSON document -------------------------------------------------------------------


class Document(NamedTuple):
    """A reply as OpenAI would give it, its bytes, and the URL that it came from.

    `fault`: what it says went wrong although an answer had begun, which is kept.
    """

    answer: Json
    data: bytes
    url: str
    fault: Fault | None = None


def fetch(exchange: Exchange) -> bytes:
    """Return the bytes of a reply that is one JSON document.

    Raises Fault, always with the record closed.
    """
    try:
        document = post(exchange, lambda reply: fetch_document(exchange, reply))
        ended = read_success(exchange, document.answer, document.url)
    except Exception as problem:
        raise exchange.fail(find_call_fault(problem)) from None
    if document.fault:
        raise exchange.fail(document.fault, document.answer)
    if fault := exchange.close(ended):
        raise fault
    return document.data


def read_success(exchange: Exchange, answer: Json | None, url: str) -> Outcome:
    """Read the outcome of a whole answer; pictures that it only links to are fetched."""
    pictures = None
    if exchange.request.kind == Snapshot.Kind.IMAGE:
        pictures = outcome.read_pictures(answer or {}, lambda link: client.fetch_picture(link, url))
    return exchange.read_outcome(answer, Snapshot.Status.OK, pictures)


def find_protocol(exchange: Exchange) -> StreamProtocol:
    """Find how events of this call's answer are read and written."""
    name = PICTURES.get(exchange.way.endpoint)
    return Pictures(name, read_count(exchange.request.body)) if name else chat


def fetch_document(exchange: Exchange, reply: Response) -> Document:
    """Read a whole reply.

    Raises Fault. An answer whose end may be missing was made once, and is not asked for again.
    """
    try:
        data = replies.read_body(reply, settings.MAX_REPLY, exchange)
    finally:
        if exchange.cause:
            reply.close()
        else:
            reply.raw.release_conn()
    return read_document(exchange, reply, data)


def read_document(exchange: Exchange, reply: Response, data: bytes) -> Document:
    """Make a document of a reply's bytes, whatever they are labelled. Raises Fault."""
    url = reply.request.url or ""
    data = redaction.hide_whole(data, redaction.spell_sent())
    if events.is_stream(data):  # unasked: some do
        return collect_stream(exchange, data, url)
    data = replies.strip_frame(data)
    # The numbers of vectors are floats, and too many to be looked at one by one.
    load = orjson.loads if exchange.way.endpoint is Endpoint.EMBEDDINGS else exact_json.loads
    came = replies.load_json(data, replies.read_content_type(reply), load)
    try:
        answer = translate(exchange, came)
    except Fault as fault:
        raise fault.without_answer() from None
    if answer is not came:
        data = exact_json.dumps(answer)
    failure = chat.find_failure(answer) if exchange.way.endpoint is Endpoint.CHAT else None
    return Document(answer, data, url, None if failure is None else faults.failed(failure))


def collect_stream(exchange: Exchange, data: bytes, url: str) -> Document:
    """Make a document of a stream that came whole. Raises Fault."""
    protocol = find_protocol(exchange)
    streamed, cutter = protocol.new_reply(), events.Cutter()
    streamed.feed(events.hush(cutter.cut(data)))
    if not streamed.ended:
        streamed.feed(events.hush(cutter.finish()))
        streamed.finish()
    answer, fault = streamed.whole(), None
    if streamed.error is not None:
        fault = faults.failed(streamed.error)
    elif streamed.bad:
        fault = faults.no_event()
    elif answer is None:
        fault = faults.empty_answer()
    elif not streamed.done and not streamed.finished:
        fault = faults.truncated()
    if answer is None or (fault and not streamed.answered):
        raise (fault or faults.empty_answer()).without_answer()
    document = protocol.as_document(answer, exchange.request.model, exchange.call.id.hex)
    return Document(answer, exact_json.dumps(document), url, fault)


def translate(exchange: Exchange, answer: Any) -> Json:
    """As OpenAI would say it. Raises Fault where it is no answer."""
    way = exchange.way
    kind = kinds.find_kind(exchange.route.target, way.endpoint)
    return kind.reply(way.endpoint, way.body, answer)


def find_call_fault(problem: Exception) -> Fault:
    """Say why a call broke.

    Only `Truncated` is the upstream's: its connection raises nothing else. Any other error, of a
    disk, a file, a socket, is the gateway's own, and is told to no upstream.
    """
    if isinstance(problem, Fault):
        return problem
    if isinstance(problem, Truncated):
        return faults.truncated()
    log.error("a call failed in the gateway", exc_info=problem)
    return faults.internal_error()
