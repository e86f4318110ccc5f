"""What every format of an export has in common."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .. import database
from ..people.identity import Names
from .selection import Selection, Stretch

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

WORTH_SENDING = 1 << 16  # bytes


class Format:
    """Writes rows as pieces of bytes, each by itself.

    A file is `head`, pieces, `tail`; a long export is several files.
    """

    name = suffix = ""
    label: "StrOrPromise" = ""  # for the page of exports, like the description
    description: "StrOrPromise" = ""
    stem = "calls"  # of the names of files
    head = tail = b""
    part = 1_000_000  # rows of a file
    at_once = 1000  # rows that are read in one go: what an export holds in memory
    conversations = False  # a row is a conversation, not a call
    whole = False  # it holds requests and replies as they were sent: the seals can prove it

    def __init__(self, names: Names, folder: Path | None = None) -> None:
        """`folder` is the export's own: files that are no rows go there."""
        self.names = names
        self.folder = folder

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        """The row of each call or conversation; `last` is the seal at which the export freezes."""
        raise NotImplementedError

    def stream(self, selection: Selection) -> Iterator[bytes]:
        """One file, in pieces worth sending. No database connection is held meanwhile."""
        waiting, size = [self.head], len(self.head)
        for stretch in selection.stretches(self.at_once):
            try:
                for piece in self.rows(stretch, selection.last):
                    waiting.append(piece)
                    size += len(piece)
                    if size >= WORTH_SENDING:
                        database.release()
                        yield b"".join(waiting)
                        waiting, size = [], 0
            finally:
                database.release()
        yield b"".join([*waiting, self.tail])
