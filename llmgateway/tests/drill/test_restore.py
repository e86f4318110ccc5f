"""Backup and restore between the embedded PostgreSQL 18 and an older one, there and back."""

import subprocess

import psycopg
import pytest

from llmgateway.tests.drill.older import older_server, require_older
from llmgateway.tests.serving import Served

pytestmark = pytest.mark.drill


def digests(*database: str, **parameters: str) -> dict[str, str]:
    """Of every table: what all of its rows are, in one sum."""
    with psycopg.connect(*database, autocommit=True, **parameters) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        tables = connection.execute(
            "SELECT schemaname || '.' || quote_ident(tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        rows = "SELECT md5(coalesce(string_agg(t::text, ';' ORDER BY t::text), '')) FROM"
        return {table: connection.execute(f"{rows} {table} t").fetchone()[0] for (table,) in tables}


def done(process: subprocess.CompletedProcess) -> str:
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.fixture
def embedded(var) -> Served:
    """One with a record, all of it sealed."""
    gateway = Served(var / "first", DEMO="1")
    done(gateway.manage("migrate", "-v0"))
    done(gateway.manage("load_demo", "-v0"))
    assert gateway.manage("worker", "--once").returncode == 0
    return gateway


@pytest.fixture
def older(var):
    require_older()
    with older_server(var / "older") as url:
        yield Served(var / "second", DEMO="1", DATABASE_URL=url)


def read_embedded(gateway: Served) -> dict[str, str]:
    """All of a gateway's own database; its server runs while a command does."""
    script = (
        "from pathlib import Path; from django.db import connection; "
        "from llmgateway.tests.drill.test_restore import digests; "
        "connection.ensure_connection(); "
        f"print(digests(host={str(gateway.var / 'pg')!r}, user='postgres', dbname='llmgateway'))"
    )
    return eval(done(gateway.manage("shell", "-v0", "-c", script)))


def test_there_and_back(var, embedded, older):
    there, back = var / "there", var / "back"
    done(embedded.manage("backup", str(there)))
    before = read_embedded(embedded)
    assert "conversations_snapshot" in " ".join(before)

    url = older.environment["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as database:  # in the way of the dump's end
        database.execute("CREATE SCHEMA llm_logs")
        refused = older.manage("restore", str(there))
        assert refused.returncode == 1
        assert "psql ended with exit code 3" in refused.stderr
        assert digests(url) == {}  # nothing is half restored
        database.execute("DROP SCHEMA llm_logs")

    done(older.manage("restore", str(there)))
    assert digests(url) == before
    # It is not only there, it works: the account, its event, and the seal go on.
    made = {
        "DJANGO_SUPERUSER_PASSWORD": "a real password",
        "DEMO": "0",
        "LLM_ENDPOINT": "http://127.0.0.1:9/v1/chat/completions",
        "LLM_API_AUTHORIZATION": "none",
    }
    arguments = ("--noinput", "--username=root", "--email=root@example.com")
    done(older.manage("createsuperuser", *arguments, **made))
    assert older.manage("worker", "--once").returncode == 0
    assert older.manage("verify").returncode == 0
    after = digests(url)
    assert after != before

    done(older.manage("backup", str(back)))
    again = Served(var / "third", DEMO="1")
    done(again.manage("restore", str(back)))
    assert read_embedded(again) == after
