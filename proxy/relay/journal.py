"""What callers of open streams were sent, in files of this machine.

A growing answer is saved in the database every few seconds. Between two saves, and while the
database is away, its caller reads on. So each piece is in a file before it leaves, a file for each
open stream, which is removed once the call's row is closed. The system has what was written, so it
outlives a killed process. It does not outlive a machine that loses its power: nothing waits for
the disk. Where a file cannot be written whole, there is none: the database has more then.
"""

import errno
import logging
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
log = logging.getLogger(__name__)


def find_folder() -> Path:
    return Path(settings.VAR_DIR, "growing")


class Journal:
    """The open files of this process."""

    def __init__(self) -> None:
        self.files: dict[UUID, int | None] = {}  # None: it could not be written
        self.warned = float("-inf")

    def add(self, call: UUID, piece: bytes) -> None:
        """Note whole events that are about to leave."""
        try:
            file = self.files[call] if call in self.files else self._open(call)
            if file is not None and os.write(file, piece) < len(piece):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
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

    def _open(self, call: UUID) -> int:
        folder = find_folder()
        folder.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        file = self.files[call] = os.open(folder / str(call), flags, 0o600)
        return file

    def _close(self, call: UUID) -> None:
        if (file := self.files.pop(call, None)) is not None:
            with suppress(OSError):
                os.close(file)


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
    """Yield each string that grew in these events. The last event may be cut."""
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
