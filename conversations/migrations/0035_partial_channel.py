"""A growing answer has several strings: its text, its reasoning, arguments of its tool calls.

The table holds the answers of open calls only. Processes of the version before go on: what they
save is text, and they name no columns in their conflicts.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0034_conversation_end_user")]
    operations = [
        migrations.AddField(
            "partial",
            "channel",
            models.TextField(
                db_default="",
                help_text="JSON of the path to this string; empty: the first choice's text",
            ),
        ),
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    """
                    ALTER TABLE conversations_partial
                        DROP CONSTRAINT conversations_partial_pkey,
                        ADD CONSTRAINT conversations_partial_pkey
                            PRIMARY KEY (snapshot, channel, at)""",
                    """
                    DELETE FROM conversations_partial WHERE channel <> '';
                    ALTER TABLE conversations_partial
                        DROP CONSTRAINT conversations_partial_pkey,
                        ADD CONSTRAINT conversations_partial_pkey PRIMARY KEY (snapshot, at)""",
                )
            ],
            [
                migrations.AlterField(
                    "partial",
                    "pk",
                    models.CompositePrimaryKey(
                        "snapshot",
                        "channel",
                        "at",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                )
            ],
        ),
    ]
