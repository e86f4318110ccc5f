"""What callers of open streams were sent, in files of this machine.

A growing answer is saved in the database every few seconds. Between two saves, and while the
database is away, its caller reads on. So each piece is in a file before it leaves, a file for each
open stream, which is removed once the call's row is closed. The system has what was written, so it
outlives a killed process. It does not outlive a machine that loses its power: nothing waits for
the disk.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from django.conf import settings

from conversations.record import growth

from ..protocols import chat, events

KEPT = 24 * 3600  # seconds that a file stays of which no process knows
log = logging.getLogger(__name__)


def find_folder() -> Path:
    return Path(settings.VAR_DIR, "growing")


class Journal:
    """The open files of this process."""

    def __init__(self) -> None:
        self.files: dict[UUID, int | None] = {}  # None: it could not be written

    def add(self, call: UUID, piece: bytes) -> None:
        """Note whole events that are about to leave."""
        try:
            file = self.files[call] if call in self.files else self._open(call)
            if file is not None:
                os.write(file, piece)
        except OSError as problem:  # a full disk: the next save in the database is the first then
            log.warning("what call %s is sent is not noted: %s", call, problem.strerror)
            self._close(call)
            self.files[call] = None

    def end(self, call: UUID) -> None:
        """Remove the file of a call whose row is closed."""
        if call in self.files:
            self._close(call)
            with suppress(OSError):  # it was never there, or `clear` removes it
                find_folder().joinpath(str(call)).unlink()

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
    with suppress(FileNotFoundError):
        growth.replace_pieces(call, list(read_pieces(path.read_bytes())))
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
    """Remove old files of calls that were closed without this machine."""
    oldest = time.time() - KEPT
    for path in find_folder().glob("*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()
