"""A call whose answer is passed on as it arrives.

Only whole events go out, so that an error event can always follow.
"""

import select
import time
from typing import Any

from django.conf import settings
from django.db import Error
from requests import Response

from conversations import database
from conversations.record import growth

from .. import faults, redaction
from ..faults import Fault
from ..protocols import chat, events
from ..upstreams.body import Body, Truncated
from .calls import (
    Document,
    find_call_fault,
    find_protocol,
    log,
    post,
    read_document,
    read_success,
)
from .causes import Cause
from .exchange import Exchange, process

SAVE_PAGE = 1.0  # seconds between two saves of a growing answer that pages may follow
SAVE_API = 5.0  # of one that only its caller reads
SAVE_SIZE = 256 * 1024  # bytes that are saved earlier
HELD = 5.0  # seconds that what comes before the first piece of an answer is held back
# Seconds that an answer waits for its end mark, so that the next call can use the connection.
SOON = 0.1
BLANK = b" \t\r\n"


class Stream:
    """A response body of server-sent events; the last leaves after the record is closed.

    A class, not a generator: a generator's `finally` never runs when the caller leaves before the
    first byte.
    """

    save_every = SAVE_API

    def __init__(self, exchange: Exchange, *, usage_wanted: bool) -> None:
        self.exchange, self.usage_wanted = exchange, usage_wanted
        exchange.streams = True
        self.protocol = find_protocol(exchange)
        self.reply, self.cutter = self.protocol.new_reply(), events.Cutter()
        self.url = ""  # that the answer came from
        self.document: Document | None = None  # where JSON came in place of a stream
        self.begun = b""  # read and not passed on yet
        self.over = self.exhausted = False  # nothing more goes out, or comes in
        self.size, self.longest = 0, settings.MAX_REPLY  # bytes so far, and at most
        self.body: Body | None = None
        self.secrets: tuple[bytes, ...] = ()  # as they would stand in an event
        self.saved: dict[chat.Channel, int] = {}  # characters
        self.unsaved: dict[chat.Channel, list[str]] = {}
        self.saved_at = time.monotonic()
        try:
            post(exchange, self._begin)
        except Exception as problem:
            self.over = True
            raise exchange.fail(find_call_fault(problem)) from None

    def _begin(self, reply: Response) -> None:
        """Read up to the first piece of an answer: until then the call may go elsewhere.

        What comes before it, such as a role, is held back. Raises Fault.
        """
        self.reply, self.cutter = self.protocol.new_reply(), events.Cutter()
        self.url = reply.request.url or ""
        self.secrets = redaction.spell_sent()
        self.begun, self.size = b"", 0
        self.exhausted = False  # an earlier try may have read to its end
        self.body = Body(reply)
        try:
            first = self._read_first(self.body)
            if is_stream := events.is_stream(first):
                self._hold_back(self.body, first)
        except Exception as problem:
            self._hang_up()
            fault = find_call_fault(problem)
            raise (fault if self.reply.answered else fault.without_answer()) from None
        if not is_stream:
            self._read_document(self.body, reply, first)

    def _read_first(self, body: Body) -> bytes:
        """Return the first bytes that tell what a body is."""
        first = b""
        while len(first) < len(events.BOM) + 6 and (data := body.read()):
            self._take_note(data)
            first = (first + data).lstrip(BLANK)
        if not first:
            raise Truncated
        return first

    def _read_document(self, body: Body, reply: Response, first: bytes) -> None:
        """Read what came in place of a stream.

        Raises Fault. An answer that is cut short is not asked for again.
        """
        data = [first]
        try:
            while more := body.read():
                self._take_note(more)
                data.append(more)
        finally:
            self._hang_up(whole=body.ended)
        self.document = read_document(self.exchange, reply, b"".join(data))
        self.begun = self.reply.feed(self.protocol.as_stream(self.document.answer))
        self.exhausted = True

    def _hold_back(self, body: Body, data: bytes) -> None:
        until: float | None = None
        while data:
            self.begun += self._take_in(self.cutter.cut(data))
            if self.reply.answered or self.reply.ended:
                break
            if self.begun and until is None:
                until = time.monotonic() + HELD
            if until and not comes_within(self.exchange.sock, until - time.monotonic()):
                return
            data = body.read()
            self._take_note(data)
        else:
            self.begun += self._take_rest()
        self._check_first()

    def _check_first(self) -> None:
        """Raises Fault where this is no answer, so that another may be asked for."""
        reply = self.reply
        if reply.answered:
            return
        if reply.error is not None:
            raise faults.failed(reply.error)
        if reply.bad or (reply.done and not reply.begun):
            raise faults.empty_answer()
        if not reply.done:
            raise Truncated

    def _take_in(self, piece: bytes) -> bytes:
        """Take whole events in, less the secrets in them. Return those that the caller gets."""
        if not piece:
            return b""
        return self.reply.feed(redaction.hide_whole(events.hush(piece), self.secrets))

    def _take_rest(self) -> bytes:
        """Take in what the body's end made whole. Return what the caller gets of it."""
        self.exhausted = True
        piece = self._take_in(self.cutter.finish())
        self.reply.finish()
        return piece

    def _take_note(self, data: bytes) -> None:
        """Raises Fault where more came than may."""
        self.exchange.since = time.monotonic()
        self.size += len(data)
        if self.size > self.longest:
            raise faults.reply_too_large()

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
            piece = self.protocol.problem(exchange.fail(find_call_fault(problem)).error)
        exchange.since, exchange.writing = time.monotonic(), True
        return piece

    def _pull(self) -> bytes:
        """Return the next whole events."""
        reply = self.reply
        piece, self.begun = self.begun, b""
        while True:
            if reply.ended or self.exhausted or self._is_complete():
                return self._end(None, piece)
            if reply.waiting > SAVE_SIZE or time.monotonic() - self.saved_at > self.save_every:
                self._save()
            if piece and (piece := piece if self.usage_wanted else chat.without_usage(piece)):
                self._note(piece)
                return piece
            try:
                data = self.body.read() if self.body else b""
                self._take_note(data)
            except Exception as problem:
                return self._end(find_call_fault(problem))
            piece = self._take_in(self.cutter.cut(data)) if data else self._take_rest()

    def _note(self, piece: bytes) -> None:
        """Note words before they leave."""
        if piece and self.protocol is chat:
            process.journal.add(self.exchange.call.id, piece)

    def _end(self, problem: Fault | None, piece: bytes = b"") -> bytes:
        """Close the record and return the last events.

        An answer that is not whole, or not on record, ends in an error event instead of [DONE].
        """
        self.over = True
        exchange, reply = self.exchange, self.reply
        self._note(piece)  # it leaves also where the row cannot be closed
        answer = self.document.answer if self.document else reply.whole()
        fault = self._find_fault(problem)
        self._hang_up(whole=fault is None)
        if fault is None:
            fault = exchange.close(read_success(exchange, answer, self.url))
        else:
            fault = exchange.fail(fault, answer)
        if not self.usage_wanted:
            piece = chat.without_usage(piece)
        if fault is not None:
            return piece + self.protocol.problem(fault.error)
        return piece + reply.held + reply.end

    def _is_complete(self) -> bool:
        """Tell whether all came that was asked for, and no end mark behind it."""
        return self.reply.complete and not comes_within(self.exchange.sock, SOON)

    def _find_fault(self, problem: Fault | None) -> Fault | None:
        """Say why the answer is not whole; None where it is."""
        reply = self.reply
        if self.exchange.cause or problem:
            return problem or faults.truncated()
        if self.document and self.document.fault:
            return self.document.fault
        if reply.error is not None:
            return faults.failed(reply.error)
        if reply.bad:
            return faults.no_event()
        if not reply.done and not reply.finished:  # some servers just stop after the reason
            return faults.truncated()
        return None if reply.begun else faults.empty_answer()

    def _take_growth(self) -> str:
        """Keep for the next save what has grown; return the text among it."""
        grown = self.reply.take()
        for channel, text in grown:
            self.unsaved.setdefault(channel, []).append(text)
        return chat.text_of(grown)

    def _save(self) -> None:
        self._take_growth()
        self.saved_at = time.monotonic()
        if not self.unsaved:
            return
        pieces = [
            growth.Piece(channel, self.saved.get(channel, 0), "".join(texts))
            for channel, texts in self.unsaved.items()
        ]
        try:
            growth.save_pieces(self.exchange.call.id, pieces)
        except Error:  # the next save, or the close, brings it
            log.exception("a growing answer could not be saved")
            return
        finally:
            database.release()
        self.saved |= {channel: at + len(text) for channel, at, text in pieces}
        self.unsaved = {}

    def _hang_up(self, *, whole: bool = False) -> None:
        body, self.body = self.body, None
        if body is None:
            return
        try:
            if (
                whole
                and not body.ended
                and body.file is not None
                and comes_within(self.exchange.sock, SOON)
            ):
                body.read()  # the end mark, which came after [DONE]
            body.close(complete=whole)
        except (OSError, Truncated):
            body.close(complete=False)

    def close(self) -> None:
        """End it. gunicorn does so after every response, also of one whose caller has gone."""
        if not self.over:
            self.over = True
            self.exchange.cut(Cause.GONE)
            self._hang_up()
            self.exchange.fail(faults.client_gone(), self.reply.whole())


class KeptStream(Stream):
    """A page's answer: it belongs to the record.

    It is saved as it grows, and finished without its reader.
    """

    save_every = SAVE_PAGE
    unread = ""

    def _take_growth(self) -> str:
        text = super()._take_growth()
        self.unread += text
        return text

    def new_text(self) -> str:
        """Return what the answer has grown by since the last time."""
        self._take_growth()
        text, self.unread = self.unread, ""
        return text

    def close(self) -> None:
        for _ in self:
            pass


def comes_within(sock: Any, seconds: float) -> bool:
    """Wait for more, at most so long; True where the connection cannot be asked."""
    if sock is None or getattr(sock, "pending", int)():
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))
