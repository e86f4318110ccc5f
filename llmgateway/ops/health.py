"""/healthz: this process is alive. /readyz: so is what it stands on.

503 names the first thing that is not, and nothing else. However often they are asked, the database
is asked once in two seconds, by one thread of a process. Others hear its last answer meanwhile, or
wait for the next one where that is too old.
"""

import threading
import time

from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse

from conversations import database
from conversations.record import processes

FRESH = 2.0  # seconds that an answer stands
LATE = 10.0  # seconds after which an answer is too old, and a database that gave none is away

_said = threading.Condition()
_answer, _at = "database", float("-inf")
_asked: float | None = None  # since when a thread asks the database
_migrated = False


def alive(request: HttpRequest) -> HttpResponse:
    return plain("alive")


def ready(request: HttpRequest) -> HttpResponse:
    failed = missing()
    return plain(f"not ready: {failed}", 503) if failed else plain("ready")


def plain(text: str, status: int = 200) -> HttpResponse:
    return HttpResponse(
        text + "\n", status=status, content_type="text/plain", headers={"Cache-Control": "no-store"}
    )


def missing() -> str:
    """The first of database, migrations and worker that is not there; empty where all are."""
    global _answer, _at, _asked
    with _said:
        now = time.monotonic()
        if now - _at <= FRESH:
            return _answer
        if _asked is not None:
            _said.wait_for(_is_answered, _asked + LATE - now)
            return _answer if _is_answered() else "database"
        _asked = now
    answer = "database"
    try:
        answer = examine()
    finally:
        with _said:
            _answer, _at = answer, time.monotonic()
            _asked = None
            _said.notify_all()
    return answer


def _is_answered() -> bool:
    """Whether the last answer may still be given."""
    return time.monotonic() - _at < LATE


def examine() -> str:
    """Ask the database anew; what is missing, as `missing` says it."""
    try:
        connection.ensure_connection()
        if not is_migrated():
            return "migrations"
        silent = processes.measure_silence()
        return "worker" if silent is None or silent > processes.SILENT else ""
    except Error:
        return "database"
    finally:
        database.release()


def is_migrated() -> bool:
    """Whether all of this version's migrations are applied. Once they are, they stay so."""
    global _migrated
    if not _migrated:
        loader = MigrationLoader(connection)
        _migrated = set(loader.disk_migrations or ()) <= set(loader.applied_migrations or ())
    return _migrated
