"""The whole record in a folder, and back: `database.dump`, and `attachments/` as they are stored.

The dump, in PostgreSQL's own format, is one moment's, whatever goes on meanwhile. Files are copied
after it, and back before it: they are stored before any row names them, so none that a row names is
missing. They never change: a second backup into the same folder copies what is new. Their names are
their sha256, which each copy is held against, both ways. Secrets are not in it.
"""

import os
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

from django.core.files.storage import default_storage
from django.db import connection
from psycopg import pq

from conversations.models import Attachment
from conversations.record import attachments
from llmgateway.embedded import postgres

DUMP, FILES = "database.dump", "attachments"


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
    run(
        "pg_restore",
        "--single-transaction",
        "--no-owner",
        "--no-privileges",
        f"--dbname={connection.settings_dict['NAME']}",
        str(folder / DUMP),
    )
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


def run(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on our database; it says its errors itself.

    The embedded server's wheel brings them, of version 18 and without TLS. For TLS or a newer
    server they come from the PATH. Raises BackupFailed.
    """
    # Where the database is goes by the environment: arguments are for every account to read.
    known = {key: str(value) for key, value in connection.get_connection_params().items()}
    variables = {
        at.envvar.decode(): known[at.keyword.decode()]
        for at in pq.Conninfo.get_defaults()
        if at.envvar and at.keyword.decode() in known
    }
    bundled = (
        known.get("sslmode", "prefer") in ("disable", "allow", "prefer")
        and connection.pg_version < 190000  # type: ignore[attr-defined]
    )
    found = str(postgres.PROGRAMS / program) if bundled else shutil.which(program)
    if found is None:
        raise BackupFailed(
            f"There is no {program} that speaks to this server. "
            "Install PostgreSQL's client programs, of the server's version or newer."
        )
    try:
        subprocess.run(
            [found, *arguments],
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            umask=0o077,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise BackupFailed(
            f"{found} ended with exit code {error.returncode}; what it said is above."
        ) from None
