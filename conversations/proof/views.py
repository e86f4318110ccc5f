"""The views and functions of llm_logs, which auditors read by SQL, held against their migrations.

How PostgreSQL spells a view out differs between its versions. So they are made once more, in a
schema of another name and in a transaction that is taken back, and both spellings are compared.
"""

from collections.abc import Iterator
from functools import cache

from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunSQL

SCHEMA, AGAIN = "llm_logs", "llm_logs_made_again"
MAY_MAKE = "SELECT has_database_privilege(current_database(), 'CREATE')"
DEFINED = """
    SELECT 'function ' || proname || '(' || pg_get_function_identity_arguments(oid) || ')',
        pg_get_functiondef(oid)
    FROM pg_proc WHERE pronamespace = to_regnamespace(%(schema)s) AND prokind = 'f'
    UNION ALL
    SELECT 'view ' || relname, CASE relkind WHEN 'v' THEN pg_get_viewdef(oid) ELSE relkind::text END
    FROM pg_class
    WHERE relnamespace = to_regnamespace(%(schema)s) AND relkind IN ('v', 'm', 'r', 'p', 'f')"""


class NotChecked(Exception):
    """A check that could not be made here; the text says why."""


def check_views() -> Iterator[str]:
    """Yield each that is missing, changed or put in. Raises NotChecked."""
    found = _read_definitions(SCHEMA)
    made = _make_again()
    for name in sorted(made.keys() | found.keys()):
        if name not in found:
            yield f"The {name} of {SCHEMA} is gone."
        elif name not in made:
            yield f"The {name} of {SCHEMA} is not one of this version's: it was put in."
        elif found[name] != made[name]:
            yield f"The {name} of {SCHEMA} was changed."


def _make_again() -> dict[str, str]:
    """Return what migrations make, as this server spells it out."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(MAY_MAKE)
        if not cursor.fetchone()[0]:
            raise NotChecked(
                f"The views of {SCHEMA} were not compared: the gateway's role may not make a "
                "schema in this database."
            )
        for statement in _list_statements():
            cursor.execute(statement.replace(SCHEMA, AGAIN))
        made = _read_definitions(AGAIN)
        transaction.set_rollback(True)
    return {name: text.replace(AGAIN, SCHEMA) for name, text in made.items()}


@cache
def _list_statements() -> list[str]:
    """List the SQL of all migrations that make or change them, in order."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    [last] = loader.graph.leaf_nodes("conversations")
    return [
        str(operation.sql)
        for key in loader.graph.forwards_plan(last)
        for operation in loader.disk_migrations[key].operations
        if isinstance(operation, RunSQL) and f"{SCHEMA}." in str(operation.sql)
    ]


def _read_definitions(schema: str) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(DEFINED, {"schema": schema})
        return dict(cursor.fetchall())
