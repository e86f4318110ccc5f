"""The values that the filters of a list offer, each an expression that selects an array.

A list needs several of them beside its rows: `load_choices` makes one statement of those.
Parameters are the reader's id, the page, the departments that the reader reads (null: all), and
the first and last day of the filter.
"""

from typing import Any

from django.db import connection

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
# Accounts that may decide, to be assigned to.
REVIEWERS = """
    ARRAY(
        SELECT username FROM conversations_user WHERE is_active AND id IN (
            SELECT held.user_id FROM conversations_user_groups held
            JOIN auth_group_permissions given USING (group_id)
            JOIN auth_permission p ON p.id = given.permission_id AND p.codename = 'decide'
            UNION
            SELECT held.user_id FROM conversations_user_user_permissions held
            JOIN auth_permission p ON p.id = held.permission_id AND p.codename = 'decide')
        ORDER BY username LIMIT 200)"""
NO_REVIEWERS = "ARRAY[]::text[]"
# How many calls wait to be searchable, up to a thousand, and for how many seconds the oldest has.
LAG = """
    (SELECT ARRAY[count(*), extract(epoch FROM clock_timestamp() - min(closed))] FROM (
        SELECT closed FROM conversations_unsealed WHERE kind = 'snapshot'
        ORDER BY id LIMIT 1000) waiting)"""
NO_LAG = "ARRAY[0, 0]"


def load_choices(expressions: dict[str, str], parameters: dict[str, Any]) -> dict[str, list]:
    """The array of each expression, by its name. One query."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(expressions.values())}", parameters)
        return dict(zip(expressions, cursor.fetchone(), strict=True))
