"""Child processes: started, restarted when they end or fall silent, and stopped together.

On Linux they get SIGTERM when their parent dies, however it dies. Their numbers are in a file, so
that the next start ends what is left of them.
"""

import ctypes
import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from llmgateway.ops import pulse

LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1
LONGEST_PAUSE = 30  # seconds between two starts of a child that keeps ending
SETTLED = 60  # seconds after which an end counts as the first again
SHORTLY = 5  # seconds that every process gets to end by itself
SLOWEST_START = 90  # seconds until a child's first beat


class Child:
    """A process that runs, or is to be started again. One that beats may not fall silent."""

    def __init__(
        self, arguments: list[str], environment: dict[str, str], output: int | None, *, beats: bool
    ) -> None:
        self.arguments, self.environment = arguments, environment
        self.output, self.beats = output, beats
        self.pulse: pulse.Listener | None = None
        self.failures = 0
        self.again: float | None = None  # when to start it again
        self.spawn()

    def spawn(self) -> None:
        self.close_pulse()
        self.again, self.started = None, time.monotonic()
        if not self.beats:
            self.process = _spawn(self.arguments, self.environment, self.output)
            return
        self.pulse = pulse.Listener()
        with self.pulse.open_for_child() as (number, variables):
            environment = self.environment | variables
            self.process = _spawn(self.arguments, environment, self.output, number)

    def close_pulse(self) -> None:
        if self.pulse:
            self.pulse.close()
            self.pulse = None

    @property
    def is_silent(self) -> bool:
        """Whether it has not beaten for so long that it must be taken for hung."""
        if self.pulse is None:
            return False
        last = self.pulse.listen()
        if last is None:
            return time.monotonic() - self.started > SLOWEST_START
        return time.monotonic() - last > pulse.SILENT


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
        # No Event: a signal that comes while the same thread waits for one would lock it for ever.
        self.stopping = False
        self.hurried = False
        self._end_leftovers()

    def ask_to_stop(self, *signal_and_frame: Any) -> None:
        """Handle a signal. Asked twice, it waits for no child."""
        self.hurried = self.stopping
        self.stopping = True

    def start(
        self,
        name: str,
        arguments: list[str],
        environment: dict[str, str],
        output: int | None = None,
        *,
        beats: bool = False,
    ) -> None:
        """Start a child. One that `beats` (see pulse) is replaced when it falls silent."""
        self.children[name] = Child(arguments, environment, output, beats=beats)
        self._note()

    def watch(self) -> None:
        """Restart what has ended, and replace what hangs, until asked to stop."""
        while not self.stopping:
            self.look()
            time.sleep(0.3)

    def look(self) -> None:
        """Restart what has ended, and replace what hangs."""
        now = time.monotonic()
        for name, child in self.children.items():
            if child.again is not None:
                if now >= child.again:
                    self._start_again(name, child)
            elif (code := child.process.poll()) is not None:
                self._put_off(name, child, f"ended ({_how(code)})")
            elif child.is_silent:
                self.say(f"The {name} process hangs: it gave no sign of life. It is ended.")
                _kill([psutil.Process(child.process.pid)])

    def _start_again(self, name: str, child: Child) -> None:
        try:
            child.spawn()
        except OSError as problem:  # no memory, or no process more: the others go on
            self._put_off(name, child, f"could not be started ({problem.strerror})")
        self._note()

    def _put_off(self, name: str, child: Child, what: str) -> None:
        now = time.monotonic()
        child.failures = 1 if now - child.started > SETTLED else child.failures + 1
        pause = min(LONGEST_PAUSE, 2 ** (child.failures - 1))
        child.again = now + pause
        self.say(f"The {name} process {what}. It starts again in {pause} s.")

    def failures(self, name: str) -> int:
        """Count how often a child ended, each time soon after its start."""
        return self.children[name].failures

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
            child.close_pulse()
        self.children.clear()
        self._note()

    def _note(self) -> None:
        running = {child.process.pid: child.arguments for child in self.children.values()}
        try:
            self.file.seek(0)
            self.file.truncate()
            json.dump(running, self.file)
            self.file.flush()
        except OSError as problem:  # a full disk: what runs goes on
            self.say(f"{self.file.name} could not be written: {problem.strerror}.")

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
    arguments: list[str], environment: dict[str, str], output: int | None, *inherited: int
) -> subprocess.Popen:
    # A session of its own: Ctrl-C is for the parent alone.
    return subprocess.Popen(
        arguments,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        start_new_session=True,
        pass_fds=inherited,
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
