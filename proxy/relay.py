"""The script of one call: admit → open → send → pass on → close.

`Exchange.close` runs once, however the call ends. `[DONE]`, or the last byte of a JSON reply, leaves only after the
record is closed: a caller that saw the end has a row that says so. Only whole events go out, so an error event can
always follow.
"""

import logging
import random
import select
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

from conversations import record
from conversations.models import Snapshot
from conversations.record import Asked
from conversations.threading import Json

from . import metrics, outcome, providers, request_id, sse, upstream
from .exchange import NOT_RECORDED, Exchange, slots
from .providers import Sent
from .routing import ENVIRONMENT, Route, Way
from .upstream import Fault

SAVE_PAGE = 1.0  # seconds between two saves of a growing answer that pages may follow
SAVE_API = 5.0  # of one that only its caller reads
SAVE_SIZE = 16 * 1024  # characters that are saved earlier
LONGEST_EVENT = 1 << 20  # bytes
SOON = 100  # milliseconds that an answer waits for its end mark, so that the next call can use the connection
TRIES = 2  # at each upstream
JITTER = (0.1, 0.4)  # seconds between two
AT_ONCE, SOON_ENOUGH = 0.5, 5.0  # seconds that an upstream may ask us to wait, while others are left, and at the last
T = TypeVar("T")
log = logging.getLogger(__name__)


def open(asked: Asked, way: Way, client: Any = None, *, cancellable: bool = False, stoppable: bool = False, token: str = "") -> Exchange:
    """Admit and record. Raises Fault, having recorded the refusal; nothing has left."""
    asked.upstream = way.label
    try:
        asked.sent = way.first().body
        slots.take()
    except Fault as fault:
        raise refused(asked, fault) from None
    try:
        call = record.open(asked)
    except record.UnknownConversation:
        slots.give()
        raise refused(asked, Fault(404, "conversation_not_found", "No such conversation.", "invalid_request_error")) from None
    except BaseException as problem:
        slots.give()
        if not isinstance(problem, Exception):
            raise
        log.exception("a call could not be recorded")
        raise Fault(503, "record_not_writable", NOT_RECORDED, "server_error", retry_after="5") from None
    finally:
        record.release()
    request_id.current.set(str(call.id))
    return Exchange(asked, call, way, client, cancellable=cancellable, stoppable=stoppable, token=token)


def refused(asked: Asked, fault: Fault) -> Fault:
    """The same fault, once the refusal is on record; it then names the snapshot."""
    metrics.refused(asked.kind, fault)
    try:
        fault.of(record.refuse(asked, fault.code or "", fault.text))
        request_id.current.set(str(fault.snapshot))
        return fault
    except Error:
        log.exception("a refusal could not be recorded")
        return Fault(503, "record_not_writable", NOT_RECORDED, "server_error", retry_after="5")
    finally:
        record.release()


def post(exchange: Exchange, begin: Callable[[Response], T]) -> T:
    """What `begin` makes of the first reply of status 200 that turns out to be an answer. Until then any of the call's upstreams may fail,
    for nothing of theirs was passed on. Raises Fault."""
    fault: Fault | None = None
    for route, others in in_turn(exchange.way.routes):
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
                    fault.spent = True
                elif not pause(exchange, problem, AT_ONCE if others else SOON_ENOUGH):
                    break
    assert fault
    raise fault


def in_turn(routes: tuple[Route, ...]) -> Iterator[tuple[Route, bool]]:
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
        sent = prepared(exchange.way, route)
        if not exchange.goes_to(route):
            raise unsent(Fault(503, "overloaded", "Too many calls are open at the model's server. Try again in a moment.", "server_error", retry_after="2"))
        token = exchange.token if route.upstream == ENVIRONMENT and upstream.takes_tokens(sent.url) else ""
        headers = sent.headers | {"Authorization": token} if token else sent.headers
        reply = upstream.send("POST", sent.url, headers, sent.body, exchange=exchange)
        exchange.first_byte, exchange.since = datetime.now(UTC), time.monotonic()
        exchange.request_id = upstream.request_id(reply)
        if reply.status_code != 200:
            with closing(reply):
                raise upstream.refusal(reply, providers.of(route.target, exchange.way.endpoint), token)
        begun = begin(reply)
    except Exception as problem:
        fault = exchange.discreet(as_fault(problem))
        route.gate.judge(alive(exchange, fault))
        exchange.leave()
        exchange.tried(route, started, fault)
        raise fault from None
    route.gate.judge(True)
    exchange.tried(route, started)
    return begun


def alive(exchange: Exchange, fault: Fault) -> bool | None:
    """What a failed try says of its upstream: one that refuses a call is well. None: nothing, as of one that has too many calls."""
    if fault.ours or fault.answered == 429 or exchange.cause not in (None, "silent"):
        return None
    return fault.answered in range(400, 500) and fault.answered != 408


def prepared(way: Way, route: Route) -> Sent:
    try:
        return way.request(route)
    except Fault as fault:
        raise unsent(fault) from None


def unsent(fault: Fault) -> Fault:
    fault.unsent = fault.ours = True
    return fault


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


def ask(exchange: Exchange) -> bytes:
    """A call whose reply is one JSON document: its bytes. Raises Fault, always with the record closed."""
    try:
        answer, data, url = post(exchange, lambda reply: document(exchange, reply))
        pictures = None
        if exchange.asked.kind == Snapshot.Kind.IMAGE:
            pictures = outcome.pictures_of(answer, lambda link: upstream.get_picture(link, url))
        ended = exchange.amounts_to(answer, Snapshot.Status.OK, pictures)
    except Exception as problem:
        raise exchange.fail(as_fault(problem)) from None
    exchange.close(ended)
    return data


def document(exchange: Exchange, reply: Response) -> tuple[Json, bytes, str]:
    """A whole reply as OpenAI would give it, its bytes, and where it came from. Raises Fault; one whose end may be missing had been made, and is not asked for
    again."""
    try:
        data = upstream.read(reply, settings.MAX_REPLY, exchange)
    finally:
        reply.close() if exchange.cause else reply.raw.release_conn()
    kind = upstream.content_type(reply)
    streamed = kind == "text/event-stream"  # unasked: some do
    came = of_stream(data) if streamed else upstream.loaded(data, kind)
    try:
        answer = translated(exchange, came)
    except Fault as fault:
        raise senseless(fault) from None
    return answer, data if answer is came and not streamed else orjson.dumps(answer), reply.request.url or ""


def of_stream(data: bytes) -> Json:
    streamed = sse.Reply()
    streamed.feed(data)
    streamed.digest()
    if streamed.begun and (streamed.error or streamed.bad or not streamed.finished):
        raise upstream.Truncated
    if streamed.error:
        raise senseless(upstream.failed(streamed.error))
    return streamed.completion() or {}


def senseless(fault: Fault) -> Fault:
    """The same, of a reply at 200 that is no answer: one that says by which status it failed stands for that."""
    fault.answered = fault.answered or 200
    return fault


def translated(exchange: Exchange, answer: Any) -> Json:
    """As OpenAI would say it. Raises Fault where it is no answer."""
    way = exchange.way
    return providers.of(exchange.route.target, way.endpoint).reply(way.endpoint, way.body, answer)


class Stream:
    """A response body of server-sent events, which go out as they arrive; the last of them after the record is closed.

    A class, not a generator: a generator's `finally` never runs when the caller leaves before the first byte."""

    save_every = SAVE_API

    def __init__(self, exchange: Exchange, *, usage_wanted: bool):
        self.exchange, self.usage_wanted = exchange, usage_wanted
        self.reply = sse.Reply()
        self.begun = self.rest = b""  # read and not passed on yet; of an event that is not whole yet
        self.over = False
        self.size = 0  # bytes so far
        self.body: upstream.Body | None = None
        self.saved, self.saved_at, self.unsaved = 0, time.monotonic(), ""
        try:
            post(exchange, self._begin)
        except Exception as problem:
            self.over = True
            raise exchange.fail(as_fault(problem)) from None

    def _begin(self, reply: Response) -> None:
        """Up to the first event, which tells whether this is an answer. Raises Fault."""
        exchange = self.exchange
        if upstream.content_type(reply) != "text/event-stream":  # asked for a stream, was given JSON
            answer, _, _ = document(exchange, reply)
            self.begun = sse.as_stream(answer)
            return
        self.body, self.begun = upstream.Body(reply), b""
        try:
            while not sse.whole(self.begun) and (data := self.body.read()):
                exchange.since = time.monotonic()
                self.begun += data
                if len(self.begun) > LONGEST_EVENT:
                    raise Fault(502, "upstream_bad_reply", "The model's server sent an endless event.")
            first = sse.Reply()
            first.feed(sse.mended(self.begun))
            first.digest()
            if not self.begun.strip():
                raise upstream.Truncated
            if first.error and not first.begun:
                raise upstream.failed(first.error)
            if (first.bad or first.done) and not first.begun:
                raise Fault(502, "upstream_bad_reply", "The model's server answered without an answer.")
        except Exception as problem:
            self._hang_up()
            raise senseless(as_fault(problem)) from None

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> bytes:
        if self.over:
            raise StopIteration
        exchange = self.exchange
        exchange.since, exchange.writing = time.monotonic(), False
        try:
            piece = self._pull()
        except Exception as problem:  # of our own making: the record is closed all the same
            self.over = True
            self._hang_up()
            piece = sse.problem(exchange.fail(as_fault(problem)).error)
        exchange.since, exchange.writing = time.monotonic(), True
        return piece

    def _pull(self) -> bytes:
        """The next whole events."""
        while True:
            try:
                data = self.begun or (self.body.read() if self.body else b"")
                self.begun = b""
            except Exception as problem:
                return self._end(as_fault(problem))
            self.exchange.since = time.monotonic()
            self.size += len(data)
            if self.size > settings.MAX_REPLY:
                return self._end(Fault(502, "upstream_bad_reply", "The model's server sent more than the gateway accepts."))
            whole = data if not self.rest else self.rest + data
            if not data:
                self.rest = b""
                return self._end(None, sse.mended(whole))
            end = len(whole) if whole.endswith(b"\n\n") else sse.whole(whole)
            piece, self.rest = whole[:end], whole[end:]
            if len(self.rest) > LONGEST_EVENT:
                return self._end(Fault(502, "upstream_bad_reply", "The model's server sent an endless event."))
            if not piece:
                continue
            self.reply.feed(piece)
            if b"[DONE]" in piece[-64:] or b'"error"' in piece:
                self.reply.digest()
                if self.reply.error or self.reply.done:
                    return self._end(None, piece)
            if time.monotonic() - self.saved_at > self.save_every or self.reply.waiting > SAVE_SIZE:
                self._save()
            if not self.usage_wanted:
                piece = sse.without_usage(piece)
            if piece:
                return piece

    def _end(self, problem: Fault | None, piece: bytes = b"") -> bytes:
        """The last events. An answer that is not whole, or not on record, ends in an error event instead of [DONE]."""
        self.over = True
        reply, exchange = self.reply, self.exchange
        if not reply.done and not reply.error:
            reply.feed(piece)
        reply.digest()
        fault: Fault | None = None
        if exchange.cause or problem:
            fault = problem or Fault(502, "upstream_truncated", "The model's answer ended before it was complete.")
        elif reply.error:
            fault = Fault(502, "upstream_failed", upstream.words(reply.error))
        elif not reply.done and not reply.finished:
            fault = Fault(502, "upstream_truncated", "The model's answer ended before it was complete.")
        elif reply.bad:
            fault = Fault(502, "upstream_bad_reply", "The model's server sent something that is no part of an answer.")
        elif not reply.finished and reply.completion() is None:
            fault = Fault(502, "upstream_bad_reply", "The model's server answered without an answer.")
        self._hang_up(whole=fault is None)
        if fault is None:
            try:
                exchange.close(exchange.amounts_to(reply.completion(), Snapshot.Status.OK))
            except Fault as unwritten:
                fault = unwritten
        else:
            fault = exchange.fail(fault, reply.completion())
        if not self.usage_wanted:
            piece = sse.without_usage(piece)
        if fault:
            return sse.without_done(piece) if reply.error else sse.without_done(piece) + sse.problem(fault.error)
        return piece if reply.done else piece + b"data: [DONE]\n\n"  # some servers just stop after the finish reason

    def _take(self) -> str:
        self.reply.digest()
        text = self.reply.new_text()
        self.unsaved += text
        return text

    def _save(self) -> None:
        self._take()
        self.saved_at = time.monotonic()
        if not self.unsaved:
            return
        try:
            record.grow(self.exchange.call.id, self.saved, self.unsaved)
        except Error:
            log.exception("a growing answer could not be saved")  # the next save, or the close, brings it
            return
        finally:
            record.release()
        self.saved, self.unsaved = self.saved + len(self.unsaved), ""

    def _hang_up(self, *, whole: bool = False) -> None:
        body, self.body = self.body, None
        if body is None:
            return
        try:
            if whole and not body.ended and body.file is not None and soon(self.exchange.sock):
                body.read()  # the end mark, which came after [DONE]
            body.close(whole=whole)
        except (HTTPError, OSError, upstream.Truncated):
            body.close(whole=False)

    def close(self) -> None:
        """gunicorn calls it at the end of every response, also of one whose caller has gone."""
        if not self.over:
            self.over = True
            self.exchange.cut("gone")
            self._hang_up()
            self.reply.digest()
            self.exchange.fail(Fault(499, "client_gone", "The caller hung up."), self.reply.completion())


class KeptStream(Stream):
    """A page's answer: it belongs to the record. Saved as it grows, and finished without its reader."""

    save_every, untold = SAVE_PAGE, ""

    def _take(self) -> str:
        text = super()._take()
        self.untold += text
        return text

    def new_text(self) -> str:
        """What the answer has grown by since the last time."""
        self._take()
        text, self.untold = self.untold, ""
        return text

    def close(self) -> None:
        for _ in self:
            pass


def soon(sock: Any) -> bool:
    """Whether something more comes at once."""
    poll = select.poll()
    if sock is not None:
        poll.register(sock, select.POLLIN)
    return bool(poll.poll(SOON))


def as_fault(problem: Exception) -> Fault:
    if isinstance(problem, Fault):
        return problem
    if isinstance(problem, OSError | upstream.Truncated | HTTPError):
        return Fault(502, "upstream_truncated", "The model's answer ended before it was complete.")
    log.error("a call failed in the gateway", exc_info=problem)
    return Fault(500, "internal_error", "The gateway failed.", "server_error")
