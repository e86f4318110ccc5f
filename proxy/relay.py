"""The script of one call: admit → open → send → pass on → close.

`Exchange.close` runs once, however the call ends. `[DONE]`, or the last byte of a JSON reply, leaves only after the
record is closed: a caller that saw the end has a row that says so. Only whole events go out, so an error event can
always follow.
"""

import logging
import select
import time
from datetime import UTC, datetime
from typing import Any

import orjson
from django.conf import settings
from django.db import Error
from urllib3.exceptions import HTTPError

from conversations import record
from conversations.models import Snapshot
from conversations.record import Asked

from . import metrics, outcome, request_id, sse, upstream
from .exchange import NOT_RECORDED, Exchange, slots
from .upstream import Fault

SAVE_PAGE = 1.0  # seconds between two saves of a growing answer that pages may follow
SAVE_API = 5.0  # of one that only its caller reads
SAVE_SIZE = 16 * 1024  # characters that are saved earlier
LONGEST_EVENT = 1 << 20  # bytes
SOON = 100  # milliseconds that an answer waits for its end mark, so that the next call can use the connection
log = logging.getLogger(__name__)


def open(asked: Asked, client: Any = None, *, cancellable: bool = False, stoppable: bool = False, token: str = "") -> Exchange:
    """Admit and record. Raises Fault, having recorded the refusal; nothing has left."""
    try:
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
    return Exchange(asked, call, client, cancellable=cancellable, stoppable=stoppable, token=token)


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


def post(exchange: Exchange, url: str, body: bytes, content_type: str = "") -> Any:
    """Send, and look at the first byte of what comes back. The reply, of status 200. Raises Fault."""
    token = exchange.token if upstream.takes_tokens(url) else ""
    reply = upstream.send("POST", url, upstream.headers(content_type, token), body, exchange=exchange)
    exchange.first_byte, exchange.since = datetime.now(UTC), time.monotonic()
    exchange.request_id = upstream.request_id(reply)
    if reply.status_code != 200:
        try:
            raise upstream.refusal(reply, token)
        finally:
            reply.close()
    return reply


def ask(exchange: Exchange, url: str, body: bytes, content_type: str = "") -> bytes:
    """A call whose reply is one JSON document: its bytes. Raises Fault, always with the record closed."""
    try:
        reply = post(exchange, url, body, content_type)
        try:
            data = upstream.read(reply, settings.MAX_REPLY, exchange)
        finally:
            reply.close() if exchange.cause else reply.raw.release_conn()
        if upstream.content_type(reply) == "text/event-stream":  # asked for JSON, was given a stream
            streamed = sse.Reply()
            streamed.feed(data)
            streamed.digest()
            if streamed.error or streamed.bad or not streamed.finished:
                raise Fault(502, "upstream_truncated", "The model's answer ended before it was complete.")
            answer = streamed.completion() or {}
            data = orjson.dumps(answer)
        else:
            answer = upstream.parsed(data, upstream.content_type(reply))
        if not isinstance(answer.get("choices" if exchange.asked.kind in Snapshot.COMPLETIONS else "data"), list):
            raise Fault(502, "upstream_bad_reply", "The model's server answered without an answer.")
        pictures = outcome.pictures_of(answer, upstream.get_picture) if exchange.asked.kind == Snapshot.Kind.IMAGE else None
        ended = outcome.of(exchange.asked, answer, Snapshot.Status.OK, pictures)
    except Exception as problem:
        raise exchange.fail(as_fault(problem)) from None
    exchange.close(ended)
    return data


class Stream:
    """A response body of server-sent events, which go out as they arrive; the last of them after the record is closed.

    A class, not a generator: a generator's `finally` never runs when the caller leaves before the first byte."""

    save_every = SAVE_API

    def __init__(self, exchange: Exchange, url: str, body: bytes, *, usage_wanted: bool):
        self.exchange, self.usage_wanted = exchange, usage_wanted
        self.reply = sse.Reply()
        self.rest = b""  # of an event that is not whole yet
        self.over = False
        self.size = 0  # bytes so far
        self.body: upstream.Body | None = None
        self.saved, self.saved_at, self.unsaved = 0, time.monotonic(), ""
        try:
            answer = post(exchange, url, body)
            if upstream.content_type(answer) == "text/event-stream":
                self.body = upstream.Body(answer)
            else:  # asked for a stream, was given JSON
                try:
                    completion = upstream.parsed(upstream.read(answer, settings.MAX_REPLY, exchange), upstream.content_type(answer))
                finally:
                    answer.raw.release_conn()
                if not isinstance(completion.get("choices"), list):
                    raise Fault(502, "upstream_bad_reply", "The model's server answered without an answer.")
                self.rest = sse.as_stream(completion)
        except Exception as problem:
            self.over = True
            raise exchange.fail(as_fault(problem)) from None

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
                data = self.body.read() if self.body else b""
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
                exchange.close(outcome.of(exchange.asked, reply.completion(), Snapshot.Status.OK))
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
