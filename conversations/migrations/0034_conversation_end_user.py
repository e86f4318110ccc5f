"""A conversation of a shared key belongs to the end user for whom it was begun."""

from django.db import migrations, models

OF_FIRST_CALL = """
    UPDATE conversations_conversation AS conversation
    SET end_user = first.end_user
    FROM (
        SELECT DISTINCT ON (conversation_id) conversation_id, end_user
        FROM conversations_snapshot
        WHERE conversation_id IN (
            SELECT conversation_id FROM conversations_snapshot WHERE end_user <> ''
        )
        ORDER BY conversation_id, id
    ) AS first
    WHERE conversation.id = first.conversation_id AND first.end_user <> ''
        AND conversation.end_user = ''"""
# An index is made while calls are recorded; the old one goes when the new one holds.
MAKE = """
    CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS conversation_session_of
    ON conversations_conversation (owner_id, session_key, end_user)
    WHERE session_key IS NOT NULL"""
MAKE_OLD = """
    CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS conversation_session
    ON conversations_conversation (owner_id, session_key) WHERE session_key IS NOT NULL"""
DROP = "DROP INDEX CONCURRENTLY IF EXISTS conversation_session_of"
DROP_OLD = "DROP INDEX CONCURRENTLY IF EXISTS conversation_session"


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("conversations", "0033_cost_source")]
    operations = [
        migrations.AddField(
            "conversation",
            "end_user",
            models.TextField(
                db_default="",
                help_text="the person for whom a shared key began it; empty: its owner",
            ),
        ),
        migrations.RunSQL(OF_FIRST_CALL, migrations.RunSQL.noop),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(MAKE, DROP),
                migrations.RunSQL(DROP_OLD, MAKE_OLD),
            ],
            state_operations=[
                migrations.RemoveConstraint("conversation", "conversation_session"),
                migrations.AddConstraint(
                    "conversation",
                    models.UniqueConstraint(
                        "owner",
                        "session_key",
                        "end_user",
                        name="conversation_session_of",
                        condition=models.Q(session_key__isnull=False),
                    ),
                ),
            ],
        ),
    ]
