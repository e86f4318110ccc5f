"""When rows were sealed, held against when they say that they came about.

The worker seals within seconds, in the order of closing. So a row that says it closed long before
rows with earlier seals was dated back; where all wait in that order, no worker ran. Calls of an
import have the times of the log that they come from.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from ..ledger import SealEntry
from .sealing import SealedRow

LATE = 3600.0  # seconds from the end of a call to its seal; clocks may differ by as much
NAMED = 10  # rows that are named; the others are counted


class Times:
    """What one run learns of them, seal by seal; the same memory at any number of seals."""

    def __init__(self) -> None:
        self.newest = 0.0  # the latest time that any row so far says; all are seconds since 1970
        self.forged = Late()
        self.waited = Late()
        self.imported: Counter[date] = Counter()  # by the day of the seal

    def take(self, entry: SealEntry, sealed: float, row: SealedRow) -> None:
        """Take the next seal and its row."""
        at = row.at
        if at is None:
            return
        if row.is_imported:
            self.imported[_make_time(sealed).date()] += 1
            return
        if at > sealed + LATE:
            self.forged.add(entry, at, sealed)
        elif at < sealed - LATE:
            late = self.forged if at < self.newest - LATE else self.waited
            late.add(entry, at, sealed)
        self.newest = max(self.newest, min(at, sealed))

    def list_problems(self) -> Iterator[str]:
        for each in self.forged.named:
            yield (
                f"{each}, out of its order and by no import: it was put in with a false time, or a "
                "machine could not write its end for so long."
            )
        if more := self.forged.count - len(self.forged.named):
            yield f"So were {more:,} others."

    def list_notes(self) -> Iterator[str]:
        if self.waited.count:
            others = f" The first: {'; '.join(self.waited.named[:3])}."
            yield (
                f"{self.waited.count:,} rows were sealed much later than they closed, in the order "
                f"of closing: no worker ran, or they were put in with an old time.{others}"
            )
        if self.imported:
            days = sorted(self.imported.items())[-5:]
            said = ", ".join(f"{count:,} on {day}" for day, count in days)
            earlier = ", others before" if len(self.imported) > len(days) else ""
            yield (
                f"{self.imported.total():,} calls came from a classic gateway's log, with the "
                f"times of that log. They were sealed here: {said}{earlier}. Compare these days "
                "with the imports that you know of."
            )


class Late:
    """Rows with a late seal: the first ones in words, and how many there are."""

    def __init__(self) -> None:
        self.named: list[str] = []
        self.count = 0

    def add(self, entry: SealEntry, at: float, sealed: float) -> None:
        self.count += 1
        if len(self.named) < NAMED:
            apart = timedelta(seconds=round(abs(sealed - at)))
            self.named.append(
                f"The {entry} closed at {_make_time(at):%Y-%m-%d %H:%M:%S} UTC, as it says, and "
                f"was sealed {apart} {'later' if sealed > at else 'earlier'}"
            )


def _make_time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
