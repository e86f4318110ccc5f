"""Plain SQL on the path of a call, and when its connection goes back to the pool."""

from typing import Any

import psycopg
from django.db import connection

LARGE = 4 << 20  # bytes of a statement's values


def execute(sql: str, values: dict[str, Any]) -> psycopg.Cursor[tuple[Any, ...]]:
    """Run a statement that the server binds and prepares: half the CPU of a Django cursor.

    It runs on Django's connection where this thread holds one. Otherwise a connection is borrowed
    for this statement alone, without what Django does each time that it opens one; where the
    statement is large, another takes its place then, as libpq never shrinks its buffer.
    """
    pool = connection.pool  # type: ignore[attr-defined]
    if connection.connection is not None or pool is None or pool.closed:
        connection.ensure_connection()
        with connection.wrap_database_errors:
            return psycopg.Cursor(connection.connection).execute(sql, values, prepare=True)
    with connection.wrap_database_errors:
        borrowed = pool.getconn()
        try:
            return psycopg.Cursor(borrowed).execute(sql, values, prepare=True)
        finally:
            if is_large(values):
                borrowed.close()
            pool.putconn(borrowed)


def is_large(values: dict[str, Any]) -> bool:
    return sum(len(value) for value in values.values() if isinstance(value, str | bytes)) > LARGE


def release() -> None:
    """Give the connection back to the pool: none is held while an upstream thinks."""
    if not connection.in_atomic_block:
        connection.close()


def renew() -> None:
    """After a lost connection: give up this thread's, and replace those of the pool that are dead.

    A server that ended one session has often ended all. It costs a round trip each.
    """
    release()
    if pool := connection.pool:  # type: ignore[attr-defined]
        pool.check()
