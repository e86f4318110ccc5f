"""How many connections of the pool one account's writes hold at one time.

A write holds its connection while rows of its account are locked, or change slowly. So an account
has permits for a third of the connections (one at least); its other writes wait without any, and
calls of other accounts find the rest.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from ..database import RowsBusy, release

PARTS = 3  # of the pool; an account gets one


class Permits:
    """The permits of this process, by account."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.free: dict[int, threading.Semaphore] = {}
        self.wanted: Counter[int] = Counter()  # writes that have a permit, or wait for one

    @contextmanager
    def hold(self, owner: int, patience: float) -> Iterator[None]:
        """Wait for a permit, at most so many seconds. Raises RowsBusy where none comes in time.

        A transaction that is under way has its connection, so it needs none.
        """
        pool = connection.pool  # type: ignore[attr-defined]
        if pool is None or connection.in_atomic_block:
            yield
            return
        with self.lock:
            self.wanted[owner] += 1
            free = self.free.setdefault(owner, threading.Semaphore(max(1, pool.max_size // PARTS)))
        try:
            if not free.acquire(blocking=False):
                release()
                if not free.acquire(timeout=patience):
                    raise RowsBusy("other writes of this account have all its permits")
            try:
                yield
            finally:
                free.release()
        finally:
            with self.lock:
                self.wanted[owner] -= 1
                if not self.wanted[owner]:
                    del self.wanted[owner], self.free[owner]


permits = Permits()
