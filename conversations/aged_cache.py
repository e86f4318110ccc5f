"""A cache with an age, for what every call looks up: who may use what, and where to find it.

Other processes change the rows without a word to this one. So a copy is served for seconds, and
not past its bound, however long no call came meanwhile.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Generic, TypeVar

FRESH = 4.0  # seconds
OLDEST = 5.0  # seconds in which a change works in every process: docs/operations.md says so

Key = TypeVar("Key")
Value = TypeVar("Value")


class AgedCache(Generic[Key, Value]):
    """Values by key, as `read` returned them. Threads may share it.

    A copy younger than `fresh` seconds is served at once. From then on one thread reads anew, and
    the others take the copy. From `oldest` on they wait for that thread instead, and have its
    error where it fails: no copy is served any more. Ages count from the moment a read began.

    `most` keys are kept: the one that was read longest ago makes room. `release` gives back what
    a thread holds, such as a connection; it is called before a thread waits, and after it has read.
    """

    def __init__(
        self,
        read: Callable[[Key], Value],
        *,
        fresh: float = FRESH,
        oldest: float = OLDEST,
        most: int = 10_000,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.read, self.release = read, release
        self.fresh, self.oldest = fresh, oldest
        self.most = most
        self._lock = threading.Lock()
        self._copies: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._reads: dict[Key, tuple[float, Future[Value]]] = {}  # under way

    def get(self, key: Key) -> Value:
        """Return the value. Raises what `read` raises where no copy may be served instead."""
        copy = self._copies.get(key)
        if copy is not None and monotonic() - copy[0] < self.fresh:
            return copy[1]
        return self._read_or_wait(key)

    def last(self, key: Key) -> Value | None:
        """Return the newest copy, however old, without reading; None where there is none."""
        copy = self._copies.get(key)
        return None if copy is None else copy[1]

    def forget(self) -> None:
        """Drop all copies. What is being read now will not be kept."""
        with self._lock:
            self._copies.clear()
            self._reads.clear()

    def _read_or_wait(self, key: Key) -> Value:
        with self._lock:
            now = monotonic()
            copy, under_way = self._copies.get(key), self._reads.get(key)
            if copy is not None and now - copy[0] < self.fresh:
                return copy[1]  # another thread has read it meanwhile
            if under_way is not None and now - under_way[0] < self.oldest:
                reading, mine = under_way, False
            else:  # no thread reads, or what it finds may be too old by now
                reading, mine = (now, Future()), True
                self._reads[key] = reading
        if mine:
            self._read(key, reading)
        answer = reading[1]
        wants_copy = not mine or answer.exception() is not None
        if wants_copy and copy is not None and monotonic() - copy[0] < self.oldest:
            return copy[1]
        if not mine:
            self.release()
        return answer.result()

    def _read(self, key: Key, reading: tuple[float, Future[Value]]) -> None:
        began, answer = reading
        try:
            try:
                value = self.read(key)
            finally:
                self.release()
        except BaseException as problem:  # of any kind: no thread may wait for ever
            answer.set_exception(problem)
        else:
            answer.set_result(value)
        with self._lock:
            if self._reads.get(key) is not reading:
                return  # it was forgotten, or read anew, since this began
            del self._reads[key]
            if not answer.exception():
                self._copies[key] = (began, value)
                self._copies.move_to_end(key)
                if len(self._copies) > self.most:
                    self._copies.popitem(last=False)
