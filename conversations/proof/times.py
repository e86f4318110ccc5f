"""When rows were sealed, held against when they say that they came about.

The worker seals within seconds, in the order of closing. So a row that says it closed long before
rows with earlier seals was dated back; where all wait in that order, no worker ran. Calls of an
import have the times of the log that they come from.

A call that ended while its database was away is closed once it is back, maybe behind new ones. Then
the seals' own times bear it out: while it waited, nothing at all was sealed.

A made-up year (manage.py generate) is dated back too. That is a fault of the record as a whole, and
told as what it is.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from ..ledger import SealEntry
from ..models import User
from ..models.user import MADE_UP
from .sealing import SNAPSHOT, SealedRow

LATE = 3600.0  # seconds from the end of a call to its seal; clocks may differ by as much
SOON = 600.0  # seconds within which a database that is back gets all that waited for it
LONGEST = 4 * 86400.0  # seconds without a seal that bear a late close out: a long weekend
NAMED = 10  # rows that are named; the others are counted
TOLD = 5  # stretches, and days of imports, that are named


class Times:
    """What one run learns of them, seal by seal; the same memory at any number of seals."""

    def __init__(self) -> None:
        self.newest = 0.0  # the latest time that any row so far says; all are seconds since 1970
        self.sealed = 0.0  # the latest time of a seal so far
        self.silence = Silence(0.0, 0.0)  # the latest one
        self.forged = Late()
        self.waited = Late()
        self.silences: list[Silence] = []  # the latest ones in which rows waited, …
        self.earlier = 0  # … and how many there were before
        self.imported: Counter[date] = Counter()  # by the day of the seal
        accounts = User.objects.filter(external_id__startswith=MADE_UP)
        self.made_up = frozenset(accounts.values_list("pk", flat=True))
        self.made_up_rows = 0

    def take(self, entry: SealEntry, sealed: float, row: SealedRow) -> None:
        """Take the next seal and its row."""
        if self.sealed and sealed - self.sealed > LATE - SOON:
            self.silence = Silence(self.sealed, sealed)
        self.sealed = max(self.sealed, sealed)
        at = row.at
        if at is None:
            return
        if row.is_imported:
            self.imported[_make_time(sealed).date()] += 1
            return
        if at > sealed + LATE:
            self.forged.add(entry, at, sealed)
        elif at < sealed - LATE and row.person in self.made_up:
            self.made_up_rows += 1
        elif at < sealed - LATE:
            self._take_late(entry, at, sealed)
        self.newest = max(self.newest, min(at, sealed))

    def _take_late(self, entry: SealEntry, at: float, sealed: float) -> None:
        """Take a row that was sealed much later than it says it closed.

        Calls alone are closed behind others: an event or a decision is written at its time.
        """
        is_in_order = at >= self.newest - LATE
        if self.silence.bears_out(at, sealed) and (is_in_order or entry.kind == SNAPSHOT):
            if not self.silence.waited.count:
                self.silences.append(self.silence)
                self.earlier += len(self.silences) > TOLD
                self.silences = self.silences[-TOLD:]
            self.silence.waited.add(entry, at, sealed)
        elif is_in_order:
            self.waited.add(entry, at, sealed)
        else:
            self.forged.add(entry, at, sealed)

    def list_problems(self) -> Iterator[str]:
        if self.made_up_rows:
            yield (
                f"{self.made_up_rows:,} rows are of a made-up year, which manage.py generate wrote "
                f"and dated back (accounts whose external id begins with {MADE_UP}). This is no "
                "record of what people did."
            )
        for each in self.forged.named:
            yield (
                f"{each}, out of its order and by no import: it was put in with a false time, or a "
                "machine could not write its end for so long."
            )
        if more := self.forged.count - len(self.forged.named):
            yield f"So were {more:,} others."

    def list_notes(self) -> Iterator[str]:
        for silence in self.silences:
            yield (
                f"Nothing was sealed from {_write_time(silence.began)} to "
                f"{_write_time(silence.ended)} UTC: the database was away, or no worker ran. "
                f"{silence.waited.count:,} rows closed in that time, as they say, and were sealed "
                f"after it. The first: {silence.waited.named[0]}."
            )
        if self.earlier:
            yield f"There were {self.earlier:,} such stretches before."
        if self.waited.count:
            others = f" The first: {'; '.join(self.waited.named[:3])}."
            yield (
                f"{self.waited.count:,} rows were sealed much later than they closed, in the order "
                f"of closing: no worker ran, or they were put in with an old time.{others}"
            )
        if self.imported:
            days = sorted(self.imported.items())[-TOLD:]
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
                f"The {entry} closed at {_write_time(at)} UTC, as it says, and "
                f"was sealed {apart} {'later' if sealed > at else 'earlier'}"
            )


class Silence:
    """A stretch between two seals in which nothing was sealed, and the rows that waited in it."""

    def __init__(self, began: float, ended: float) -> None:
        self.began, self.ended = began, ended
        self.waited = Late()

    def bears_out(self, at: float, sealed: float) -> bool:
        """Tell whether all the time from a close to its seal may have been this stretch."""
        is_within = self.began - SOON <= at and sealed <= self.ended + SOON
        return is_within and self.ended - self.began <= LONGEST


def _make_time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _write_time(seconds: float) -> str:
    return f"{_make_time(seconds):%Y-%m-%d %H:%M:%S}"
