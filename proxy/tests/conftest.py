"""A database whose rows are committed, a cast with keys, gateways and upstreams."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.db import connection

from conversations.models import Snapshot
from llmgateway.tests.plugin import MIGRATED
from proxy.demo.server import DemoServer
from proxy.models import ApiKey
from proxy.relay.exchange import process
from proxy.tests import gateway as at
from proxy.tests.gateway import Gateway, eventually
from proxy.tests.wire import Wire


def parameters(name: str) -> dict[str, str]:
    """Of the tests' PostgreSQL, as libpq takes them."""
    known = connection.get_connection_params()
    return {
        key: str(known[key]) for key in ("host", "port", "user", "password") if known.get(key)
    } | {"dbname": name}


def url_of(parameters: dict[str, str]) -> str:
    account = ":".join(
        quote(parameters[key], safe="") for key in ("user", "password") if key in parameters
    )
    return f"postgres://{account}@/{parameters['dbname']}?" + urlencode(
        {key: parameters[key] for key in ("host", "port") if key in parameters}
    )


@pytest.fixture(scope="session")
def committed(django_db_blocker, worker_id) -> Iterator[dict[str, str]]:
    """A database where the gateway's processes commit: libpq's parameters.

    Apart from the one that is rolled back. A module whose time grows with the rows of all others
    has one of its own in place of it.
    """
    with django_db_blocker.unblock(), made_database(f"test_served_{worker_id}") as made:
        yield made


@contextmanager
def made_database(name: str) -> Iterator[dict[str, str]]:
    """A new one, with the cast in it."""
    with psycopg.connect(**parameters("postgres"), autocommit=True) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE {MIGRATED}')
    theirs = move_to(NAME=name)
    cast()
    move_to(**theirs)
    yield parameters(name)
    with psycopg.connect(**parameters("postgres"), autocommit=True) as server:
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def database(committed, django_db_blocker) -> Iterator[str]:
    """Its URL.

    While a module has it, the ORM of the tests uses it too, and nothing is rolled back.
    """
    with django_db_blocker.unblock():
        theirs = move_to(NAME=committed["dbname"])
        yield url_of(committed)
        move_to(**theirs)


def move_to(**settings: object) -> dict[str, object]:
    """The tests' ORM goes to another database: the settings that bring it back."""
    theirs = {name: connection.settings_dict[name] for name in settings}
    connection.close()
    connection.close_pool()
    connection.settings_dict.update(settings)
    return theirs


def cast() -> None:
    """alice owns, bob is a stranger, the service speaks for many."""
    password = make_password(at.SECRET)
    alice, bob, service = (
        get_user_model().objects.create(username=name, password=password)
        for name in ("alice", "bob", "service")
    )
    for owner, name, secret, fields in (
        (alice, "laptop", at.ALICE, {"scopes": ApiKey.OWN_SCOPES}),
        (bob, "laptop", at.BOB, {"scopes": ApiKey.OWN_SCOPES}),
        (service, "front end", at.SHARED, {"shared": True}),
        (alice, "pictures", at.IMAGES_ONLY, {"scopes": [ApiKey.Scope.IMAGES]}),
        (alice, "nothing", at.NOTHING, {"scopes": []}),
    ):
        ApiKey.make(owner, name, secret=secret, **fields)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """No test leaves a call of this process open: others count them, and have its slot."""
    before = {*process.exchanges}  # of a test of another folder
    yield
    eventually(lambda: process.exchanges.keys() <= before)


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Short, for a socket's sake."""
    folder = Path(tempfile.mkdtemp(prefix="gw-", dir="/tmp")).resolve()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def demo_upstream() -> Iterator[DemoServer]:
    with DemoServer(pace=0) as upstream:
        yield upstream


@pytest.fixture(scope="session")
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        yield wire


@pytest.fixture
def started(folder, database) -> Iterator[Callable[..., Gateway]]:
    """Starts a gateway with these settings, for one test."""
    running: list[Gateway] = []

    def start(**environment: object) -> Gateway:
        running.append(Gateway(folder, **{"DATABASE_URL": database, **environment}))
        return running[-1]

    yield start
    for gateway in running:
        gateway.kill()
        is_discreet(gateway.log)


@pytest.fixture(scope="module")
def shared(folder, database) -> Iterator[Callable[..., Gateway]]:
    """Gives a gateway with these settings: one to all tests of a module that ask for the same."""
    running: dict[frozenset[tuple[str, object]], Gateway] = {}

    def share(**environment: object) -> Gateway:
        wanted = frozenset(environment.items())
        if wanted not in running:
            running[wanted] = Gateway(folder, **{"DATABASE_URL": database, **environment})
        return running[wanted]

    yield share
    for gateway in running.values():
        gateway.kill()
        is_discreet(gateway.log)


def is_discreet(log: Path) -> None:
    """Nothing that people or models say, no key and no credential."""
    text = log.read_text()
    assert at.CANARY not in text, log
    assert at.SECRET not in text, log


@pytest.fixture(scope="session")
def _gateway(committed, folder, demo_upstream) -> Iterator[Gateway]:
    gateway = Gateway(
        folder,
        DATABASE_URL=url_of(committed),
        LLM_ENDPOINT=f"{demo_upstream.url}{at.CHAT}",
        LLM_TIMEOUT=10,  # longer than the demo upstream takes for a picture on a busy machine
        LLM_STREAM_TIMEOUT=10,
    )
    yield gateway
    gateway.stop()
    is_discreet(gateway.log)


@pytest.fixture(scope="session")
def _wired(committed, folder, wire) -> Iterator[Gateway]:
    gateway = Gateway(folder, DATABASE_URL=url_of(committed), LLM_ENDPOINT=f"{wire.url}{at.CHAT}")
    yield gateway
    gateway.stop()
    is_discreet(gateway.log)


@pytest.fixture
def gateway(database, _gateway) -> Gateway:
    """In front of the demo upstream."""
    return _gateway


@pytest.fixture
def wired(database, _wired) -> Gateway:
    """In front of an upstream that does what the test says."""
    return _wired


@pytest.fixture
def recorded(database) -> Callable[..., list[Snapshot]]:
    """The snapshots that came since the test began, once they are closed: exactly so many."""
    before = set(Snapshot.objects.values_list("id", flat=True))

    def recorded(count: int = 1, within: float = 60.0) -> list[Snapshot]:
        def closed() -> list[Snapshot] | bool:
            found = [
                snapshot
                for snapshot in Snapshot.objects.order_by("opened")
                if snapshot.id not in before
            ]
            return (
                len(found) >= count
                and all(snapshot.status != "pending" for snapshot in found)
                and (found or True)
            )

        found = eventually(closed, within) if count else Snapshot.objects.exclude(id__in=before)
        assert len(found) == count
        return list(found)

    return recorded


@pytest.fixture(scope="module")
def server():
    with DemoServer(pace=0) as server:
        yield server


@pytest.fixture(scope="module")
def upstream(server):
    return server


@pytest.fixture
def sent(settings, server):
    """What reached the upstream, in order."""
    settings.LLM_ENDPOINT = f"{server.url}/v1/chat/completions"
    server.seen.clear()
    return lambda: [
        seen["body"] for seen in server.seen if seen["path"].endswith("/chat/completions")
    ]
