import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from django.db import connection, transaction

from llmgateway.tests.plugin import MIGRATED
from llmgateway.tests.serving import Served
from proxy.tests.conftest import parameters, url_of


@pytest.fixture
def var():
    """A folder for data, short for a socket's sake. Nothing that works on it outlives the test."""
    var = Path(tempfile.mkdtemp(prefix="gw-", dir="/tmp")).resolve()
    yield var
    for process in psutil.process_iter():
        try:
            if str(var) in process.environ().get("VAR_DIR", "") or any(
                argument.startswith(f"{var}/") for argument in process.cmdline()
            ):
                process.kill()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    while Served.running:
        Served.running.pop().ended()
    shutil.rmtree(var)


@pytest.fixture
def elsewhere(var, django_db_blocker):
    """An empty database of a server that is not the gateway's own."""
    with made(django_db_blocker, var.name.replace("-", "_")) as url:
        yield url


@pytest.fixture
def migrated(var, django_db_blocker):
    """One that is migrated already: a start costs no migrations."""
    with made(django_db_blocker, var.name.replace("-", "_"), MIGRATED) as url:
        yield url


@pytest.fixture(scope="session")
def kept(django_db_setup, django_db_blocker) -> Callable[[Callable], AbstractContextManager]:
    """In its block, what a module's fixture makes is there for each test, and taken back after it.

    What a test does is taken back when the test ends. To the database, all of it is one moment.
    """

    @contextmanager
    def kept(make: Callable) -> Iterator:
        with django_db_blocker.unblock(), transaction.atomic():
            made = make()
            with connection.cursor() as cursor:  # what a commit would check, each test would
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
            yield made
            transaction.set_rollback(True)

    return kept


@contextmanager
def made(blocker, name: str, template: str = "template1") -> Iterator[str]:
    """A database for one test: its URL."""
    with blocker.unblock():
        ours, theirs = parameters("postgres"), parameters(name)
    with psycopg.connect(**ours, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        yield url_of(theirs)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
