"""The words of a message know the call that brought it, so that the newest are found first.

Rows are written anew: the index of the words is made after them.
"""

from django.contrib.postgres.indexes import GinIndex
from django.db import migrations, models

FILL = """
    UPDATE conversations_searchentry e SET call = m.snapshot_id
    FROM conversations_message m WHERE m.id = e.message_id"""


class Migration(migrations.Migration):
    dependencies = [("conversations", "0026_rare_calls")]
    operations = [
        migrations.AddField(
            "searchentry",
            "call",
            models.UUIDField(
                null=True,
                help_text="that brought the message; none for seconds, where a worker of an "
                "older version wrote it",
            ),
        ),
        migrations.RemoveIndex("searchentry", "search_words"),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AddIndex("searchentry", GinIndex("words", name="search_words")),
        migrations.AddIndex("searchentry", models.Index("call", name="search_call")),
    ]
