"""Lists that take too long are stopped.

The reader is told how to ask for less, and no connection is held for minutes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib import admin
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from psycopg.pq import TransactionStatus

from ..search.days import DaysFilter

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


def show_stopped(
    request: HttpRequest, title: str, form: DaysFilter | None = None, list_url: str = ""
) -> HttpResponse:
    """Show the filter to be narrowed in place of the rows; the caller has recorded the attempt.

    503: a program must not take it for an empty list, nor is it the reader's mistake, since the
    same filter may do at another hour. No Retry-After, since asking again at once does not help.
    """
    context = {
        **admin.site.each_context(request),
        "title": title,
        "filter": form,
        "list_url": list_url,
        "seconds": f"{SECONDS:g}",
    }
    return TemplateResponse(request, "admin/conversations/too_long.html", context, status=503)
