"""A call whose answer is passed on as it arrives.

Only whole events go out, so that an error event can always follow.
"""

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

from .. import faults, redaction
from ..faults import Fault
from ..upstreams import replies
from ..upstreams.body import Body, Truncated
from . import sse
from .calls import as_fault, log, post, read_document
from .causes import Cause
from .exchange import Exchange

SAVE_PAGE = 1.0  # seconds between two saves of a growing answer that pages may follow
SAVE_API = 5.0  # of one that only its caller reads
SAVE_SIZE = 16 * 1024  # characters that are saved earlier
LONGEST_EVENT = 1 << 20  # bytes
# Milliseconds that an answer waits for its end mark, so that the next call can use the connection.
SOON = 100


class Stream:
    """A response body of server-sent events; the last leaves after the record is closed.

    A class, not a generator: a generator's `finally` never runs when the caller leaves before the
    first byte.
    """

    save_every = SAVE_API

    def __init__(self, exchange: Exchange, *, usage_wanted: bool) -> None:
        self.exchange, self.usage_wanted = exchange, usage_wanted
        self.reply = sse.StreamedReply()
        self.begun = b""  # read and not passed on yet
        self.rest = b""  # of an event that is not whole yet
        self.over = False
        self.size, self.longest = 0, settings.MAX_REPLY  # bytes so far, and at most
        self.body: Body | None = None
        self.secrets: tuple[bytes, ...] = ()  # as they would stand in an event
        self.saved, self.unsaved = 0, ""
        self.saved_at = time.monotonic()
        try:
            post(exchange, self._begin)
        except Exception as problem:
            self.over = True
            raise exchange.fail(as_fault(problem)) from None

    def _begin(self, reply: Response) -> None:
        """Read up to the first event, which tells whether this is an answer. Raises Fault."""
        self.secrets = redaction.spell_sent()
        # asked for a stream, was given JSON
        if replies.read_content_type(reply) != "text/event-stream":
            self.begun = sse.make_stream(read_document(self.exchange, reply).answer)
            return
        self.body, self.begun = Body(reply), b""
        try:
            self._read_first(self.body)
            self._check_first()
        except Exception as problem:
            self._hang_up()
            raise as_fault(problem).without_answer() from None

    def _read_first(self, body: Body) -> None:
        while not sse.length_of_whole(self.begun) and (data := body.read()):
            self.exchange.since = time.monotonic()
            self.begun += data
            if len(self.begun) > LONGEST_EVENT:
                raise faults.endless_event()

    def _check_first(self) -> None:
        first = sse.StreamedReply()
        first.feed(sse.mend(self.begun))
        first.digest()
        if not self.begun.strip():
            raise Truncated
        if first.error and not first.begun:
            raise faults.failed(first.error)
        if (first.bad or first.done) and not first.begun:
            raise faults.empty_answer()

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
            piece = sse.make_error_event(exchange.fail(as_fault(problem)).error)
        exchange.since, exchange.writing = time.monotonic(), True
        return piece

    def _pull(self) -> bytes:
        """Return the next whole events."""
        while True:
            try:
                data = self.begun or (self.body.read() if self.body else b"")
                self.begun = b""
            except Exception as problem:
                return self._end(as_fault(problem))
            self.exchange.since = time.monotonic()
            self.size += len(data)
            if self.size > self.longest:
                return self._end(faults.reply_too_large())
            buffer = data if not self.rest else self.rest + data
            if not data:
                self.rest = b""
                return self._end(None, redaction.hide_whole(sse.mend(buffer), self.secrets))
            end = len(buffer) if buffer.endswith(b"\n\n") else sse.length_of_whole(buffer)
            piece = redaction.hide_whole(buffer[:end], self.secrets)
            self.rest = buffer[end:]
            if len(self.rest) > LONGEST_EVENT:
                return self._end(faults.endless_event())
            if piece and ((piece := self._take_in(piece)) or self.over):
                return piece

    def _take_in(self, piece: bytes) -> bytes:
        """Parse and save whole events. Return what the caller gets of them."""
        self.reply.feed(piece)
        if b"[DONE]" in piece[-64:] or b'"error"' in piece:
            self.reply.digest()
            if self.reply.error or self.reply.done:
                return self._end(None, piece)
        if time.monotonic() - self.saved_at > self.save_every or self.reply.waiting > SAVE_SIZE:
            self._save()
        return piece if self.usage_wanted else sse.drop_usage(piece)

    def _end(self, problem: Fault | None, piece: bytes = b"") -> bytes:
        """Close the record and return the last events.

        An answer that is not whole, or not on record, ends in an error event instead of [DONE].
        """
        self.over = True
        reply, exchange = self.reply, self.exchange
        if not reply.done and not reply.error:
            reply.feed(piece)
        reply.digest()
        fault = self._find_fault(problem)
        self._hang_up(whole=fault is None)
        if fault is None:
            outcome = exchange.read_outcome(reply.completion(), Snapshot.Status.OK)
            fault = exchange.close(outcome)
        else:
            fault = exchange.fail(fault, reply.completion())
        if not self.usage_wanted:
            piece = sse.drop_usage(piece)
        if fault is None:  # some servers just stop after the finish reason
            return piece if reply.done else piece + b"data: [DONE]\n\n"
        piece = sse.change_events(sse.drop_done(piece), redaction.hide_document)
        return piece if reply.error else piece + sse.make_error_event(fault.error)

    def _find_fault(self, problem: Fault | None) -> Fault | None:
        """Say why the answer is not whole; None where it is."""
        reply = self.reply
        if self.exchange.cause or problem:
            return problem or faults.truncated()
        if reply.error:
            return faults.upstream_failed(faults.error_words(reply.error))
        if not reply.done and not reply.finished:
            return faults.truncated()
        if reply.bad:
            return faults.bad_reply(
                "The model's server sent something that is no part of an answer."
            )
        if not reply.finished and reply.completion() is None:
            return faults.empty_answer()
        return None

    def _take_text(self) -> str:
        self.reply.digest()
        text = self.reply.take_text()
        self.unsaved += text
        return text

    def _save(self) -> None:
        self._take_text()
        self.saved_at = time.monotonic()
        if not self.unsaved:
            return
        try:
            growth.save_piece(self.exchange.call.id, self.saved, self.unsaved)
        except Error:  # the next save, or the close, brings it
            log.exception("a growing answer could not be saved")
            return
        finally:
            database.release()
        self.saved, self.unsaved = self.saved + len(self.unsaved), ""

    def _hang_up(self, *, whole: bool = False) -> None:
        body, self.body = self.body, None
        if body is None:
            return
        try:
            if (
                whole
                and not body.ended
                and body.file is not None
                and comes_soon(self.exchange.sock)
            ):
                body.read()  # the end mark, which came after [DONE]
            body.close(complete=whole)
        except (HTTPError, OSError, Truncated):
            body.close(complete=False)

    def close(self) -> None:
        """End it. gunicorn does so after every response, also of one whose caller has gone."""
        if not self.over:
            self.over = True
            self.exchange.cut(Cause.GONE)
            self._hang_up()
            self.reply.digest()
            self.exchange.fail(faults.client_gone(), self.reply.completion())


class KeptStream(Stream):
    """A page's answer: it belongs to the record.

    It is saved as it grows, and finished without its reader.
    """

    save_every = SAVE_PAGE
    unread = ""

    def _take_text(self) -> str:
        text = super()._take_text()
        self.unread += text
        return text

    def new_text(self) -> str:
        """Return what the answer has grown by since the last time."""
        self._take_text()
        text, self.unread = self.unread, ""
        return text

    def close(self) -> None:
        for _ in self:
            pass


def comes_soon(sock: Any) -> bool:
    """Whether something more comes at once."""
    poll = select.poll()
    if sock is not None:
        poll.register(sock, select.POLLIN)
    return bool(poll.poll(SOON))
