"""The state of each upstream: how many calls this process has open there, and whether it fails.

It is kept in memory; every process finds out for itself. After FAILURES in a row the breaker is
open: calls go to the next upstream of their model, for UPSTREAM_PAUSE seconds. Then it is half
open: one call tries it, and its success closes the breaker. It never refuses a call by itself: an
upstream that is passed over is asked in the end, if all others fail.
"""

import threading
import time

from django.conf import settings

FAILURES = 5  # in a row
WAIT = 2.0  # seconds that a call waits for a place at an upstream whose places are taken


class Gate:
    """The places and the breaker of one upstream."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.open_calls = self.failures = 0
        self.probing = False
        self.paused_until = 0.0

    @property
    def state(self) -> str:
        """Of the breaker: closed, open or half-open."""
        if self.failures < FAILURES:
            return "closed"
        return "open" if time.monotonic() < self.paused_until else "half-open"

    def admits(self) -> bool:
        """Return whether the next call should go here rather than elsewhere.

        A half-open gate admits one call, whose end then has to be judged.
        """
        if self.failures < FAILURES:
            return True
        with self.changed:
            if self.probing or time.monotonic() < self.paused_until:
                return False
            self.probing = True
            return True

    def judge(self, *, healthy: bool | None) -> None:
        """Note how a try ended; None where it says nothing about the upstream."""
        if healthy and not self.failures:
            return
        with self.changed:
            self.probing = False
            if healthy:
                self.failures = 0
            elif healthy is False:
                self.failures += 1
                self.paused_until = time.monotonic() + settings.UPSTREAM_PAUSE

    def take(self, most: int | None) -> bool:
        """Take a place; False if none became free in time."""
        with self.changed:
            if most is not None and not self.changed.wait_for(lambda: self.open_calls < most, WAIT):
                return False
            self.open_calls += 1
            return True

    def give_back(self) -> None:
        with self.changed:
            self.open_calls -= 1
            self.changed.notify()


class Gates(dict[str, Gate]):
    """The gates of this process, by the upstream's name in the record."""

    def __missing__(self, name: str) -> Gate:
        return self.setdefault(name, Gate())


gates = Gates()
