"""A transaction of another connection that a test holds open, so that a race has one order."""

import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction

WAITS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'"""


class Apart:
    """An action on a connection of its own; `result` is its outcome, or the error it raised."""

    def __init__(self, action: Callable[[], Any], *, held: bool = False) -> None:
        self.action, self.held, self.result = action, held, None
        self.acted, self.let_go = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        if held:
            assert self.acted.wait(60)

    def _run(self) -> None:
        try:
            with transaction.atomic():
                self.result = self.action()
                self.acted.set()
                if self.held:
                    self.let_go.wait(60)
        except Exception as problem:
            self.result = problem
        finally:
            self.acted.set()
            connection.close()

    def end(self) -> Any:
        self.let_go.set()
        self.thread.join(60)
        assert not self.thread.is_alive()
        return self.result


def race(first: Callable[[], Any], second: Callable[[], Any], *, waits: bool) -> tuple[Any, Any]:
    """Act twice, the first transaction held open until the second waits for it, or has ended.

    `waits` says which of both must happen.
    """
    ahead = Apart(first, held=True)
    behind = Apart(second)
    try:
        latest = time.monotonic() + 60
        while not behind.acted.is_set() and not count_waiting():
            assert time.monotonic() < latest
            time.sleep(0.02)
        assert behind.acted.is_set() != waits
    finally:
        results = ahead.end(), behind.end()
    return results


def count_waiting() -> int:
    with connection.cursor() as cursor:
        cursor.execute(WAITS)
        return cursor.fetchone()[0]
