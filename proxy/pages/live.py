"""An answer as it grows, in events for a page: turn, full, block, tail, text, and done or problem at the end.

Two tell it, in the same frames: the POST that asked, as the upstream speaks, and any other page, from the record.
`turn`, `done` and `problem` carry the page of the conversation with its last exchange, as its own template renders it;
`block` and `full` carry closed blocks, and as their id the characters of the answer that these are made of. While there is nothing to
tell, a comment says that the stream is alive: what stands in front cuts silent ones.
"""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from uuid import UUID

import orjson
from django.conf import settings
from django.http import StreamingHttpResponse

from conversations import database
from conversations.models import Snapshot
from conversations.reading.blocks import Blocks
from conversations.record import threads
from conversations.record.growth import read_growth

from .. import tasks
from ..faults import Fault
from ..relay import watcher
from ..relay.exchange import Exchange, slots
from ..relay.stream import KeptStream

SOONEST = 0.08  # seconds between two looks at what has grown
SHARE = 10  # and so many times as long as the last look took
POLL = 0.7  # seconds
ALIVE = 15.0  # seconds without a word
COMMENT = b": still there\n\n"

Shown = Callable[[UUID, UUID | None], str]  # (conversation, message) → its page


def wanted(request) -> bool:
    return "text/event-stream" in request.headers.get("Accept", "")


def response(events: "Asked | Followed") -> StreamingHttpResponse:
    response = StreamingHttpResponse(events, content_type="text/event-stream")
    response["Cache-Control"] = "no-store, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response


def event(name: str, html: str, at: int | None = None) -> bytes:
    return b"event: %s\n%sdata: %s\n\n" % (
        name.encode(),
        b"" if at is None else b"id: %d\n" % at,
        orjson.dumps(html),
    )


def give_up_on_stalled(client: socket.socket | None) -> None:
    """A reader that takes no more is gone after CLIENT_STALL seconds."""
    if client is not None:
        client.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(settings.CLIENT_STALL), 0)
        )


class Growth:
    """What is told of an answer's text; its open block is looked at no oftener than it is worth."""

    def __init__(self) -> None:
        self.blocks, self.next, self.fresh = Blocks(), 0.0, False

    def feed(self, text: str) -> None:
        self.blocks.feed(text)
        self.fresh = self.fresh or bool(text)

    def events(self) -> bytes:
        began = time.monotonic()
        if began < self.next:
            return b""
        out = [event("block", html, at) for at, html in self.blocks.close()]
        out += [event(name, html) for name, html in self.blocks.tail()]
        now = time.monotonic()
        self.next, self.fresh = now + max(SOONEST, SHARE * (now - began)), False
        return b"".join(out)

    def rest(self) -> bytes:
        """The blocks that were open to the end."""
        return b"".join(event("block", html, at) for at, html in self.blocks.close(all=True))


def ended(id: UUID, shown: Shown) -> bytes:
    call = Snapshot.objects.only("status", "conversation", "head").get(id=id)
    assert call.conversation_id
    return event(
        "done" if call.status == Snapshot.Status.OK else "problem",
        shown(call.conversation_id, call.head_id),
    )


class Asked:
    """A response body: the answer to the question that this request brought. A thread of its own asks for it, so that this one can tell
    the page what comes, and that nothing does. It is finished without its reader."""

    def __init__(self, exchange: Exchange, shown: Shown, client: socket.socket | None):
        self.exchange, self.shown = exchange, shown
        self.grown: SimpleQueue[str | None] = (
            SimpleQueue()
        )  # what the answer has grown by; None: it has ended
        self.asking: Thread | None = None
        give_up_on_stalled(client)

    def __iter__(self) -> Iterator[bytes]:
        growth, turn = Growth(), self._shown_as_turn()
        asking = Thread(target=copy_context().run, args=[self._ask], daemon=True)
        asking.start()
        self.asking = asking
        yield turn
        told = time.monotonic()
        while None not in (pieces := self._come(growth, told)):
            growth.feed("".join(pieces))  # type: ignore[arg-type]
            said = growth.events()
            if not said and time.monotonic() - told > ALIVE:
                said = COMMENT
            if said:
                yield said
                told = time.monotonic()
        growth.feed("".join(filter(None, pieces)))
        yield growth.rest() + self._ended()

    def _come(self, growth: Growth, told: float) -> list[str | None]:
        """The next pieces, None at the end; several where more come before the last ones may be told."""
        now = time.monotonic()
        if growth.fresh:
            time.sleep(min(max(0.0, growth.next - now), SOONEST))
        pieces: list[str | None] = []
        with suppress(Empty):
            pieces.append(
                self.grown.get(timeout=0.0 if growth.fresh else max(0.0, told + ALIVE - now))
            )
            while True:
                pieces.append(self.grown.get_nowait())
        return pieces

    def _ask(self) -> None:
        try:
            stream = KeptStream(self.exchange, usage_wanted=True)
            for _ in stream:
                self.grown.put(stream.new_text())
            self.grown.put(stream.new_text())
        except Fault:
            pass  # the record says so, and the page reads it there
        finally:
            self.grown.put(None)
            database.release()

    def _shown_as_turn(self) -> bytes:
        call = self.exchange.call
        assert call.conversation
        try:
            return event("turn", self.shown(call.conversation, call.head))
        finally:
            database.release()  # also what the session was saved with

    def _ended(self) -> bytes:
        try:
            return ended(self.exchange.call.id, self.shown)
        finally:
            database.release()

    def close(self) -> None:
        """gunicorn calls it at the end of every response, also of one whose reader has gone."""
        database.release()
        if self.asking:
            self.asking.join()
        else:
            self._ask()
        tasks.title_later(self.exchange)


class Followed:
    """A response body: a call's answer from the record, however far it is. Takes a slot of the open calls. Raises Fault."""

    def __init__(self, call: Snapshot, shown: Shown, after: int, client: socket.socket | None):
        self.call, self.shown, self.after = call, shown, after
        slots.take()
        self.closed = False
        give_up_on_stalled(client)

    def __iter__(self) -> Iterator[bytes]:
        growth, told = Growth(), time.monotonic()
        pending = self._grow(growth)
        yield self._first(growth)
        while pending and (watcher.worker is None or watcher.worker.alive):
            time.sleep(POLL)
            pending = self._grow(growth)
            said = growth.events()
            if not said and time.monotonic() - told > ALIVE:
                said = COMMENT
            if said:
                told = time.monotonic()
                yield said
        if not pending:
            try:
                yield growth.rest() + ended(self.call.id, self.shown)
            finally:
                database.release()

    def _grow(self, growth: Growth) -> bool:
        """Whether it may grow further."""
        try:
            self.call.refresh_from_db(fields=["status", "reply"])
            pending = self.call.status == Snapshot.Status.PENDING
            so_far = growth.blocks.text
            if pending:
                growth.feed(read_growth(self.call.id, len(so_far)))
            elif self.call.reply and self.call.reply.role == "assistant":
                reply = self.call.reply
                text = threads.plain_text(threads.put_together(reply.role, reply.text, reply.raw))
                if text.startswith(so_far):  # if not, the page at the end says what there is
                    growth.feed(text[len(so_far) :])
            return pending
        finally:
            database.release()

    def _first(self, growth: Growth) -> bytes:
        """What the page lacks; everything, where its blocks are not ours."""
        blocks = list(growth.blocks.close())
        if self.after and self.after in [at for at, _ in blocks]:
            out = [event("block", html, at) for at, html in blocks if at > self.after]
        else:
            out = [event("full", "".join(html for _, html in blocks), growth.blocks.closed)]
        return b"".join(out) + growth.events()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            slots.give()
