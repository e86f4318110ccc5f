"""The triggers and functions that keep evidence: present, switched on, and as migrations made them.

They stop mistakes, and the chain stands against their owner; but where one is missing, rows may
change between two checks, and new ones may never wait for a seal.
"""

from collections.abc import Iterator
from typing import NamedTuple

from django.db import connection

KEEP = """
    BEGIN
        IF current_setting('gateway.may_erase', true) IS DISTINCT FROM 'on' THEN
            RAISE EXCEPTION '% of % is refused: evidence stays as it is', TG_OP, TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation';
        END IF;
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        RETURN NEW;
    END """
AWAIT = """
    BEGIN
        INSERT INTO conversations_unsealed (kind, subject, closed)
        VALUES (TG_ARGV[0], NEW.id, now());
        RETURN NULL;
    END """
REINDEX = """
    BEGIN
        INSERT INTO conversations_unindexed (call)
        SELECT id FROM conversations_snapshot
        WHERE conversation_id = NEW.id AND status <> 'pending' ORDER BY id LIMIT 1;
        RETURN NULL;
    END """
KEPT = ("message", "attachment", "decision", "case", "caseentry", "auditevent", "seal")
AWAITING = ("decision", "case", "caseentry", "auditevent")


class Guard(NamedTuple):
    """A trigger as PostgreSQL spells it out, and the source of its function."""

    definition: str
    source: str


def _guard(table: str, name: str, when: str, function: str, source: str) -> Guard:
    event, of_rows = when.split(" | ")
    return Guard(
        f"CREATE TRIGGER {name} {event} ON conversations_{table} {of_rows} "
        f"EXECUTE FUNCTION conversations_{function}",
        source,
    )


def _list_guards() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield table, name, time and function of each trigger, and that function's source."""
    for table in KEPT:
        yield table, "keep", "BEFORE DELETE OR UPDATE | FOR EACH ROW", "keep()", KEEP
    closed = "FOR EACH ROW WHEN (old.status <> 'pending'::text)"
    yield "snapshot", "keep", f"BEFORE UPDATE | {closed}", "keep()", KEEP
    yield "snapshot", "keep_row", "BEFORE DELETE | FOR EACH ROW", "keep()", KEEP
    for table in (*KEPT, "snapshot"):
        yield table, "keep_all", "BEFORE TRUNCATE | FOR EACH STATEMENT", "keep()", KEEP
    for table in AWAITING:
        function = f"await_seal('{table}')"
        yield table, "await_seal", "AFTER INSERT | FOR EACH ROW", function, AWAIT
    renamed = "AFTER UPDATE OF title | FOR EACH ROW WHEN (old.title <> new.title)"
    yield "conversation", "reindex", renamed, "reindex()", REINDEX


GUARDS = {(f"conversations_{each[0]}", each[1]): _guard(*each) for each in _list_guards()}
TABLES = [
    *sorted({table for table, _ in GUARDS}),
    "conversations_conversation",
    "conversations_review",
    "conversations_unsealed",
    "conversations_usage",
    "conversations_user",
]
# As the names resolve for the gateway; a function's own settings, and another language, can make it
# deaf while its source stays.
FOUND = """
    SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid, true), p.prosrc,
        t.tgenabled = 'O' AND l.lanname = 'plpgsql' AND p.proconfig IS NULL
    FROM unnest(%s::text[]) AS wanted (name)
    JOIN pg_class c ON c.oid = to_regclass(wanted.name)
    JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal
    JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang
    ORDER BY c.relname, t.tgname"""
BENT = """
    SELECT c.relname, CASE
        WHEN c.relkind <> 'r' THEN 'is no table'
        WHEN c.relrowsecurity THEN 'hides rows by a policy of row security'
        WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled <> 'O')
            THEN 'has triggers or foreign keys that are switched off'
        ELSE 'has a rule that puts other statements in the place of ours' END
    FROM unnest(%s::text[]) AS wanted (name) JOIN pg_class c ON c.oid = to_regclass(wanted.name)
    WHERE c.relkind <> 'r' OR c.relrowsecurity
        OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled <> 'O')
        OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid)
    ORDER BY c.relname"""
# Either silences all triggers, for whom it is set.
SETTINGS = """
    SELECT CASE setrole WHEN 0 THEN 'all roles' ELSE setrole::regrole::text END, setting
    FROM pg_db_role_setting, unnest(setconfig) AS setting
    WHERE (setting ILIKE 'gateway.may_erase=%' OR setting ILIKE 'session_replication_role=%')
        AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    UNION ALL
    SELECT 'this session', name || '=' || current_setting(name, true)
    FROM unnest(ARRAY['gateway.may_erase', 'session_replication_role']) AS name
    WHERE current_setting(name, true) NOT IN ('', 'origin', 'off')"""


def check_guards() -> Iterator[str]:
    """Yield what is missing, switched off, changed, or not this version's."""
    with connection.cursor() as cursor:
        cursor.execute(FOUND, [TABLES])
        found = {(row[0], row[1]): row[2:] for row in cursor.fetchall()}
        cursor.execute(BENT, [TABLES])
        bent = cursor.fetchall()
        cursor.execute(SETTINGS)
        settings = cursor.fetchall()
    for (table, name), guard in GUARDS.items():
        row = found.get((table, name))
        if row is None:
            yield f"The trigger {name} of {table} is gone: the database guards that no more."
        elif not row[2]:
            yield f"The trigger {name} of {table} is switched off, or its function is made deaf."
        elif Guard(*row[:2]) != guard:
            yield f"The trigger {name} of {table}, or its function, was changed."
    for table, name in sorted(found.keys() - GUARDS.keys()):
        yield f"The trigger {name} of {table} is not one of this version's: it was put in."
    for table, what in bent:
        yield f"The table {table} {what}."
    for whom, setting in settings:
        yield f"The database lets {whom} pass the triggers by: {setting} is set."
