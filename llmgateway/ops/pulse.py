"""Signs of life of a process that a supervisor watches, through a pipe.

They tell of every part of it: a thread that hangs leaves the process alive and its work undone.
They need no database, so one that is away makes no process look dead. A process without a
supervisor, in a container, ends itself when its parts hang: what runs the container starts it anew.
"""

import faulthandler
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

VARIABLE = "PULSE_PIPE"
STALLED = 60  # seconds that a part may take for one turn
SILENT = 30  # seconds without a beat after which a process hangs
BEFORE = 5  # seconds by which a process ends itself earlier: then its log says where it hung


class Pulse:
    """The beating process's side. Each part says that it turns; `beat` passes on that all do."""

    def __init__(self, *parts: str) -> None:
        self.turned = dict.fromkeys(parts, time.monotonic())
        number = os.environ.get(VARIABLE)
        self.pipe = int(number) if number else None
        if self.pipe is not None:
            os.set_inheritable(self.pipe, False)  # noqa: FBT003 - os has no name for it
        self.beat()

    def turn(self, part: str) -> None:
        self.turned[part] = time.monotonic()

    def beat(self) -> None:
        """Give a sign of life, unless a part hangs. Without one in time the process is ended."""
        if time.monotonic() - min(self.turned.values()) > STALLED:
            return
        # A thread outside Python, which a thread that holds on to the interpreter cannot stop.
        faulthandler.dump_traceback_later(SILENT - BEFORE, exit=True)
        if self.pipe is not None:
            with suppress(OSError):  # full, or the supervisor is gone
                os.write(self.pipe, b".")

    def stop(self) -> None:
        """End the watch: the process ends by itself now."""
        faulthandler.cancel_dump_traceback_later()


class Listener:
    """The supervisor's side, for one child."""

    def __init__(self) -> None:
        self.pipe, self.theirs = os.pipe()
        os.set_blocking(self.pipe, False)
        os.set_blocking(self.theirs, False)
        self.last: float | None = None

    @contextmanager
    def open_for_child(self) -> Iterator[tuple[int, dict[str, str]]]:
        """What the child inherits, and the variable that tells it; closed here afterwards."""
        try:
            yield self.theirs, {VARIABLE: str(self.theirs)}
        finally:
            os.close(self.theirs)

    def listen(self) -> float | None:
        """Return when the last beat was heard, by the monotonic clock. None: none yet."""
        with suppress(BlockingIOError):
            if os.read(self.pipe, 65536):
                self.last = time.monotonic()
        return self.last

    def close(self) -> None:
        os.close(self.pipe)
