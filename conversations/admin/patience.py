"""A list that takes too long is stopped: its reader is told how to ask for less, and it holds no connection for minutes."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib import admin
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from psycopg.pq import TransactionStatus

SECONDS = 5.0
CANCELLED = "57014"  # PostgreSQL's


class TookTooLong(Exception):
    """Nothing was found out, so there is nothing to show."""


@contextmanager
def patience() -> Iterator[None]:
    """No statement within takes longer. Two commands on the wire, which are no queries. Raises TookTooLong."""
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
        # A transaction that failed takes it back by itself, a connection that is gone had it alone.
        if wire.info.transaction_status in (TransactionStatus.IDLE, TransactionStatus.INTRANS):
            with connection.wrap_database_errors:
                wire.execute("RESET statement_timeout")


def stopped(request: HttpRequest, title: str, filter=None, list_url: str = "") -> HttpResponse:
    """The page instead, with the filter of a list to be narrowed and no row; its attempt is on the trail already. 503: nothing was found out, which must not
    pass for an empty list with a program that asks, nor for the reader's mistake, since it may do at another hour. Without Retry-After, since the
    same again helps nobody."""
    context = {
        **admin.site.each_context(request),
        "title": title,
        "filter": filter,
        "list_url": list_url,
        "seconds": f"{SECONDS:g}",
    }
    return TemplateResponse(request, "admin/conversations/too_long.html", context, status=503)
