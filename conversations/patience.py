"""Stops statements of pages that take too long, so that no connection is held for minutes."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection
from psycopg.pq import TransactionStatus

SECONDS = 5.0
CANCELLED = "57014"  # PostgreSQL's


class TookTooLong(Exception):
    """A statement was stopped, so there is nothing to show."""


@contextmanager
def limit_statements() -> Iterator[None]:
    """Stop each statement within that takes longer than SECONDS. Raises TookTooLong.

    Costs two commands on the wire, which are no queries.
    """
    connection.ensure_connection()
    wire = connection.connection
    with connection.wrap_database_errors:
        wire.execute(f"SET statement_timeout = {int(SECONDS * 1000)}")
    try:
        yield
    except OperationalError as problem:
        if getattr(problem.__cause__, "sqlstate", None) == CANCELLED:
            raise TookTooLong from problem
        raise
    finally:
        # A failed transaction takes the setting back by itself, a lost connection had it alone.
        if wire.info.transaction_status in (TransactionStatus.IDLE, TransactionStatus.INTRANS):
            with connection.wrap_database_errors:
                wire.execute("RESET statement_timeout")
