"""How many bytes of requests this process reads and parses at one time.

A body takes its bytes once more when it is parsed, and more for its values; a few large ones at the
same time could take all memory of the machine. Small ones pass freely, larger ones wait for room.
An account takes half of the room at most: a slow sender of large bodies does not stop the others.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from .. import faults

SMALL = 64 << 10  # bytes that need no room
BODIES = 8  # of the largest size that have room
PATIENCE = 5.0  # seconds


class Room:
    """Bytes that are taken, in all and by each account."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.taken: Counter[int] = Counter()
        self.has_been_used = False

    @contextmanager
    def hold(self, size: int, owner: int) -> Iterator[None]:
        """Take room for so many bytes. Raises Fault where there is none in time."""
        if size <= SMALL:
            yield
            return
        latest = time.monotonic() + PATIENCE
        with self.changed:
            while not self._fits(size, owner):
                if not self.changed.wait(latest - time.monotonic()):
                    raise faults.no_room_to_parse()
            self.taken[owner] += size
        try:
            yield
        finally:
            with self.changed:
                self.taken[owner] -= size
                self.taken += Counter()  # drops accounts that hold nothing
                self.has_been_used = True
                self.changed.notify_all()

    def is_over(self) -> bool:
        """Tell, once, that large bodies were parsed since the last time and none is now."""
        with self.changed:
            over = self.has_been_used and not self.taken
            self.has_been_used = self.has_been_used and not over
        return over

    def _fits(self, size: int, owner: int) -> bool:
        most = BODIES * settings.MAX_BODY
        return self.taken[owner] + size <= most / 2 and self.taken.total() + size <= most


room = Room()
