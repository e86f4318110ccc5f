"""A growing answer is saved each second and deleted at its end: it needs no write-ahead log."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("conversations", "0001_initial")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE conversations_partial SET UNLOGGED",
            "ALTER TABLE conversations_partial SET LOGGED",
        )
    ]
