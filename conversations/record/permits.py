"""How many connections of the pool one account's writes hold at one time.

A write holds its connection while rows of its account are locked, or change slowly. So an account
has permits for a third of the connections (one at least); its other writes wait without any, and
calls of other accounts find the rest.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection
from psycopg_pool import PoolTimeout

from ..database import RowsBusy, release

PARTS = 3  # of the pool; an account gets one


class Permits:
    """The permits of this process, by account."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.accounts: dict[int, _Account] = {}  # those with a write under way

    @contextmanager
    def hold(self, owner: int, patience: float) -> Iterator[None]:
        """Wait for a permit, at most so many seconds. Raises RowsBusy where none comes in time.

        A transaction that is under way has its connection, so it needs none. Where the database is
        away, one write has waited for it in vain for all that wait behind it.
        """
        pool = connection.pool  # type: ignore[attr-defined]
        if pool is None or connection.in_atomic_block:
            yield
            return
        with self.lock:
            account = self.accounts.setdefault(owner, _Account(max(1, pool.max_size // PARTS)))
            account.wanted += 1
        try:
            account.take(patience)
            is_away = False
            try:
                yield
            except OperationalError as problem:
                is_away = isinstance(problem.__cause__, PoolTimeout)
                raise
            finally:
                account.give(is_away=is_away)
        finally:
            with self.lock:
                account.wanted -= 1
                if not account.wanted:
                    del self.accounts[owner]


class _Account:
    def __init__(self, free: int) -> None:
        self.changed = threading.Condition()
        self.free = free
        self.wanted = 0  # writes that have a permit, or wait for one
        self.timeouts = 0  # writes with a permit that got no connection

    def take(self, patience: float) -> None:
        if not self.free:
            release()
        with self.changed:
            before = self.timeouts
            if not self.changed.wait_for(lambda: self.free or self.timeouts > before, patience):
                raise RowsBusy("other writes of this account have all its permits")
            if self.timeouts > before:
                raise OperationalError("another write of this account found no connection")
            self.free -= 1

    def give(self, *, is_away: bool) -> None:
        with self.changed:
            self.free += 1
            self.timeouts += is_away
            self.changed.notify(self.wanted if is_away else 1)


permits = Permits()
