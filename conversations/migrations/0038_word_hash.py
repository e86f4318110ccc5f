"""Second names of replies; the worker makes those of old ones, some conversations at a time."""

from django.db import migrations, models

WAITING = """
    INSERT INTO conversations_unhashed (conversation)
    SELECT id FROM conversations_conversation ON CONFLICT DO NOTHING"""


class Migration(migrations.Migration):
    dependencies = [("conversations", "0037_snapshot_failed")]
    operations = [
        migrations.CreateModel(
            "WordHash",
            [
                (
                    "message",
                    models.OneToOneField(
                        on_delete=models.CASCADE,
                        to="conversations.message",
                        primary_key=True,
                        serialize=False,
                        related_name="+",
                        db_index=False,
                    ),
                ),
                ("hash", models.BinaryField()),
            ],
            options={"indexes": [models.Index("hash", name="word_hash")]},
        ),
        migrations.CreateModel(
            "Unhashed",
            [("conversation", models.UUIDField(primary_key=True, serialize=False))],
        ),
        migrations.RunSQL(WAITING, migrations.RunSQL.noop),
    ]
