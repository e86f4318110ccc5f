"""Three books of the same calls, compared: the upstream's, the callers' and the gateway's record.

Pure. A call is known by its mark, which its question holds; the answer to a mark is computed.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

WORDS = 60  # of an answer
SEE_OTHER = 303


def answer(mark: str) -> str:
    chance = random.Random(mark)
    return " ".join([mark, *(f"{chance.randrange(10**6):06}" for _ in range(WORDS))])


@dataclass
class Note:
    """What a caller has seen of a call."""

    mark: str
    status: int = 0  # of HTTP; 0: the connection broke before one came
    text: str = ""
    is_whole: bool = False  # the document, or [DONE], came
    error: str = ""  # a code
    is_unsent: bool = False  # the caller was told that nothing was sent


@dataclass
class Row:
    status: str
    text: str


@dataclass
class Books:
    ledger: dict[str, int]  # how often each mark reached the upstream
    notes: list[Note]
    rows: dict[str, list[Row]]
    titles: dict[str, int]  # how often the upstream was asked for a title: jobs may be done twice
    title_rows: dict[str, int]  # how many calls for a title are on record

    def compare(self) -> Iterator[str]:
        """Say each contradiction."""
        for mark, count in self.ledger.items():
            if count > 1:
                yield f"doubled: {mark} reached the upstream {count} times"
            if mark not in self.rows:
                yield f"lost: {mark} reached the upstream and is not on record"
        for mark, rows in self.rows.items():
            if len(rows) > 1:
                yield f"doubled: {mark} has {len(rows)} rows"
            for row in rows:
                yield from self._compare_row(mark, row)
        for mark, count in self.titles.items():
            if count > (rows := self.title_rows.get(mark, 0)):
                yield f"lost: a title for {mark} was asked for {count} times, {rows} on record"
        for note in self.notes:
            yield from self._compare_note(note, self.rows.get(note.mark, []))

    def _compare_row(self, mark: str, row: Row) -> Iterator[str]:
        if row.status == "pending":
            yield f"pending: {mark}"
        if not answer(mark).startswith(row.text):
            yield f"wrong text on record: {mark}, {row.status}"
        if row.status == "ok" and row.text != answer(mark):
            yield f"cut text on record: {mark} is ok"

    def _compare_note(self, note: Note, rows: list[Row]) -> Iterator[str]:
        if not answer(note.mark).startswith(note.text):
            yield f"wrong text read: {note.mark}"
        if note.is_whole and note.text != answer(note.mark):
            yield f"cut text read as whole: {note.mark}"
        if note.is_whole and [row.status for row in rows] != ["ok"]:
            yield f"wrong status: {note.mark} was read whole, on record as {rows}"
        if note.status == SEE_OTHER and not rows:
            yield f"lost: {note.mark} was taken on a page and is not on record"
        unread = min((len(row.text) - len(note.text) for row in rows), default=0)
        if unread < 0:
            yield f"lost text: of {note.mark} {-unread} characters were read and are not on record"
        if note.is_unsent and note.mark in self.ledger:
            yield f"called unsent: {note.mark} reached the upstream"
        is_ok = any(row.status == "ok" for row in rows)
        if note.error and is_ok and note.error != "record_not_writable":
            yield f"wrong status: {note.mark} is ok, its caller was told {note.error}"
