"""An answer as it grows, in events for a page: turn, full, block, tail, text, and done or problem at the end.

Two tell it, in the same frames: the POST that asked, as the upstream speaks, and any other page, from the record.
`turn`, `done` and `problem` carry the page of the conversation with its last exchange, as its own template renders it;
`block` and `full` carry closed blocks, and as their id the characters of the answer that these are made of.
"""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import orjson
from django.conf import settings
from django.http import StreamingHttpResponse

from conversations import record, threading
from conversations.blocks import Blocks
from conversations.models import Snapshot

from . import relay, tasks, watcher
from .exchange import Exchange, slots
from .upstream import Fault

SOONEST = 0.05  # seconds between two looks at what has grown
SHARE = 10  # and so many times as long as the last look took
POLL = 0.7  # seconds
ALIVE = 15.0  # seconds without a word

Shown = Callable[[UUID, UUID | None], str]  # (conversation, message) → its page


def wanted(request) -> bool:
    return "text/event-stream" in request.headers.get("Accept", "")


def response(events: "Asked | Followed") -> StreamingHttpResponse:
    response = StreamingHttpResponse(events, content_type="text/event-stream")
    response["Cache-Control"] = "no-store, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response


def event(name: str, html: str, at: int | None = None) -> bytes:
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), b"" if at is None else b"id: %d\n" % at, orjson.dumps(html))


class Growth:
    """What is told of an answer's text; its open block is looked at no oftener than it is worth."""

    def __init__(self) -> None:
        self.blocks, self.next = Blocks(), 0.0

    def events(self) -> bytes:
        began = time.monotonic()
        if began < self.next:
            return b""
        out = [event("block", html, at) for at, html in self.blocks.close()]
        out += [event(name, html) for name, html in self.blocks.tail()]
        now = time.monotonic()
        self.next = now + max(SOONEST, SHARE * (now - began))
        return b"".join(out)

    def rest(self) -> bytes:
        """The blocks that were open to the end."""
        return b"".join(event("block", html, at) for at, html in self.blocks.close(all=True))


def ended(id: UUID, shown: Shown) -> bytes:
    call = Snapshot.objects.only("status", "conversation", "head").get(id=id)
    assert call.conversation_id
    return event("done" if call.status == Snapshot.Status.OK else "problem", shown(call.conversation_id, call.head_id))


class Asked:
    """A response body: the answer to the question that this request brought. It is finished without its reader."""

    def __init__(self, exchange: Exchange, shown: Shown):
        self.exchange, self.shown = exchange, shown
        self.stream: relay.KeptStream | None = None
        self.begun = False

    def __iter__(self) -> Iterator[bytes]:
        exchange, growth = self.exchange, Growth()
        exchange.writing = True
        yield self._shown_as_turn()
        exchange.since, exchange.writing = time.monotonic(), False
        if stream := self._begin():
            for _ in stream:
                growth.blocks.feed(stream.new_text())
                if said := growth.events():
                    yield said
            growth.blocks.feed(stream.new_text())
        yield growth.rest() + self._ended()

    def _shown_as_turn(self) -> bytes:
        call = self.exchange.call
        assert call.conversation
        try:
            return event("turn", self.shown(call.conversation, call.head))
        finally:
            record.release()  # also what the session was saved with

    def _ended(self) -> bytes:
        try:
            return ended(self.exchange.call.id, self.shown)
        finally:
            record.release()

    def _begin(self) -> relay.KeptStream | None:
        self.begun = True
        try:
            self.stream = relay.KeptStream(self.exchange, usage_wanted=True)
        except Fault:
            pass  # the record says so, and the page reads it there
        return self.stream

    def close(self) -> None:
        """gunicorn calls it at the end of every response, also of one whose reader has gone."""
        record.release()
        if not self.begun:
            self._begin()
        if self.stream:
            self.stream.close()
        tasks.after(self.exchange)


class Followed:
    """A response body: a call's answer from the record, however far it is. Takes a slot of the open calls. Raises Fault."""

    def __init__(self, call: Snapshot, shown: Shown, after: int, client: socket.socket | None):
        self.call, self.shown, self.after = call, shown, after
        slots.take()
        self.closed = False
        if client is not None:  # one that reads no more is given up
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(settings.CLIENT_STALL), 0))

    def __iter__(self) -> Iterator[bytes]:
        growth, told = Growth(), time.monotonic()
        pending = self._grow(growth)
        yield self._first(growth)
        while pending and (watcher.worker is None or watcher.worker.alive):
            time.sleep(POLL)
            pending = self._grow(growth)
            said = growth.events()
            if not said and time.monotonic() - told > ALIVE:
                said = b": still there\n\n"
            if said:
                told = time.monotonic()
                yield said
        if not pending:
            try:
                yield growth.rest() + ended(self.call.id, self.shown)
            finally:
                record.release()

    def _grow(self, growth: Growth) -> bool:
        """Whether it may grow further."""
        try:
            self.call.refresh_from_db(fields=["status", "reply"])
            pending = self.call.status == Snapshot.Status.PENDING
            so_far = growth.blocks.text
            if pending:
                growth.blocks.feed(record.grown(self.call.id, len(so_far)))
            elif self.call.reply and self.call.reply.role == "assistant":
                reply = self.call.reply
                text = threading.plain_text(threading.put_together(reply.role, reply.text, reply.raw))
                if text.startswith(so_far):  # if not, the page at the end says what there is
                    growth.blocks.feed(text[len(so_far) :])
            return pending
        finally:
            record.release()

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
