"""The ground of a test run, laid before Django reads its settings: pyproject.toml loads this first.

The run sees nothing of the developer's .env and VAR_DIR: it has a folder of its own, var/tests/N,
N the first that no other run uses, with an embedded PostgreSQL where DATABASE_URL is not set.
"""

import fcntl
import gc
import itertools
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.core.management import call_command
from django.core.management.commands import flush
from django.db import connection
from pytest_django.plugin import blocking_manager_key
from whitenoise.base import WhiteNoise

from llmgateway.configuration import schema
from llmgateway.embedded import postgres

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "var" / "tests"
MIGRATED = "llmgateway_migrated"  # a database
SETTINGS = [*schema.SETTINGS]
SECRET_FILES = [f"{each.name}_FILE" for each in schema.SETTINGS.values() if each.secret]
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
    for name in {*SETTINGS, *SECRET_FILES} - {"DATABASE_URL"}:
        os.environ.pop(name, None)
    # What is compiled is kept: hundreds of processes import the gateway.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    os.environ |= {
        "ENV_FILE": os.devnull,
        "VAR_DIR": str(FOLDER),
        "SECRET_KEY": "for tests only",
        # Nothing listens there: a test that wants an upstream says so.
        "LLM_ENDPOINT": "http://127.0.0.1:9/v1/chat/completions",
        "LLM_API_AUTHORIZATION": "none",
    }
else:
    # Files are kept by what is in them: workers would take away each other's.
    os.environ["ATTACHMENTS_DIR"] = os.path.join(
        os.environ["VAR_DIR"], "attachments", os.environ["PYTEST_XDIST_WORKER"]
    )


# The machine may be busy; and what passes once in CI passes there again. Elsewhere each run tries
# other examples.
hypothesis.settings.register_profile("ours", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("ours")
gc.disable()  # what is imported and collected stays


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Drop the answers that a test left unread, while it has its database: their calls end."""
    from proxy.relay.exchange import process

    if process.exchanges:
        gc.collect()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    gc.freeze()  # never looked at again: a full collection took a third of a second
    gc.set_threshold(20_000, 20, 50)  # a page makes thousands of objects that hold no cycle
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Before xdist's workers start: what all of them share."""
    let_tests_empty_tables()
    let_static_files_be_found_once()
    if CONTROLLER:
        if not os.environ.get("DATABASE_URL"):
            postgres.start(FOLDER / "pg", fsync="off", full_page_writes="off")
        with session.config.stash[blocking_manager_key].unblock():
            migrate()
        call_command("collectstatic", interactive=False, verbosity=0)
    connection.settings_dict["TEST"]["TEMPLATE"] = MIGRATED


def migrate() -> None:
    """Migrate once, into a database that those of the tests are copies of.

    What migrations wrote there is kept aside, in a schema of its own.
    """
    with connection._nodb_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(f"DROP DATABASE IF EXISTS {MIGRATED} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {MIGRATED}")
    connection.close()
    theirs, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], MIGRATED
    call_command("migrate", interactive=False, verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA kept")
        for table in connection.introspection.django_table_names(
            only_existing=True, include_views=False
        ):
            cursor.execute(f'SELECT EXISTS (SELECT FROM "{table}")')
            if cursor.fetchone() == (True,):
                cursor.execute(f'CREATE TABLE kept."{table}" AS TABLE public."{table}"')
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    connection.settings_dict["NAME"] = theirs


def let_tests_empty_tables() -> None:
    """Tests that commit leave tables behind as migrations left them: the only code that may.

    Row by row, since few tables hold any: a TRUNCATE writes new files for each table and index.
    """

    def sql_flush(ours: Any, style: Any, tables: list[str], **options: Any) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'kept'")
            kept = {name for (name,) in cursor.fetchall()}
            cursor.execute(" UNION ALL ".join(find_change(name, name in kept) for name in tables))
            changed = [name for (name,) in cursor.fetchall()]
        return [
            "SET LOCAL gateway.may_erase = 'on'",
            *(f'DELETE FROM public."{name}"' for name in changed),
            "TRUNCATE procrastinate_jobs CASCADE",  # Django does not manage them
            *(
                f'INSERT INTO public."{name}" TABLE kept."{name}"'
                for name in changed
                if name in kept
            ),
        ]

    type(connection.ops).sql_flush = sql_flush  # type: ignore[method-assign]
    # What a signal would make is kept already.
    flush.emit_post_migrate_signal = lambda *ignored: None


def find_change(table: str, is_kept: bool) -> str:
    """A query of the table's name, if it is not as migrations left it."""
    now, then = f'TABLE public."{table}"', f'TABLE kept."{table}"'
    rows = f"({now} EXCEPT {then}) UNION ALL ({then} EXCEPT {now})" if is_kept else now
    return f"SELECT '{table}' WHERE EXISTS ({rows})"


def let_static_files_be_found_once() -> None:
    """As in a process that serves: each client of a test loads the middleware anew."""
    find, found = WhiteNoise.update_files_dictionary, {}

    def find_once(ours: WhiteNoise, root: str, prefix: str) -> None:
        if (root, prefix) not in found:
            before, ours.files = ours.files, {}
            find(ours, root, prefix)
            found[root, prefix], ours.files = ours.files, before
        ours.files |= found[root, prefix]

    WhiteNoise.update_files_dictionary = find_once  # type: ignore[method-assign]


def pytest_unconfigure() -> None:
    if CONTROLLER:
        postgres.stop(FOLDER / "pg")
        lock.close()
