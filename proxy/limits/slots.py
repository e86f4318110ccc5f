"""How many calls are open on this machine, and how many of them are one account's.

The processes of a web server share one table, made before gunicorn forks: a row a process, a column
an account. A process writes its own row only, under a lock of its own, and reads all; no lock is
shared, so a process that is killed holds none. Its master clears its row, and the slots are free.
Two processes that take the last slot at the same moment may both be refused, never both let in.

Other processes (the worker, tests) have a table of their own.
"""

import mmap
import threading

from django.conf import settings

from .. import faults
from ..faults import Fault

USED, TOTAL = 0, 1  # columns
FIRST = 2  # from here on they are accounts'
ACCOUNTS = 4093  # columns: two accounts whose ids differ by a multiple of it count as one
COLUMNS = FIRST + ACCOUNTS
SPARE = 32  # rows for processes that end while others start


class Table:
    """Numbers in memory that forked processes share."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.cells = memoryview(mmap.mmap(-1, 4 * rows * COLUMNS)).cast("i")

    def claim(self) -> int:
        """Return a row that no process has."""
        row = next(row for row in range(self.rows) if not self.cells[row * COLUMNS])
        self.cells[row * COLUMNS + USED] = 1
        return row

    def clear(self, row: int) -> None:
        """Free the row of a process that has ended, and with it all that it held."""
        start = row * COLUMNS
        self.cells[start : start + COLUMNS] = memoryview(bytes(4 * COLUMNS)).cast("i")

    def add(self, row: int, column: int, number: int) -> None:
        self.cells[row * COLUMNS + column] += number

    def count(self, column: int) -> int:
        """Return the sum of a column."""
        return sum(self.cells[row * COLUMNS + column] for row in range(self.rows))


class Slots:
    """The slots of the machine, as one process takes them."""

    def __init__(self, table: Table, row: int) -> None:
        self.table, self.row = table, row
        self.lock = threading.Lock()

    @property
    def taken(self) -> int:
        """How many this process holds."""
        return self.table.cells[self.row * COLUMNS + TOTAL]

    def take(self, owner: int) -> None:
        """Raises Fault where all are taken, or this account has more than its share."""
        column = FIRST + owner % ACCOUNTS
        with self.lock:
            self._add(column, 1)
            if fault := self._refusal(column):
                self._add(column, -1)
                raise fault

    def give(self, owner: int) -> None:
        with self.lock:
            self._add(FIRST + owner % ACCOUNTS, -1)

    def _add(self, column: int, number: int) -> None:
        self.table.add(self.row, TOTAL, number)
        self.table.add(self.row, column, number)

    def _refusal(self, column: int) -> Fault | None:
        """Judge the slot that was just taken."""
        most = settings.OPEN_CALLS * settings.WEB_WORKERS
        others = self.table.count(TOTAL) - 1
        if others >= most:
            return faults.overloaded()
        if 3 * others >= 2 * most and 3 * (self.table.count(column) - 1) > most:
            return faults.share_taken()
        return None


def make_table() -> Table:
    return Table(2 * settings.WEB_WORKERS + SPARE)


def make_own_slots() -> Slots:
    """Make the slots of a process that shares them with no other."""
    table = Table(1)
    return Slots(table, table.claim())
