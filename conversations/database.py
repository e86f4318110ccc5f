"""Plain SQL on the path of a call, and when its connection goes back to the pool."""

from typing import Any

import psycopg
from django.db import OperationalError, connection
from psycopg.pq import TransactionStatus

LARGE = 4 << 20  # bytes of a statement's values


class RowsBusy(OperationalError):
    """Rows that a write needs are locked, or change too slowly, while the database is well."""


def execute(
    sql: str, values: dict[str, Any], *, lock_patience: int = 0
) -> psycopg.Cursor[tuple[Any, ...]]:
    """Run a statement that the server binds and prepares: half the CPU of a Django cursor.

    `lock_patience`: seconds that it waits for each lock at most (0: as long as that takes). Raises
    RowsBusy then.

    It runs on Django's connection where this thread holds one. Otherwise a connection is borrowed
    for this statement alone, without what Django does each time that it opens one; where the
    statement is large, another takes its place then, as libpq never shrinks its buffer.
    """
    pool = connection.pool  # type: ignore[attr-defined]
    if connection.connection is not None or pool is None or pool.closed:
        connection.ensure_connection()
        with connection.wrap_database_errors:
            return _run(connection.connection, sql, values, lock_patience)
    with connection.wrap_database_errors:
        borrowed = pool.getconn()
        try:
            return _run(borrowed, sql, values, lock_patience)
        finally:
            if is_large(values):
                borrowed.close()
            pool.putconn(borrowed)


def _run(
    wire: psycopg.Connection[Any], sql: str, values: dict[str, Any], lock_patience: int
) -> psycopg.Cursor[tuple[Any, ...]]:
    if not lock_patience:
        return psycopg.Cursor(wire).execute(sql, values, prepare=True)
    wire.execute(f"SET lock_timeout = {1000 * lock_patience}")
    try:
        return psycopg.Cursor(wire).execute(sql, values, prepare=True)
    except psycopg.errors.LockNotAvailable as problem:
        raise RowsBusy from problem
    finally:
        # A failed transaction takes the setting back by itself, a lost connection had it alone.
        if wire.info.transaction_status in (TransactionStatus.IDLE, TransactionStatus.INTRANS):
            wire.execute("RESET lock_timeout")


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


def refuse_if_away() -> None:
    """Raise Error where the database is away: what failed then is no row's fault."""
    renew()
    execute("SELECT 1", {})
