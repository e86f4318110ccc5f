"""Backup and restore, for real, on another machine.

It reads the old conversations, goes on with them, and seals on without a gap.
"""

import base64
import os
import re
import shutil
from pathlib import Path

import psycopg
import pytest
import requests

from conversations.tests.calls import person, turn, user
from llmgateway.ops import backup
from llmgateway.tests.serving import Served
from proxy.tests.gateway import eventually

PICTURE = b"\x89PNG\r\n\x1a\n" + os.urandom(3000)
SEEN = {
    "type": "image_url",
    "image_url": {"url": "data:image/png;base64," + base64.b64encode(PICTURE).decode()},
}


def session(gateway: Served, name: str) -> requests.Session:
    """The browser of somebody who has signed in."""
    browser = requests.Session()
    browser.trust_env = False
    address = f"http://127.0.0.1:{gateway.port}/sign-in/"
    token = re.search(
        r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get(address, timeout=60).text
    )[1]
    assert browser.post(
        address,
        {"username": name, "password": "demo", "csrfmiddlewaretoken": token, "next": "/"},
        timeout=60,
    ).ok
    return browser


def say(gateway: Served, *contents, **headers) -> requests.Response:
    body = {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": ("user", "assistant")[place % 2], "content": content}
            for place, content in enumerate(contents)
        ],
    }
    headers = {"Authorization": "Bearer gw-demo-alice"} | headers
    reply = requests.post(
        f"http://127.0.0.1:{gateway.port}/v1/chat/completions",
        json=body,
        headers=headers,
        timeout=60,
    )
    assert reply.status_code == 200, reply.text
    return reply


def sealed(*database: str, **parameters: str) -> None:
    """Returns once the worker has nothing left to do."""
    with psycopg.connect(*database, autocommit=True, **parameters) as connection:
        eventually(
            lambda: (
                connection.execute("SELECT count(*) FROM conversations_unsealed").fetchone() == (0,)
            ),
            20,
        )


def history(gateway: Served) -> list[dict]:
    """All of alice's calls, with all that was sent."""
    reply = requests.get(
        f"http://127.0.0.1:{gateway.port}/api/history?limit=1000",
        headers={"Authorization": "Bearer gw-demo-alice"},
        timeout=60,
    )
    return reply.json()["Historical_list"]


@pytest.mark.drill
def test_from_the_embedded_server_to_one_elsewhere_and_on(var, elsewhere):
    folder, lost = var / "backup", var / "lost"
    first = Served(var / "first", DEMO="1").start().up()
    asked = [{"type": "text", "text": "!echo What is in the picture?"}, SEEN]
    reply = say(first, asked)
    root, answer = (
        reply.headers["x-conversation-id"],
        reply.json()["choices"][0]["message"]["content"],
    )
    sealed(host=str(var / "first" / "pg"), user="postgres", dbname="llmgateway")
    [worker] = [process for process in first.left() if "worker" in process.cmdline()]
    worker.suspend()  # its backlog is in the backup too
    say(first, "!echo Not sealed yet")
    before = history(first)

    done = first.manage("backup", str(folder))
    assert (done.returncode, done.stdout) == (0, f"Everything is in {folder}.\n"), done.stderr
    assert folder.stat().st_mode & 0o77 == (folder / "database.dump").stat().st_mode & 0o77 == 0
    names = {path.name for path in folder.glob("attachments/*/*")}
    assert len(names) == 3
    assert sorted(path.name for path in folder.iterdir()) == ["attachments", "database.dump"]

    # A later one into the same folder replaces the dump and keeps the files.
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("attachments/*/*")}
    say(first, "!echo Of the second backup")
    assert first.manage("backup", str(folder)).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("attachments/*/*")} == kept

    say(first, "!echo Of no backup")
    worker.resume()
    refused = first.manage("restore", str(folder))
    assert refused.returncode == 1
    assert refused.stderr.startswith("CommandError: This database holds a record already.")
    assert len(history(first)) == len(before) + 2

    # A file that the storage lost is said, and all else is saved.
    stored = next((var / "first" / "attachments").glob("*/*"))
    stored.unlink()
    done = first.manage("backup", str(lost))
    assert done.returncode == 1
    assert (
        "CommandError: 1 attachments are missing from the storage, or damaged. "
        f"All else is in {lost}.\n{stored.name}\n" in done.stderr
    )
    assert {path.name for path in lost.glob("attachments/*/*")} == names - {stored.name}
    first.process.terminate()
    assert first.ended() == 0
    shutil.rmtree(var / "first")

    second = Served(var / "second", DEMO="1", DATABASE_URL=elsewhere)
    done = second.manage("restore", str(folder))
    assert done.returncode == 0, done.stderr
    assert re.match(
        r"Restored \d+ conversations and \d+ calls, \d+ of them sealed\. "
        r"Start the gateway: manage\.py serve\n",
        done.stdout,
    )
    second.start().up()
    assert history(second)[1:] == before
    assert history(second)[0]["request"]["messages"][0]["content"] == "!echo Of the second backup"
    browser = session(second, "alice")
    page = browser.get(f"http://127.0.0.1:{second.port}/c/{root}/", timeout=60)
    assert "What is in the picture?" in page.text
    [picture] = set(re.findall(rf"/c/{root}/a/\d+", page.text))
    assert browser.get(f"http://127.0.0.1:{second.port}{picture}", timeout=60).content == PICTURE
    assert (
        say(second, asked, answer, "!echo And in its corner?").headers["x-conversation-id"] == root
    )
    sealed(elsewhere)
    assert second.manage("verify").stdout.startswith("The record is whole: ")
    with psycopg.connect(elsewhere) as database:
        database.execute("SET gateway.may_erase = 'on'")
        database.execute("DELETE FROM conversations_attachment")
    attacked = second.manage("verify")
    assert attacked.returncode == 1
    assert "CommandError: The row of the file with sha256 " in attacked.stderr
    second.process.terminate()
    assert second.ended() == 0
    assert not (var / "second" / "pg").exists()


@pytest.mark.django_db(transaction=True)
def test_what_is_no_backup_or_a_damaged_one(var, elsewhere):
    target = Served(var / "target", DATABASE_URL=elsewhere)
    assert (
        target.manage("restore", str(var)).stderr
        == f"CommandError: There is no backup in {var}: it has no database.dump.\n"
    )

    turn(person(), [user(["text", SEEN])], "A cat.")
    folder = var / "backup"
    assert backup.write(folder) == []
    [copy] = folder.glob("attachments/*/*")
    copy.write_bytes(b"something else")
    dump = folder / "database.dump"
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-20_000])
    done = target.manage("restore", str(folder))
    assert done.returncode == 1
    assert "pg_restore ended with exit code 1" in done.stderr
    assert "Traceback" not in done.stderr

    dump.write_bytes(whole)  # nothing came of the other: the database is still empty
    done = target.manage("restore", str(folder))
    assert done.returncode == 1
    said = (
        "Restored 1 conversations and 1 calls, 0 of them sealed. "
        "1 attachments are not in the backup, or damaged there."
    )
    assert f"CommandError: {said}\n{copy.name}\n" in done.stderr


def test_tls_takes_programs_that_can(var, tmp_path):
    """The bundled ones cannot; a server's address is in no argument."""
    url = "postgresql://gateway:a-password@127.0.0.1:9/log?sslmode=require"
    gateway = Served(var, DATABASE_URL=url, PATH=str(tmp_path))
    script = (
        "from llmgateway.ops import backup; from django.db import connection; "
        "type(connection).pg_version = 180000; backup.run('pg_dump', '--format=custom')"
    )
    done = gateway.manage("shell", "-v0", "-c", script)
    assert "There is no pg_dump that speaks to this server." in done.stderr
    program = tmp_path / "pg_dump"
    program.write_text(
        "#!/bin/sh\necho $PGHOST $PGPORT $PGUSER $PGPASSWORD $PGDATABASE $PGSSLMODE $*\n"
    )
    program.chmod(0o755)
    assert (
        gateway.manage("shell", "-v0", "-c", script).stdout
        == "127.0.0.1 9 gateway a-password log require --format=custom\n"
    )
    assert not Path(var, "pg").exists()
