"""Where a reply begins and ends on its connection, and whether it is all that came by it.

http.client takes every interim reply but 100 for the answer, reads 100s without end, and drops what
its buffer holds behind a reply. A connection in which something is left would hand one caller's
answer to the next.
"""

import http.client
import select
import ssl
from typing import Any

INTERIM = 100  # replies until the last one has to come
INTERIM_SIZE = 1 << 16  # bytes of their fields, together


class BadReply(Exception):
    """A reply that is no answer; the text may be shown.

    Not an HTTPException: urllib3 would make a broken connection of it.
    """


class FramedReply(http.client.HTTPResponse):
    """A reply that skips interim ones, and looks at its end for what came behind it."""

    sock: Any = None  # of a connection that is to be used again
    interim = False  # whether other replies came before it
    ended = False  # whether its last chunk was read
    alone = False  # whether it was read to its end, with nothing behind it

    def _read_status(self) -> tuple[str, int, str]:
        """Read on to the last reply. Raises BadReply if none comes within the bounds."""
        room = INTERIM_SIZE
        for _ in range(INTERIM):
            line = super()._read_status()  # type: ignore[misc]
            status = line[1]
            if status >= 200:
                return line
            if status == 101:
                raise BadReply("The model's server changed to a protocol that was not asked for.")
            self.interim = True
            room = self._skip_fields(room)
        raise BadReply("The model's server sent interim replies without end.")

    def _skip_fields(self, room: int) -> int:
        """Read up to the empty line, and return how many bytes of `room` are left."""
        while line := self.fp.readline(room):
            room -= len(line)
            if line in (b"\r\n", b"\n"):
                return room
        if room:
            raise http.client.RemoteDisconnected("in an interim reply")
        raise BadReply("The model's server sent an interim reply without end.")

    def _read_and_discard_trailer(self) -> None:
        super()._read_and_discard_trailer()  # type: ignore[misc]
        self.ended = True

    def _close_conn(self) -> None:
        if self.sock is not None and (self.ended or self.length == 0):
            self.alone = self._is_last()
        super()._close_conn()  # type: ignore[misc]

    def _is_last(self) -> bool:
        """Return whether neither bytes nor the end wait in the buffer, in TLS or on the socket."""
        try:
            self.sock.settimeout(0)  # the next request sets it anew
            return self.fp.read(1) is None
        except ssl.SSLWantReadError:
            return True
        except OSError:
            return False


def is_readable(sock: Any) -> bool:
    """Return whether bytes or the end have come, as one stateless poll sees it."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def is_clear(reply: Any) -> bool:
    """Return whether a reply of urllib3's says in one way only where it ends.

    http.client has found a length or chunks in it, and no word that the connection will close.
    """
    plain, fields = reply._original_response, reply.headers
    if plain.msg.defects:
        return False
    if reply.status in (204, 304):
        return not plain.chunked and fields.get("content-length", "0") == "0"
    if plain.chunked:
        return plain.version == 11 and "content-length" not in fields
    return "transfer-encoding" not in fields and fields["content-length"].isdecimal()
