"""`make mutants`: a small fault is put into the code; does the test that must notice it fail?

    python -m benchmarks.mutants [WORD …]     only mutants whose promise, file or test has a WORD

benchmarks/mutants.toml lists them. Each is tried alone, in a copy of the working tree. The tests
must pass in the copy as it is first: one that fails anyway notices nothing.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GOAL = 95  # per cent that are noticed
PATIENCE = 300  # seconds for one test; one that hangs does not pass
PASSED, FAILED = pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED


@dataclass(frozen=True)
class Mutant:
    """One change of one file; `old` stands there once."""

    promise: str
    file: str
    old: str
    new: str
    test: str

    def text(self, folder: Path) -> str:
        """Return the file with the change. ValueError if `old` does not stand there once."""
        whole = (folder / self.file).read_text()
        if (count := whole.count(self.old)) != 1:
            raise ValueError(f"{self.file} holds the text {count} times: {self.old!r}")
        return whole.replace(self.old, self.new)


def mutants() -> list[Mutant]:
    listed = tomllib.loads((ROOT / "benchmarks" / "mutants.toml").read_text())
    return [Mutant(**entry) for entry in listed["mutant"]]


class Trial:
    """In place of the tests of a pytest run, whose database and folder all trials share."""

    def __init__(self, chosen: list[Mutant], copy: Path):
        self.chosen, self.copy = chosen, copy
        self.noticed = 0

    def pytest_runtestloop(self) -> bool:
        if self.run(*sorted({each.test for each in self.chosen})) != PASSED:
            said = (self.copy / "output").read_text()[-9000:]
            say(f"{said}\nThe tests must pass before they can notice anything.")
            return True
        for mutant in self.chosen:
            begun, verdict = time.monotonic(), self.verdict(mutant)
            self.noticed += verdict == "noticed"
            say(f"{verdict:11} {time.monotonic() - begun:5.1f} s  {mutant.promise}")
        percent = 100 * self.noticed / len(self.chosen)
        say(f"{self.noticed} of {len(self.chosen)} noticed: {percent:.1f} % (goal {GOAL} %)")
        return True

    def verdict(self, mutant: Mutant) -> str:
        file = self.copy / mutant.file
        whole = file.read_text()
        file.write_text(mutant.text(self.copy))
        code = self.run(mutant.test)
        file.write_text(whole)
        return {PASSED: "NOT NOTICED", FAILED: "noticed"}.get(code, f"ERROR {code}")

    def run(self, *tests: str) -> int:
        """Run tests in the copy, as a worker of this run would; return pytest's exit code."""
        options = ["-q", "-x", "-p", "no:cacheprovider", "-m", ""]  # drills too
        command = [sys.executable, "-m", "pytest", *options, *tests]
        environment = os.environ | {"PYTEST_XDIST_WORKER": "mutants"}
        how = {"cwd": self.copy, "env": environment, "start_new_session": True}
        with open(self.copy / "output", "w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **how)
            try:
                return process.wait(PATIENCE * len(tests))
            except subprocess.TimeoutExpired:
                return FAILED
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def copy_tree(folder: Path) -> None:
    others = shutil.ignore_patterns(".venv", "var", ".git", "__pycache__", "*_cache")
    shutil.copytree(ROOT, folder, ignore=others, dirs_exist_ok=True)
    (folder / ".venv").symlink_to(ROOT / ".venv")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(*words: str) -> int:
    texts = {each: " ".join(astuple(each)) for each in mutants()}
    chosen = [each for each, text in texts.items() if not words or any(w in text for w in words)]
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        copy_tree(Path(folder))
        trial = Trial(chosen, Path(folder))
        pytest.main(["-q", "-s", "-p", "no:cacheprovider", "benchmarks"], plugins=[trial])
    return int(not chosen or 100 * trial.noticed < GOAL * len(chosen))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
