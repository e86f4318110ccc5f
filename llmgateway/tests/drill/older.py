"""A PostgreSQL older than the bundled one, as the system packs it: on a port of 127.0.0.1."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from llmgateway.embedded import postgres
from llmgateway.tests.serving import free_port

PACKED = sorted(Path("/usr/lib/postgresql").glob("1[56]/bin/postgres"))
PASSWORD = "a-password"


def require_older() -> None:
    """Skip where the system has none; fail in CI."""
    if not PACKED:
        missing = "no PostgreSQL 15 or 16 under /usr/lib/postgresql: apt install postgresql-15"
        assert "CI" not in os.environ, missing
        pytest.skip(missing)


@contextmanager
def older_server(folder: Path) -> Iterator[str]:
    """The URL of an empty database, which belongs to a role without further rights."""
    programs = PACKED[0].parent
    account = postgres._account()
    folder.mkdir(mode=0o700)
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
        folder.parent.chmod(0o711)
    port = free_port()

    def run(program: str, *arguments: str) -> None:
        who = {"user": account.pw_uid, "group": account.pw_gid} if account else {}
        done = subprocess.run(
            [programs / program, "-D", folder / "data", *arguments],
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **(who | {"extra_groups": []} if account else {}),
        )
        assert done.returncode == 0, done.stderr

    run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    run("pg_ctl", "start", "-w", "-l", str(folder / "log"), "-o", f"{options} -c fsync=off")
    try:
        server = {"host": "127.0.0.1", "port": port, "user": "postgres", "dbname": "postgres"}
        with psycopg.connect(**server, autocommit=True) as connection:
            assert connection.info.server_version < 170000
            connection.execute(f"CREATE ROLE gateway LOGIN PASSWORD '{PASSWORD}'")
            connection.execute("CREATE DATABASE gateway OWNER gateway")
        yield f"postgresql://gateway:{PASSWORD}@127.0.0.1:{port}/gateway"
    finally:
        run("pg_ctl", "stop", "-w", "-m", "immediate")
