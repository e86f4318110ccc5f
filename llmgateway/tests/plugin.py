"""What a test run stands on, laid before Django reads its settings: pyproject.toml loads this first.

The run sees nothing of the developer's .env and VAR_DIR: it has a folder of its own, var/tests/N, N the first that no other run uses, with an
embedded PostgreSQL where DATABASE_URL is not set.
"""

import fcntl
import itertools
import os
import re
import shutil
from pathlib import Path

import pytest
from django.core.management import call_command

from llmgateway import embedded

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "var" / "tests"
SETTINGS = re.findall(r'\benv\.\w+\("(\w+)"', (ROOT / "llmgateway" / "settings.py").read_text())
CONTROLLER = "PYTEST_XDIST_WORKER" not in os.environ  # workers inherit the controller's environment

if CONTROLLER:
    TESTS.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in itertools.count():
        lock = open(TESTS / f"{number}.lock", "w")  # noqa: SIM115 (held until the run ends)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            lock.close()
    FOLDER = TESTS / str(number)
    for kept in ("attachments", "metrics"):
        shutil.rmtree(FOLDER / kept, ignore_errors=True)
    for name in {*SETTINGS} - {"DATABASE_URL"}:
        os.environ.pop(name, None)
    os.environ |= {
        "ENV_FILE": os.devnull,
        "VAR_DIR": str(FOLDER),
        "SECRET_KEY": "for tests only",
        "LLM_ENDPOINT": "http://127.0.0.1:9/v1/chat/completions",  # nothing listens there: a test that wants an upstream says so
        "LLM_API_AUTHORIZATION": "none",
    }
else:
    # Files are kept by what is in them: workers would take away each other's.
    os.environ["ATTACHMENTS_DIR"] = os.path.join(os.environ["VAR_DIR"], "attachments", os.environ["PYTEST_XDIST_WORKER"])


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    """Before xdist's workers start: what all of them share."""
    let_tests_empty_tables()
    if not CONTROLLER:
        return
    if not os.environ.get("DATABASE_URL"):
        embedded.start(FOLDER / "pg", fsync="off", full_page_writes="off")
    call_command("collectstatic", interactive=False, verbosity=0)


def let_tests_empty_tables() -> None:
    """Tests that commit leave empty tables behind: the only code that may."""
    from django.db.backends.postgresql.operations import DatabaseOperations

    flush = DatabaseOperations.sql_flush
    DatabaseOperations.sql_flush = lambda *args, **options: ["SET LOCAL gateway.may_erase = 'on'", *flush(*args, **options)]  # type: ignore[method-assign]


def pytest_unconfigure() -> None:
    if CONTROLLER:
        embedded.stop(FOLDER / "pg")
        lock.close()
