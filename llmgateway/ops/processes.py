"""Child processes: started, restarted when they end, and stopped together.

On Linux they get SIGTERM when their parent dies, however it dies. Their numbers are in a file, so
that the next start ends what is left of them.
"""

import ctypes
import fcntl
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1
LONGEST_PAUSE = 30  # seconds between two starts of a child that keeps ending
SETTLED = 60  # seconds after which an end counts as the first again
SHORTLY = 5  # seconds that every process gets to end by itself


@dataclass
class Child:
    arguments: list[str]
    environment: dict[str, str]
    output: int | None
    process: subprocess.Popen
    started: float
    failures: int = 0
    again: float | None = None  # when to start it again


class Processes:
    """The children of one `serve`. A second one on the same file raises BlockingIOError."""

    def __init__(self, file: Path, say: Callable[[str], None]) -> None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.file = open(file, "a+")  # noqa: SIM115 (the lock lives as long as this)
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise
        self.say = say
        self.children: dict[str, Child] = {}
        self.stopping = threading.Event()
        self.hurried = False
        self._end_leftovers()

    def ask_to_stop(self, *signal_and_frame: Any) -> None:
        """Handle a signal. Asked twice, it waits for no child."""
        self.hurried = self.stopping.is_set()
        self.stopping.set()

    def start(
        self,
        name: str,
        arguments: list[str],
        environment: dict[str, str],
        output: int | None = None,
    ) -> None:
        self.children[name] = Child(
            arguments, environment, output, _spawn(arguments, environment, output), time.monotonic()
        )
        self._note()

    def watch(self) -> None:
        """Restart what has ended, until asked to stop."""
        while not self.stopping.wait(0.3):
            now = time.monotonic()
            for name, child in self.children.items():
                if child.again is not None:
                    if now >= child.again:
                        child.process = _spawn(child.arguments, child.environment, child.output)
                        child.started = now
                        child.again = None
                        self._note()
                elif (code := child.process.poll()) is not None:
                    child.failures = 1 if now - child.started > SETTLED else child.failures + 1
                    pause = min(LONGEST_PAUSE, 2 ** (child.failures - 1))
                    child.again = now + pause
                    self.say(
                        f"The {name} process ended ({_how(code)}). It starts again in {pause} s."
                    )

    def ended(self, name: str) -> str | None:
        """How a child ended, if it did."""
        code = self.children[name].process.poll()
        return None if code is None else _how(code)

    def stop(self, grace: float) -> None:
        """Stop them in the reverse order of their start, so that none loses what it needs."""
        latest = time.monotonic() + grace
        for child in reversed(self.children.values()):
            if child.process.poll() is None:
                child.process.terminate()
                latest = max(latest, time.monotonic() + SHORTLY)
                while (
                    child.process.poll() is None and time.monotonic() < latest and not self.hurried
                ):
                    time.sleep(0.05)
                if child.process.poll() is None:
                    _kill([psutil.Process(child.process.pid)])
                    child.process.wait()
        self.children.clear()
        self._note()

    def _note(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        json.dump(
            {child.process.pid: child.arguments for child in self.children.values()}, self.file
        )
        self.file.flush()

    def _end_leftovers(self) -> None:
        self.file.seek(0)
        try:
            noted = json.loads(self.file.read() or "{}")
        except ValueError:  # killed in the middle of writing it
            noted = {}
        leftovers = [
            process for pid, arguments in noted.items() if (process := _same(int(pid), arguments))
        ]
        if leftovers:
            self.say("Ending what an earlier run left …")
            for process in leftovers:
                process.terminate()
            _kill(psutil.wait_procs(leftovers, SHORTLY)[1])


def _spawn(
    arguments: list[str], environment: dict[str, str], output: int | None
) -> subprocess.Popen:
    # A session of its own: Ctrl-C is for the parent alone.
    return subprocess.Popen(
        arguments,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )


def _die_with_parent() -> None:
    if LIBC:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _same(pid: int, arguments: list[str]) -> psutil.Process | None:
    """The noted process, unless its number is another's by now."""
    try:
        process = psutil.Process(pid)
        return process if process.cmdline() == arguments else None
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def _kill(processes: list[psutil.Process]) -> None:
    """Kill them with their own children, which outlive them otherwise."""
    for process in processes:
        for one in (process, *process.children(recursive=True)):
            try:
                one.kill()
            except psutil.NoSuchProcess:
                continue


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
