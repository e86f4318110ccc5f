"""Who began each run of the check, and what it was held against: so far it was the command."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0039_verification_words")]
    operations = [
        migrations.AddField(
            "verification",
            "by",
            models.TextField(
                default="manage.py verify",
                db_default="manage.py verify",
                help_text="the account, command or job that began it",
            ),
        ),
        migrations.AddField(
            "verification",
            "checkpoints",
            models.TextField(
                blank=True,
                db_default="",
                help_text="the file of checkpoints that it was held against; empty: not on record",
            ),
        ),
    ]
