"""What an export holds: the calls of a filter, among those that were sealed up to one seal.

The seal number is the cursor. A call that is open has none, so it is in no export; it gets one when
it closes, after every seal that was there before, so it is in the next export from there, once.
Rows come in the order of their seals, in stretches that are read by themselves: no connection is
held while a slow reader reads.

A filter of what never changes may be asked again for each stretch (Selection). A reviewer's filter
asks for words, names and review states, which do change: its answer is written to a file first, at
one moment (Chosen).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Min, OuterRef, QuerySet, Subquery

from .. import database
from ..models import Seal, Snapshot
from ..models.snapshot import CallSize
from ..proof.sealing import SNAPSHOT
from .durable import replace_file

WINDOW = 5000  # seals that are looked through at a time
# Between the clocks of the machines that open calls and of the one that seals them.
SKEW = timedelta(days=1)


@dataclass(slots=True)
class Stretch:
    """Some calls, or conversations, with their seals, in order.

    No seal up to `position` is left to look at.
    """

    position: int
    seals: dict[UUID, int]

    def measure_calls(self) -> list[CallSize]:
        """Measure its calls, in order."""
        sizes = {call.id: call for call in Snapshot.objects.filter(id__in=self.seals).sizes()}
        return [sizes[call] for call in self.seals if call in sizes]


@dataclass(frozen=True, slots=True)
class Selection:
    calls: QuerySet[Snapshot]  # of a filter, and readable to the owner of the export
    after: int  # seals after this one …
    last: int  # … up to this one

    def stretches(self, size: int) -> Iterator[Stretch]:
        """Stretches of at most `size` calls. The last one, perhaps empty, stands at `last`."""
        for end, found in self._windows():
            chosen = list(found.items())
            for start in range(0, len(chosen), size):
                part = dict(chosen[start : start + size])
                yield Stretch(
                    end if start + size >= len(chosen) else chosen[start + size - 1][1], part
                )
            if not chosen:
                yield Stretch(end, {})

    def up_to(self, rows: int) -> tuple["Selection", int]:
        """The selection cut off behind so many calls; and how many it has."""
        counted, position = 0, self.after
        for end, found in self._windows():
            if counted + len(found) > rows:
                kept = list(found.values())[: rows - counted]
                return Selection(self.calls, self.after, kept[-1] if kept else position), rows
            counted, position = counted + len(found), end
        return self, counted

    def seals(self, after: int, until: int) -> QuerySet[Seal]:
        """The seals of its calls after one seal, up to another."""
        sealed = Seal.objects.filter(number__gt=after, number__lte=until, kind=SNAPSHOT)
        return sealed.filter(subject__in=self.calls.order_by().values("id")).order_by("number")

    def _windows(self) -> Iterator[tuple[int, dict[UUID, int]]]:
        position = self.after
        while position < self.last:
            end = min(position + WINDOW, self.last)
            try:
                found = dict(self.seals(position, end).values_list("subject", "number"))
            finally:
                database.release()
            yield end, found
            position = end


class Chosen:
    """A selection as it was at one moment, in a file: 24 bytes a row, a seal and an id."""

    ROW = struct.Struct(">Q16s")

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, selection: Selection, *, conversations: bool) -> int:
        """Write the rows of a selection, and return how many there are.

        Conversations come once, at the first of their calls that was chosen. One statement selects
        the rows: it sees one moment.
        """
        rows: QuerySet[Any, Any]
        if conversations:
            number = Subquery(Seal.objects.filter(subject=OuterRef("pk")).values("number"))
            calls = selection.calls.exclude(conversation=None).order_by().annotate(number=number)
            calls = calls.filter(number__gt=selection.after, number__lte=selection.last)
            rows = (
                calls.values_list("conversation")
                .annotate(first=Min("number"))
                .order_by("first")
                .values_list("first", "conversation")
            )
        else:
            rows = selection.seals(selection.after, selection.last).values_list("number", "subject")
        count = 0
        with replace_file(self.path) as file, transaction.atomic():
            for seal, row in rows.iterator(chunk_size=WINDOW):
                file.write(self.ROW.pack(seal, row.bytes))
                count += 1
        return count

    def stretches(self, size: int, taken: int = 0) -> Iterator[Stretch]:
        """Stretches of at most `size` rows, after those that were taken."""
        with open(self.path, "rb") as file:
            file.seek(taken * self.ROW.size)
            while data := file.read(size * self.ROW.size):
                seals = {UUID(bytes=row): number for number, row in self.ROW.iter_unpack(data)}
                yield Stretch(list(seals.values())[-1], seals)


def newest_seal() -> int:
    """The number of the newest seal: where an export freezes."""
    return Seal.objects.order_by("-number").values_list("number", flat=True).first() or 0


def seal_before(opened: datetime) -> int:
    """A seal before those of all calls that were opened then or later.

    Seals are made in the order of time.
    """
    low, high = 0, newest_seal()
    while low < high:
        middle = (low + high) // 2
        sealed = (
            Seal.objects.filter(number__gt=middle)
            .order_by("number")
            .values_list("sealed", flat=True)
            .first()
        )
        if sealed is None or sealed >= opened - SKEW:
            high = middle
        else:
            low = middle + 1
    return low
