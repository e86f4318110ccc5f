"""What callers of open streams were sent, in files of this machine.

A growing answer is saved in the database every few seconds. Between two saves, and while the
database is away, its caller reads on. So each piece is in a file before it leaves, a file for each
open stream, which is removed once the call's row is closed. The system has what was written, so it
outlives a killed process. It does not outlive a machine that loses its power: nothing waits for
the disk. Where a file cannot be written whole, there is none: the database has more then.

A file has room before it has words, and the words are put into its memory: to write each piece
would let go of the interpreter once more, which costs more than all else that a piece costs.
"""

import errno
import logging
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from django.conf import settings

from conversations.models import Snapshot
from conversations.record import growth

from ..protocols import chat, events

KEPT = 24 * 3600  # seconds that a file stays of a call that is not on record here
QUIET = 60  # seconds from one warning to the next
ROOM = bytes(16 << 10)  # that a file has at first; its rest, behind the words, is zeros
log = logging.getLogger(__name__)


def find_folder() -> Path:
    return Path(settings.VAR_DIR, "growing")


class JournalFile:
    """One call's file. Raises OSError where the disk has no more room."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self.size = self.length = 0
        self.room: mmap.mmap | None = None

    def add(self, piece: bytes) -> None:
        end = self.length + len(piece)
        if self.room is None or end > self.size:
            self._widen(end)
        self.room[self.length : end] = piece  # type: ignore[index]
        self.length = end

    def _widen(self, end: int) -> None:
        """Make room for so many bytes, and as much again.

        Zeros are written there first: memory without room on the disk behind it ends a process.
        """
        while self.size < 2 * end:
            written = os.pwrite(self.file, ROOM, self.size)
            if written < len(ROOM):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.size += written
        if self.room:
            self.room.close()
        self.room = mmap.mmap(self.file, self.size)

    def close(self) -> None:
        if self.room:
            self.room.close()
        with suppress(OSError):
            os.close(self.file)


class Journal:
    """The open files of this process."""

    def __init__(self) -> None:
        self.files: dict[UUID, JournalFile | None] = {}  # None: it could not be written
        self.warned = float("-inf")

    def add(self, call: UUID, piece: bytes) -> None:
        """Note whole events that are about to leave."""
        try:
            file = self.files[call] if call in self.files else self._open(call)
            if file is not None:
                file.add(piece)
        except OSError as problem:  # a full disk
            self._warn(problem)
            self.end(call)  # the saves in the database go on, and would say more than its file
            self.files[call] = None

    def end(self, call: UUID) -> None:
        """Remove the file of a call whose row is closed."""
        if call in self.files:
            self._close(call)
            with suppress(OSError):  # it was never there, or `clear` removes it
                find_folder().joinpath(str(call)).unlink()

    def _warn(self, problem: OSError) -> None:
        """Say it for all calls at once: where one has no file, the next ones have none either."""
        if time.monotonic() - self.warned > QUIET:
            self.warned = time.monotonic()
            log.warning("what callers of streams are sent is not noted: %s", problem.strerror)

    def _open(self, call: UUID) -> JournalFile:
        folder = find_folder()
        folder.mkdir(mode=0o700, exist_ok=True)
        file = self.files[call] = JournalFile(folder / str(call))
        return file

    def _close(self, call: UUID) -> None:
        if file := self.files.pop(call, None):
            file.close()


def bring_in(call: UUID) -> None:
    """Save what a dead process of this machine had sent of a call's answer."""
    path = find_folder() / str(call)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as problem:  # the call is closed all the same, with what the database has
        log.warning("what call %s was sent cannot be read: %s", call, problem.strerror)
        return
    growth.replace_pieces(call, list(read_pieces(data)))
    with suppress(OSError):
        path.unlink()


def read_pieces(data: bytes) -> Iterator[growth.Piece]:
    """Yield each string that grew in these events. The last may be cut, then zeros."""
    reply = chat.Reply()
    reply.feed(events.Cutter().cut(data))
    grown: dict[chat.Channel, str] = {}
    for channel, text in reply.take():
        grown[channel] = grown.get(channel, "") + text
    for channel, text in grown.items():
        yield growth.Piece(channel, 0, text)


def clear() -> None:
    """Remove the files of calls that another machine has closed, and old ones of unknown calls."""
    files = {name: path for path in find_folder().glob("*") if (name := _read_name(path))}
    closed = Snapshot.objects.filter(id__in=files).exclude(status=Snapshot.Status.PENDING)
    for name in closed.values_list("id", flat=True):
        with suppress(OSError):
            files.pop(name).unlink()
    oldest = time.time() - KEPT
    for path in files.values():
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _read_name(path: Path) -> UUID | None:
    with suppress(ValueError):
        return UUID(path.name)
    return None
