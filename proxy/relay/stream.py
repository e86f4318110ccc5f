"""A call whose answer is passed on as it arrives. Only whole events go out, so an error event can always follow."""

import select
import time
from typing import Any

from django.conf import settings
from django.db import Error
from requests import Response
from urllib3.exceptions import HTTPError

from conversations import database
from conversations.models import Snapshot
from conversations.record import growth

from .. import faults
from ..faults import Fault
from ..upstreams import client
from ..upstreams.body import Body, Truncated
from . import sse
from .calls import as_fault, log, post, read_document
from .exchange import Cause, Exchange

SAVE_PAGE = 1.0  # seconds between two saves of a growing answer that pages may follow
SAVE_API = 5.0  # of one that only its caller reads
SAVE_SIZE = 16 * 1024  # characters that are saved earlier
LONGEST_EVENT = 1 << 20  # bytes
SOON = 100  # milliseconds that an answer waits for its end mark, so that the next call can use the connection


class Stream:
    """A response body of server-sent events, which go out as they arrive; the last of them after the record is closed.

    A class, not a generator: a generator's `finally` never runs when the caller leaves before the first byte."""

    save_every = SAVE_API

    def __init__(self, exchange: Exchange, *, usage_wanted: bool):
        self.exchange, self.usage_wanted = exchange, usage_wanted
        self.reply = sse.Reply()
        self.begun = self.rest = (
            b""  # read and not passed on yet; of an event that is not whole yet
        )
        self.over = False
        self.size = 0  # bytes so far
        self.body: Body | None = None
        self.saved, self.saved_at, self.unsaved = 0, time.monotonic(), ""
        try:
            post(exchange, self._begin)
        except Exception as problem:
            self.over = True
            raise exchange.fail(as_fault(problem)) from None

    def _begin(self, reply: Response) -> None:
        """Up to the first event, which tells whether this is an answer. Raises Fault."""
        exchange = self.exchange
        if client.content_type(reply) != "text/event-stream":  # asked for a stream, was given JSON
            answer, _, _ = read_document(exchange, reply)
            self.begun = sse.as_stream(answer)
            return
        self.body, self.begun = Body(reply), b""
        try:
            while not sse.whole(self.begun) and (data := self.body.read()):
                exchange.since = time.monotonic()
                self.begun += data
                if len(self.begun) > LONGEST_EVENT:
                    raise faults.endless_event()
            first = sse.Reply()
            first.feed(sse.mended(self.begun))
            first.digest()
            if not self.begun.strip():
                raise Truncated
            if first.error and not first.begun:
                raise faults.failed(first.error)
            if (first.bad or first.done) and not first.begun:
                raise faults.empty_answer()
        except Exception as problem:
            self._hang_up()
            raise as_fault(problem).without_answer() from None

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
                return self._end(faults.reply_too_large())
            whole = data if not self.rest else self.rest + data
            if not data:
                self.rest = b""
                return self._end(None, sse.mended(whole))
            end = len(whole) if whole.endswith(b"\n\n") else sse.whole(whole)
            piece, self.rest = whole[:end], whole[end:]
            if len(self.rest) > LONGEST_EVENT:
                return self._end(faults.endless_event())
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
            fault = problem or faults.truncated()
        elif reply.error:
            fault = faults.upstream_failed(faults.error_words(reply.error))
        elif not reply.done and not reply.finished:
            fault = faults.truncated()
        elif reply.bad:
            fault = faults.bad_reply(
                "The model's server sent something that is no part of an answer."
            )
        elif not reply.finished and reply.completion() is None:
            fault = faults.empty_answer()
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
            return (
                sse.without_done(piece)
                if reply.error
                else sse.without_done(piece) + sse.problem(fault.error)
            )
        return (
            piece if reply.done else piece + b"data: [DONE]\n\n"
        )  # some servers just stop after the finish reason

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
            growth.save_piece(self.exchange.call.id, self.saved, self.unsaved)
        except Error:
            log.exception(
                "a growing answer could not be saved"
            )  # the next save, or the close, brings it
            return
        finally:
            database.release()
        self.saved, self.unsaved = self.saved + len(self.unsaved), ""

    def _hang_up(self, *, whole: bool = False) -> None:
        body, self.body = self.body, None
        if body is None:
            return
        try:
            if whole and not body.ended and body.file is not None and soon(self.exchange.sock):
                body.read()  # the end mark, which came after [DONE]
            body.close(whole=whole)
        except (HTTPError, OSError, Truncated):
            body.close(whole=False)

    def close(self) -> None:
        """gunicorn calls it at the end of every response, also of one whose caller has gone."""
        if not self.over:
            self.over = True
            self.exchange.cut(Cause.GONE)
            self._hang_up()
            self.reply.digest()
            self.exchange.fail(faults.client_gone(), self.reply.completion())


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
