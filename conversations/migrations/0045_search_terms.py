"""The search index is made anew, of all that left, by the worker and not here.

The table of before is emptied and kept for a version: a worker or a page of the version before may
still write and read it while machines are upgraded one by one.
"""

import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
from django.db import migrations, models

# Nothing may refer to rows of the record without their deletion knowing.
EMPTY = """
    TRUNCATE conversations_searchentry;
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT conname FROM pg_constraint
            WHERE conrelid = 'conversations_searchentry'::regclass AND contype = 'f'
        LOOP
            EXECUTE format('ALTER TABLE conversations_searchentry DROP CONSTRAINT %I', name);
        END LOOP;
    END $$;
"""
WAITING = """
    INSERT INTO conversations_reindexing (below)
    SELECT 'ffffffff-ffff-ffff-ffff-ffffffffffff'
    WHERE EXISTS (SELECT FROM conversations_snapshot)"""
# A title is found with the call that began the conversation.
RENAMED = """
    CREATE FUNCTION conversations_reindex() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO conversations_unindexed (call)
        SELECT id FROM conversations_snapshot
        WHERE conversation_id = NEW.id AND status <> 'pending' ORDER BY id LIMIT 1;
        RETURN NULL;
    END $$;
    CREATE TRIGGER reindex AFTER UPDATE OF title ON conversations_conversation
        FOR EACH ROW WHEN (OLD.title <> NEW.title) EXECUTE FUNCTION conversations_reindex();
"""
NOT_RENAMED = "DROP FUNCTION conversations_reindex() CASCADE"


class Migration(migrations.Migration):
    dependencies = [("conversations", "0044_unseen_calls")]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel("SearchEntry")],
            database_operations=[migrations.RunSQL(EMPTY, migrations.RunSQL.noop)],
        ),
        migrations.CreateModel(
            "SearchEntry",
            [
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "call_id",
                        "part",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("owner", models.BigIntegerField(help_text="whose the call is")),
                ("part", models.SmallIntegerField(help_text="counted from 0, of the call")),
                ("parts", models.SmallIntegerField(help_text="so many entries the call has")),
                (
                    "for_owner",
                    models.BooleanField(
                        help_text="its owner finds it too, and not reviewers alone"
                    ),
                ),
                (
                    "call",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="conversations.snapshot",
                    ),
                ),
                (
                    "message",
                    models.ForeignKey(
                        db_index=False,
                        help_text="whose words they are; empty: of the request beside its messages",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="conversations.message",
                    ),
                ),
                (
                    "conversation",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="conversations.conversation",
                    ),
                ),
                ("words", django.contrib.postgres.search.SearchVectorField()),
            ],
            options={
                "db_table": "conversations_searchterms",
                "indexes": [django.contrib.postgres.indexes.GinIndex("words", name="search_terms")],
            },
        ),
        migrations.CreateModel(
            "Reindexing",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("below", models.UUIDField(help_text="calls with smaller ids wait")),
            ],
        ),
        migrations.CreateModel(
            "Unindexed",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("call", models.UUIDField()),
            ],
        ),
        migrations.RunSQL(WAITING, migrations.RunSQL.noop),
        migrations.RunSQL(RENAMED, NOT_RENAMED),
    ]
