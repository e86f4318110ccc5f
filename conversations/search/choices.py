"""The values that the filters of a list offer, each of which is selected as an array.

A list needs several of them beside its rows: `load_choices` makes one statement of those.
Parameters of its SQL are the reader's id, the page, the departments that the reader reads (null:
all), and the first and last day of the filter.
"""

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

SAVED_FILTERS = """
    ARRAY(
        SELECT ARRAY[id::text, name] FROM conversations_savedfilter
        WHERE owner_id = %(reader)s AND page = %(page)s ORDER BY name)"""
# Those that were asked most, by the newest of the roll-up. A day of it is one of UTC; a reader's
# may begin on the day before or end on the day after.
MODELS = """
    ARRAY(SELECT model FROM (
        SELECT model, calls FROM conversations_usage
        WHERE day BETWEEN %(since)s::date - 1 AND %(until)s::date + 1
        ORDER BY day DESC LIMIT 20000) newest
        GROUP BY model ORDER BY sum(calls) DESC, model LIMIT 100)"""
# From one to the next, by leaps through their index.
UPSTREAMS = """
    ARRAY(WITH RECURSIVE upstreams (name) AS (
        SELECT min(upstream) FROM conversations_snapshot UNION ALL
        SELECT (SELECT min(upstream) FROM conversations_snapshot WHERE upstream > name)
        FROM upstreams WHERE name IS NOT NULL)
        SELECT name FROM upstreams LIMIT 100)"""
VALUES_OF_PEOPLE = """
    ARRAY(
        SELECT DISTINCT {column} FROM conversations_user
        WHERE %(departments)s::text[] IS NULL OR department = ANY(%(departments)s::text[])
        ORDER BY {column} LIMIT 500)"""
# How many calls wait to be searchable, up to a thousand, and for how many seconds the oldest has.
LAG = """
    (SELECT ARRAY[count(*), extract(epoch FROM clock_timestamp() - min(closed))] FROM (
        SELECT closed FROM conversations_unsealed WHERE kind = 'snapshot'
        ORDER BY id LIMIT 1000) waiting)"""
NO_LAG = "ARRAY[0, 0]"


Choice = str | QuerySet  # SQL of an array, or rows of one column


def load_choices(expressions: dict[str, Choice], parameters: dict[str, Any]) -> dict[str, list]:
    """The array of each expression, by its name. One query."""
    parameters, columns = dict(parameters), []
    for name, expression in expressions.items():
        if isinstance(expression, QuerySet):
            expression, named = _select_array(name, expression)
            parameters |= named
        columns.append(expression)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(columns)}", parameters)
        return dict(zip(expressions, cursor.fetchone(), strict=True))


def _select_array(name: str, rows: QuerySet) -> tuple[str, dict[str, Any]]:
    """Return the SQL of rows, and its parameters under names that no other expression has."""
    try:
        sql, values = rows.query.sql_with_params()
    except EmptyResultSet:
        return "ARRAY[]::text[]", {}
    named = {f"{name}_{n}": value for n, value in enumerate(values)}
    places = tuple(f"%({each})s" for each in named)
    return f"ARRAY({sql.replace('%%', '%%%%') % places})", named
