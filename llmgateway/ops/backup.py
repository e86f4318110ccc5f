"""The whole record in a folder, and back: `database.dump`, and `attachments/` as they are stored.

The dump, in PostgreSQL's own format, is one moment's, whatever goes on meanwhile. Files are copied
after it, and back before it: they are stored before any row names them, so none that a row names is
missing. They never change: a second backup into the same folder copies what is new. Their names are
their sha256, which each copy is held against, both ways. Secrets are not in it.
"""

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import IO, cast

from django.core.files.storage import default_storage
from django.db import connection
from psycopg import pq

from conversations.models import Attachment
from conversations.record import attachments
from llmgateway.embedded import postgres

DUMP, FILES = "database.dump", "attachments"
PRE_DATA = "pre-data"
SECTIONS = (PRE_DATA, "data", "post-data")
SETTING = re.compile(rb"SET (\w+) = ")
HEAD = re.compile(rb"--|SET |SELECT pg_catalog.set_config|\\restrict |\s*$")
# Servers since the security releases of November 2026 keep this with each column; a pg_dump before
# them takes it for an option that was set, and no server lets it be set.
COLUMN_VERSION = re.compile(rb"ALTER TABLE ONLY \S+ ALTER COLUMN \S+ SET \(pg_attver=\d+\);$")
WITHOUT_TLS = ("disable", "allow", "prefer")  # values of sslmode


class BackupFailed(Exception):
    """Why there is no backup, in words fit to show."""


def write(folder: Path) -> list[str]:
    """Back everything up. The sha256 of each file that is missing, or is not what it was."""
    connection.ensure_connection()  # the embedded server runs from here on
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lost = []
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as new:
        run("pg_dump", "--format=custom", f"--file={new}/{DUMP}")
        os.replace(Path(new, DUMP), folder / DUMP)
        files = Attachment.objects.order_by("sha256").distinct("sha256")
        for digest, size in files.values_list("sha256", "size").iterator():
            name = attachments.storage_name(digest)
            copy = folder / FILES / name
            if copy.exists() and copy.stat().st_size == size:
                continue
            data = read_stored(name)
            if sha256(data).digest() != digest:
                lost.append(digest.hex())
                continue
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            Path(new, copy.name).write_bytes(data)
            os.replace(Path(new, copy.name), copy)
    return lost


def read(folder: Path) -> list[str]:
    """Restore into an empty database, whole or not at all.

    The sha256 of each file that a row names and that did not come back. Raises BackupFailed.
    """
    if not (folder / DUMP).is_file():
        raise BackupFailed(f"There is no backup in {folder}: it has no {DUMP}.")
    if connection.introspection.django_table_names(only_existing=True):
        raise BackupFailed(
            "This database holds a record already. "
            "Restore into an empty one: with another VAR_DIR or DATABASE_URL."
        )
    for copy in (folder / FILES).glob("??/*"):
        data = copy.read_bytes()
        if sha256(data).hexdigest() == copy.name:
            attachments.store([attachments.Blob(bytes.fromhex(copy.name), data, "")])
    restore_dump(folder / DUMP)
    files = Attachment.objects.order_by("sha256").distinct("sha256")
    return [
        digest.hex()
        for digest in files.values_list("sha256", flat=True).iterator()
        if not default_storage.exists(attachments.storage_name(digest))
    ]


def read_stored(name: str) -> bytes:
    try:
        with default_storage.open(name) as file:
            return file.read()
    except FileNotFoundError:
        return b""


def restore_dump(dump: Path) -> None:
    """Restore the dump in one transaction. Raises BackupFailed, and nothing has changed then.

    It goes through psql as a script, without what the server does not know: pg_restore itself sets
    parameters that are newer than it. The commit is ours: what ends early is rolled back.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_settings")
        known = {name.encode() for (name,) in cursor.fetchall()}
    connection.close()
    # Without VERBOSITY an error would quote rows.
    quietly = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse")
    with start("psql", *quietly, "--output=/dev/null", stdin=subprocess.PIPE) as server:
        assert server.stdin
        try:
            server.stdin.write(b"BEGIN;\n")
            for section in SECTIONS:
                copy_section(dump, section, known, server.stdin)
            server.stdin.write(b"COMMIT;\n")
        except BrokenPipeError:
            pass  # psql has ended, and says why
        finally:
            with suppress(BrokenPipeError):
                server.stdin.close()
        require_success(server)


def copy_section(dump: Path, section: str, known: set[bytes], script: IO[bytes]) -> None:
    """Write a section of the dump as SQL. Raises BackupFailed, and BrokenPipeError."""
    options = ("--no-owner", "--no-privileges", f"--section={section}", "--file=-")
    with start("pg_restore", *options, str(dump), stdout=subprocess.PIPE) as reader:
        assert reader.stdout
        try:
            for line in reader.stdout:
                setting = SETTING.match(line)
                foreign = (setting and setting[1] not in known) or COLUMN_VERSION.match(line)
                if not foreign:
                    script.write(line)
                if section != PRE_DATA and not HEAD.match(line):
                    shutil.copyfileobj(reader.stdout, script)  # rows: they are not read
        except BrokenPipeError:
            reader.kill()
            raise
        require_success(reader)


def run(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on our database; it says its errors itself.

    Raises BackupFailed.
    """
    with start(program, *arguments) as process:
        require_success(process)


def require_success(process: subprocess.Popen[bytes]) -> None:
    """Wait for its end. Raises BackupFailed."""
    if code := process.wait():
        [program, *_] = cast(list[str], process.args)
        raise BackupFailed(f"{program} ended with exit code {code}; what it said is above.")


def start(
    program: str, *arguments: str, stdin: int = subprocess.DEVNULL, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """Start one of PostgreSQL's programs on our database. Raises BackupFailed.

    The embedded server's wheel brings them, of version 18 and without TLS. For TLS or a newer
    server they come from the PATH.
    """
    # Where the database is goes by the environment: arguments are for every account to read.
    known = {key: str(value) for key, value in connection.get_connection_params().items()}
    variables = {
        at.envvar.decode(): known[at.keyword.decode()]
        for at in pq.Conninfo.get_defaults()
        if at.envvar and at.keyword.decode() in known
    }
    # pg_restore only reads the dump here: it speaks to no server.
    plain = program == "pg_restore" or known.get("sslmode", "prefer") in WITHOUT_TLS
    bundled = plain and connection.pg_version < 190000  # type: ignore[attr-defined]
    found = str(postgres.PROGRAMS / program) if bundled else shutil.which(program)
    if found is None:
        raise BackupFailed(
            f"There is no {program} that speaks to this server. "
            "Install PostgreSQL's client programs, of the server's version or newer."
        )
    return subprocess.Popen(
        [found, *arguments], env=os.environ | variables, stdin=stdin, stdout=stdout, umask=0o077
    )
