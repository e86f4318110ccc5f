"""Children are restarted, stopped together, and never outlive their parent for long."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from llmgateway.ops import processes as supervisor
from llmgateway.ops import pulse
from llmgateway.ops.processes import Processes
from llmgateway.tests.plugin import ROOT

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('deaf', flush=True); time.sleep(60)",
]


@pytest.fixture
def said():
    return []


@pytest.fixture
def processes(tmp_path, said):
    processes = Processes(tmp_path / "serve.json", said.append)
    yield processes
    processes.hurried = True
    processes.stop(0)
    processes.file.close()


def until(condition, seconds=60):
    latest = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < latest
        time.sleep(0.02)
    return value


def test_a_child_that_ends_is_started_again(processes, said):
    processes.start("web", SLEEP, dict(os.environ))
    first = processes.children["web"].process
    watching = threading.Thread(target=processes.watch, daemon=True)
    watching.start()
    first.kill()
    second = until(
        lambda: processes.children["web"].process is not first and processes.children["web"].process
    )
    assert said == ["The web process ended (SIGKILL). It starts again in 1 s."]
    assert second.poll() is None
    until(
        lambda: list(json.loads(Path(processes.file.name).read_text() or "{}")) == [str(second.pid)]
    )
    processes.ask_to_stop()
    watching.join(60)
    assert not watching.is_alive()


def test_the_pauses_grow(processes, said):
    processes.start("worker", [sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ))
    watching = threading.Thread(target=processes.watch, daemon=True)
    watching.start()
    until(lambda: len(said) == 3)
    processes.ask_to_stop()
    watching.join(60)
    assert said == [
        f"The worker process ended (exit code 3). It starts again in {pause} s."
        for pause in (1, 2, 4)
    ]


def test_a_child_that_cannot_be_started_ends_no_other(processes, said, monkeypatch):
    """No memory, or no process more, for a moment."""
    spawn, refusals = supervisor._spawn, [errno.EAGAIN, errno.ENOMEM]
    for name in ("web", "worker"):
        processes.start(name, SLEEP, dict(os.environ), beats=name == "worker")
    web, worker = (processes.children[name].process for name in ("web", "worker"))

    def refuse(*arguments):
        if refusals:
            raise OSError(refusals.pop(0), "not now")
        return spawn(*arguments)

    monkeypatch.setattr(supervisor, "_spawn", refuse)
    worker.kill()
    until(lambda: processes.look() or processes.children["worker"].process is not worker)
    assert said == [
        "The worker process ended (SIGKILL). It starts again in 1 s.",
        "The worker process could not be started (not now). It starts again in 2 s.",
        "The worker process could not be started (not now). It starts again in 4 s.",
    ]
    assert web.poll() is None


def test_a_full_disk_ends_no_child(processes, said, monkeypatch):
    processes.start("web", SLEEP, dict(os.environ))
    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with monkeypatch.context() as patch:
        patch.setattr(supervisor.json, "dump", full)
        processes.start("worker", SLEEP, dict(os.environ))
    assert said == [f"{processes.file.name} could not be written: No space left on device."]
    assert all(child.process.poll() is None for child in processes.children.values())


LIVES = "import time; from llmgateway.ops.pulse import Pulse; pulse = Pulse('part'); "
HANGS = {
    "stopped": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "loop": "\nwhile True: pass",
    "a part": "\nfor _ in range(600): pulse.beat(); time.sleep(0.1)",
    "before its first beat": None,
}


@pytest.mark.parametrize("how", HANGS)
def test_a_child_that_hangs_is_replaced(how, processes, said, monkeypatch):
    monkeypatch.setattr(pulse, "SILENT", 2)
    if HANGS[how] is None:
        monkeypatch.setattr(supervisor, "SLOWEST_START", 2)
    stalls = "import llmgateway.ops.pulse as p; p.STALLED = 1; "
    script = stalls + LIVES + HANGS[how] if HANGS[how] else "while True: pass"
    processes.start("worker", [sys.executable, "-c", script], environment(), beats=True)
    first = processes.children["worker"].process
    watching = threading.Thread(target=processes.watch, daemon=True)
    watching.start()
    until(lambda: processes.children["worker"].process is not first)
    processes.ask_to_stop()
    watching.join(60)
    assert first.returncode == -9
    assert said[:2] == [
        "The worker process hangs: it gave no sign of life. It is ended.",
        "The worker process ended (SIGKILL). It starts again in 1 s.",
    ]


def test_a_child_whose_parts_turn_is_left_alone(processes, said, monkeypatch):
    monkeypatch.setattr(pulse, "SILENT", 2)
    turns = "\nwhile True: pulse.turn('part'); pulse.beat(); time.sleep(0.2)"
    processes.start("worker", [sys.executable, "-c", LIVES + turns], environment(), beats=True)
    beats = processes.children["worker"].pulse
    first = until(beats.listen)
    until(lambda: processes.look() or beats.listen() > first + 6)
    assert said == []


def test_one_without_a_supervisor_ends_itself_and_says_where_it_hung():
    script = "import llmgateway.ops.pulse as p; p.SILENT = 6; " + LIVES + "time.sleep(60)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert 'File "<string>", line 1 in <module>' in done.stderr


def environment():
    return os.environ | {"PYTHONPATH": str(ROOT)}


def test_stopping_is_gentle_then_firm(processes):
    processes.start("first", SLEEP, dict(os.environ))
    processes.start("second", STUBBORN, dict(os.environ), subprocess.PIPE)
    gentle, firm = (processes.children[name].process for name in ("first", "second"))
    assert firm.stdout.readline() == b"deaf\n"
    began = time.monotonic()
    processes.stop(0)
    assert (gentle.returncode, firm.returncode) == (-15, -9)
    assert time.monotonic() - began > 4
    firm.stdout.close()


def test_asked_twice_it_waits_for_nobody(processes):
    processes.start("only", STUBBORN, dict(os.environ), subprocess.PIPE)
    child = processes.children["only"].process
    assert child.stdout.readline() == b"deaf\n"
    processes.ask_to_stop()
    processes.ask_to_stop()
    began = time.monotonic()
    processes.stop(30)
    assert child.returncode == -9
    assert time.monotonic() - began < 20
    child.stdout.close()


def test_a_second_one_is_refused(processes, said):
    with pytest.raises(BlockingIOError):
        Processes(Path(processes.file.name), said.append)


def test_leftovers_are_ended_and_strangers_are_not(tmp_path, said):
    with subprocess.Popen(SLEEP) as leftover, subprocess.Popen(["sleep", "60"]) as stranger:
        file = tmp_path / "serve.json"
        file.write_text(json.dumps({leftover.pid: SLEEP, stranger.pid: SLEEP, 4_000_000: SLEEP}))
        until(
            lambda: (
                psutil.Process(leftover.pid).cmdline() == SLEEP
                and psutil.Process(stranger.pid).cmdline() == ["sleep", "60"]
            )
        )
        Processes(file, said.append).file.close()
        try:
            assert leftover.poll() is not None
            assert stranger.poll() is None
        finally:
            leftover.kill()
            stranger.kill()
    assert said == ["Ending what an earlier run left …"]


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)
def test_a_killed_parent_takes_its_children_along(tmp_path):
    script = f"""
import os, signal
from pathlib import Path
from llmgateway.ops import processes as supervisor
from llmgateway.ops import pulse
from llmgateway.ops.processes import Processes
processes = Processes(Path({str(tmp_path / "serve.json")!r}), print)
processes.start("web", {SLEEP!r}, dict(os.environ))
print(processes.children["web"].process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == -9

    def gone() -> bool:
        try:
            return psutil.Process(int(done.stdout)).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    until(gone)
