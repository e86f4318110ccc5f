"""A growing answer in events for a page: turn, full, block, tail, text, and done or problem.

Two responses send them, in the same frames: the POST that asked, as the upstream speaks, and any
other page, from the record. `turn`, `done` and `problem` carry the page of the conversation with
its last exchange, as its own template renders it. `block` and `full` carry closed blocks, and as
their id the number of characters of the answer that are in closed blocks so far. In silence, a
comment says that the stream is alive: proxies cut silent ones. `away`, in words, is the last event
where the database dies: the answer goes on, and the page asks for it again.
"""

import logging
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from functools import wraps
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar
from uuid import UUID

import orjson
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.translation import gettext_lazy as _

from conversations import database
from conversations.models import Snapshot
from conversations.reading.blocks import Blocks
from conversations.record import threads
from conversations.record.growth import read_growth

from .. import tasks
from ..faults import Fault
from ..relay import watcher
from ..relay.exchange import Exchange, process
from ..relay.stream import KeptStream

SOONEST = 0.08  # seconds between two renderings of what has grown
SHARE = 10  # and at least so many times as long as the last rendering took
POLL = 0.7  # seconds
ALIVE = 15.0  # seconds of silence
COMMENT = b": still there\n\n"
AWAY = _("The gateway cannot reach its record at the moment.")
T = TypeVar("T")
log = logging.getLogger(__name__)

RenderTurn = Callable[[UUID, UUID | None], str]  # (conversation, message) → its page


def accepts_events(request: HttpRequest) -> bool:
    return "text/event-stream" in request.headers.get("Accept", "")


def stream_response(answer: "AskedAnswer | FollowedAnswer") -> StreamingHttpResponse:
    response = StreamingHttpResponse(answer, content_type="text/event-stream")
    response["Cache-Control"] = "no-store, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response


def make_event(name: str, html: str, at: int | None = None) -> bytes:
    return b"event: %s\n%sdata: %s\n\n" % (
        name.encode(),
        b"" if at is None else b"id: %d\n" % at,
        orjson.dumps(html),
    )


def drop_stalled(client: socket.socket | None) -> None:
    """Give up on a reader that takes nothing for CLIENT_STALL seconds."""
    if client is not None:
        client.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(settings.CLIENT_STALL), 0)
        )


def until_away(events: Callable[[T], Iterator[bytes]]) -> Callable[[T], Iterator[bytes]]:
    """End these events with one that says so where the database dies. The page asks again."""

    @wraps(events)
    def guarded(answer: T) -> Iterator[bytes]:
        try:
            yield from events(answer)
        except (InterfaceError, OperationalError) as problem:
            log.warning("a page's stream ends, the database is away: %s", type(problem).__name__)
            yield make_event("away", str(AWAY))
        finally:
            database.release()

    return guarded


class Growth:
    """The events of a growing text; its open block is rendered no oftener than pays."""

    def __init__(self) -> None:
        self.blocks = Blocks()
        self.next = 0.0  # when the open block may be rendered again
        self.fresh = False  # text came since it was rendered

    def feed(self, text: str) -> None:
        self.blocks.feed(text)
        self.fresh = self.fresh or bool(text)

    def events(self) -> bytes:
        began = time.monotonic()
        if began < self.next:
            return b""
        out = [make_event("block", html, at) for at, html in self.blocks.close()]
        out += [make_event(name, html) for name, html in self.blocks.tail()]
        now = time.monotonic()
        self.next, self.fresh = now + max(SOONEST, SHARE * (now - began)), False
        return b"".join(out)

    def close(self) -> bytes:
        """Close the blocks that were open to the end."""
        blocks = self.blocks.close(to_end=True)
        return b"".join(make_event("block", html, at) for at, html in blocks)


def end_event(snapshot: UUID, render_turn: RenderTurn) -> bytes:
    call = Snapshot.objects.only("status", "conversation", "head").get(id=snapshot)
    assert call.conversation_id
    name = "done" if call.status == Snapshot.Status.OK else "problem"
    return make_event(name, render_turn(call.conversation_id, call.head_id))


class AskedAnswer:
    """A response body: the answer to the question that this request brought.

    A thread of its own reads the answer, so that this one can tell the page of its growth, and of
    silence. The answer is finished without a reader, too.
    """

    def __init__(
        self, exchange: Exchange, render_turn: RenderTurn, client: socket.socket | None
    ) -> None:
        self.exchange, self.render_turn = exchange, render_turn
        self.growth: SimpleQueue[str | None] = SimpleQueue()  # new text; None: the end
        self.asking: Thread | None = None
        drop_stalled(client)

    @until_away
    def __iter__(self) -> Iterator[bytes]:
        growth, turn = Growth(), self._turn_event()
        asking = Thread(target=copy_context().run, args=[self._ask], daemon=True)
        asking.start()
        self.asking = asking
        yield turn
        last_sent = time.monotonic()
        while None not in (pieces := self._take(growth, last_sent)):
            growth.feed("".join(filter(None, pieces)))
            events = growth.events()
            if not events and time.monotonic() - last_sent > ALIVE:
                events = COMMENT
            if events:
                yield events
                last_sent = time.monotonic()
        growth.feed("".join(filter(None, pieces)))
        yield growth.close() + self._end_event()

    def _take(self, growth: Growth, last_sent: float) -> list[str | None]:
        """Wait for the next pieces, None at the end.

        There are several where more come before the last ones may be sent.
        """
        now = time.monotonic()
        if growth.fresh:
            time.sleep(min(max(0.0, growth.next - now), SOONEST))
        pieces: list[str | None] = []
        with suppress(Empty):
            timeout = 0.0 if growth.fresh else max(0.0, last_sent + ALIVE - now)
            pieces.append(self.growth.get(timeout=timeout))
            while True:
                pieces.append(self.growth.get_nowait())
        return pieces

    def _ask(self) -> None:
        try:
            stream = KeptStream(self.exchange, usage_wanted=True)
            for _ in stream:
                self.growth.put(stream.new_text())
            self.growth.put(stream.new_text())
        except Fault:
            pass  # the record says so, and the page reads it there
        finally:
            self.growth.put(None)
            database.release()

    def _turn_event(self) -> bytes:
        call = self.exchange.call
        assert call.conversation
        try:
            return make_event("turn", self.render_turn(call.conversation, call.head))
        finally:
            database.release()  # also the connection that saved the session

    def _end_event(self) -> bytes:
        try:
            return end_event(self.exchange.call.id, self.render_turn)
        finally:
            database.release()

    def close(self) -> None:
        """Finish the answer. gunicorn calls it also for a response whose reader has gone."""
        database.release()
        if self.asking:
            self.asking.join()
        else:
            self._ask()
        tasks.title_later(self.exchange)


class FollowedAnswer:
    """A response body: a call's answer from the record, at any stage.

    Takes a slot of the open calls. Raises Fault.
    """

    def __init__(
        self, call: Snapshot, render_turn: RenderTurn, after: int, client: socket.socket | None
    ) -> None:
        self.call, self.render_turn = call, render_turn
        self.after = after  # characters of the answer that the page has in closed blocks
        process.slots.take(call.owner_id)
        self.closed = False
        drop_stalled(client)

    @until_away
    def __iter__(self) -> Iterator[bytes]:
        growth, last_sent = Growth(), time.monotonic()
        pending = self._read(growth)
        yield self._first_events(growth)
        while pending and (watcher.worker is None or watcher.worker.alive):
            time.sleep(POLL)
            pending = self._read(growth)
            events = growth.events()
            if not events and time.monotonic() - last_sent > ALIVE:
                events = COMMENT
            if events:
                last_sent = time.monotonic()
                yield events
        if not pending:
            try:
                yield growth.close() + end_event(self.call.id, self.render_turn)
            finally:
                database.release()

    def _read(self, growth: Growth) -> bool:
        """Read what has grown; True while it may grow further."""
        try:
            self.call.refresh_from_db(fields=["status", "reply"])
            pending = self.call.status == Snapshot.Status.PENDING
            so_far = growth.blocks.text
            if pending:
                growth.feed(read_growth(self.call.id, len(so_far)))
            elif self.call.reply and self.call.reply.role == "assistant":
                reply = self.call.reply
                text = threads.extract_text(threads.put_together(reply.role, reply.text, reply.raw))
                if text.startswith(so_far):  # if not, the page at the end shows the answer
                    growth.feed(text[len(so_far) :])
            return pending
        finally:
            database.release()

    def _first_events(self, growth: Growth) -> bytes:
        """Send the blocks that the page lacks; all, where its blocks are not ours."""
        blocks = list(growth.blocks.close())
        if self.after and self.after in [at for at, _ in blocks]:
            out = [make_event("block", html, at) for at, html in blocks if at > self.after]
        else:
            all_blocks = "".join(html for _, html in blocks)
            out = [make_event("full", all_blocks, growth.blocks.closed)]
        return b"".join(out) + growth.events()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            process.slots.give(self.call.owner_id)
