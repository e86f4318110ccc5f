"""The embedded server: who can reach it, what its log holds, its start after any kind of stop."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import psutil
import psycopg
import pytest

from llmgateway.configuration import reading
from llmgateway.embedded import database, postgres
from llmgateway.tests.plugin import ROOT

HOLDER = """
import sys
from pathlib import Path
from llmgateway.embedded import postgres
folder = Path(sys.argv[1])
postgres.start(folder)
print("started", flush=True)
sys.stdin.read()
postgres.stop(folder)
"""


@contextmanager
def place():
    """A folder for a server, which is ended with it."""
    var = Path(tempfile.mkdtemp(prefix="gw-", dir="/tmp")).resolve()  # short, for the socket
    folder = var / "pg"
    yield folder
    postgres.stop(folder)
    if left := postgres.postmaster(folder):
        left.send_signal(signal.SIGQUIT)
        left.wait(60)
    shutil.rmtree(var)


@pytest.fixture
def unmade():
    """Where no server has been."""
    with place() as folder:
        yield folder


@pytest.fixture(scope="module")
def made():
    """The data of a server that was started first, and stopped."""
    with place() as folder:
        postgres.start(folder)
        postgres.stop(folder)
        yield folder


@pytest.fixture
def folder(made, unmade):
    """Where a server has been: a first start makes all of its data, which takes seconds."""
    subprocess.run(["cp", "-a", made, unmade], check=True)
    return unmade


@pytest.fixture(scope="module")
def standing():
    """A server from its first start on, below a folder that others may not enter."""
    ours = {"LLM_API_AUTHORIZATION": "Bearer canary", "PGPORT": "6000", "PGDATA": "/nowhere"}
    with place() as folder:
        folder.parent.chmod(0o700)
        with patch.dict(os.environ, ours):
            postgres.start(folder)
        yield folder


def connect(folder: Path) -> psycopg.Connection:
    return psycopg.connect(
        host=str(folder), port=5432, user="postgres", dbname="llmgateway", autocommit=True
    )


def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"started\n"
    return process


def test_only_its_own_account_reaches_data_and_socket(standing):
    status = standing.stat()
    server = postgres.postmaster(standing)
    assert stat.S_IMODE(status.st_mode) == 0o700
    assert status.st_uid == server.uids().effective != 0
    assert [path for path in standing.parent.rglob("*") if path.is_socket()] == [
        standing / ".s.PGSQL.5432"
    ]
    assert [
        connection.laddr for connection in server.net_connections("unix") if connection.laddr
    ] == [str(standing / ".s.PGSQL.5432")]


def test_it_listens_on_no_port(standing):
    server = postgres.postmaster(standing)
    assert server.net_connections("unix")
    assert server.net_connections("inet") == []
    with connect(standing) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


def test_its_environment_holds_none_of_ours(standing):
    assert "LLM_API_AUTHORIZATION" not in postgres.postmaster(standing).environ()


def test_folders_above_it_are_opened_for_passage_only(standing):
    above = stat.S_IMODE(standing.parent.stat().st_mode)
    assert above == (0o701 if os.geteuid() == 0 else 0o700)


def test_its_log_quotes_nobody(standing):
    with connect(standing) as connection:
        connection.execute("CREATE TABLE t (name text PRIMARY KEY, number int)")
        connection.execute("INSERT INTO t VALUES ('canary')")
        for statement, parameters in [
            ("INSERT INTO t VALUES ('canary')", None),
            ("SELECT 'canary'::int", None),
            ("SELECT %s::text::int", ["canary"]),
            ("canary", None),
        ]:
            with pytest.raises(psycopg.Error):
                connection.execute(statement, parameters)
    log = (standing / "postgresql.log").read_text()
    assert "ready to accept connections" in log
    assert "canary" not in log


def test_whoever_lets_go_last_stops_it(folder):
    first, second = holder(folder), holder(folder)
    server = postgres.postmaster(folder)
    first.communicate(timeout=60)
    assert postgres.postmaster(folder) == server
    second.communicate(timeout=60)
    assert postgres.postmaster(folder) is None


def test_a_killed_starter_leaves_a_server_that_is_found_and_stopped(folder):
    starter = holder(folder)
    server = postgres.postmaster(folder)
    starter.kill()
    starter.communicate()
    assert server.is_running()
    postgres.start(folder)
    assert postgres.postmaster(folder) == server
    postgres.stop(folder)
    assert postgres.postmaster(folder) is None


def test_a_killed_server_recovers(folder):
    starter = holder(folder)
    with connect(folder) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    server = postgres.postmaster(folder)
    everything = [server, *server.children(recursive=True)]
    for process in everything:
        process.kill()
    psutil.wait_procs(everything, 10)
    starter.kill()
    starter.communicate()
    assert (folder / "postmaster.pid").exists()
    postgres.start(folder)
    with connect(folder) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_stale_number_that_is_another_process_now(folder):
    postgres.start(folder)
    postgres.stop(folder)
    with subprocess.Popen(
        ["sleep", "60"], user=folder.stat().st_uid if os.geteuid() == 0 else None
    ) as stranger:
        (folder / "postmaster.pid").write_text(
            f"{stranger.pid}\n{folder}\n1700000000\n5432\n{folder}\n\n  1 1\nready\n"
        )
        assert postgres.postmaster(folder) is None
        postgres.start(folder)
        assert postgres.postmaster(folder).pid != stranger.pid
        assert stranger.poll() is None
        stranger.kill()


def test_an_interrupted_first_start_is_made_again(unmade):
    draft = unmade.with_name("pg.new")
    draft.mkdir()
    (draft / "half").write_text("made")
    postgres.start(unmade)
    with connect(unmade) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not draft.exists()


def test_many_may_start_it_at_once(unmade):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(unmade)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    assert [process.stdout.readline() for process in processes] == [b"started\n"] * 4
    assert [process.communicate(timeout=60) and process.returncode for process in processes] == [
        0
    ] * 4
    assert postgres.postmaster(unmade) is None


def test_a_path_too_long_for_a_socket_names_the_setting():
    with pytest.raises(postgres.PostgresUnavailable, match="VAR_DIR is too long"):
        postgres.start(Path("/tmp") / ("x" * 100) / "pg")


def test_the_database_by_its_address():
    entry = database.settings("postgresql://u:p%40ss@db:6432/name?sslmode=require", Path("/var/x"))
    assert entry["ENGINE"] == "django.db.backends.postgresql"
    assert (entry["USER"], entry["PASSWORD"], entry["HOST"], entry["PORT"], entry["NAME"]) == (
        "u",
        "p@ss",
        "db",
        6432,
        "name",
    )
    assert entry["OPTIONS"] == {"sslmode": "require"}
    assert not entry["DISABLE_SERVER_SIDE_CURSORS"]
    assert database.settings("", Path("/var/x"))["HOST"] == "/var/x/pg"


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("postgres://u:pa#s?s@db/x", {"PASSWORD": "pa#s?s", "HOST": "db", "PORT": "", "NAME": "x"}),
        ("postgres://u@a:1,b:2/x", {"HOST": "a,b", "PORT": "1,2", "PASSWORD": ""}),
        ("postgres://u@/x?host=/run/pg", {"HOST": "/run/pg", "NAME": "x", "OPTIONS": {}}),
        ("postgres://[::1]:6432/x", {"HOST": "::1", "PORT": 6432, "USER": ""}),
        (
            "postgres://db/x?disable_server_side_cursors=true&sslmode=require",
            {"DISABLE_SERVER_SIDE_CURSORS": True, "OPTIONS": {"sslmode": "require"}},
        ),
    ],
)
def test_an_address_is_what_libpq_understands(url, entry):
    assert reading.read({"ENV_FILE": os.devnull, "DATABASE_URL": url}).problems == []
    found = database.settings(url, Path("/var/x"))
    assert {name: found[name] for name in entry} == entry


@pytest.mark.parametrize("url", ["sqlite:///x.db", "mysql://u@h/n", "u:p@h/n"])
def test_another_engine_is_refused_without_repeating_the_address(url):
    [problem] = reading.read({"ENV_FILE": os.devnull, "DATABASE_URL": url}).problems
    assert str(problem).startswith("DATABASE_URL names no PostgreSQL.")
    assert url not in str(problem)
