"""Where a reply begins on its connection: behind the interim ones.

http.client takes every interim reply but 100 for the answer, and reads 100s without end. The answer
would then be left in the connection, and be the next caller's.
"""

import http.client

INTERIM = 100  # replies until the last one has to come
INTERIM_SIZE = 1 << 16  # bytes of their fields, together


class BadReply(Exception):
    """A reply that is no answer; the text may be shown.

    It is no HTTPException: urllib3 would make a broken connection of it.
    """


class FramedReply(http.client.HTTPResponse):
    """Skips the interim replies before it."""

    def _read_status(self):
        """Read on to the last reply. Raises BadReply if none comes within the bounds."""
        room = INTERIM_SIZE
        for _ in range(INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status >= 200:
                return version, status, reason
            if status == 101:
                raise BadReply("The model's server changed to a protocol that was not asked for.")
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
