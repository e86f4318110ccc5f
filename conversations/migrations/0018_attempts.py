"""Keeps the tries of a call at upstreams, where the first did not do."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0017_review_queue")]

    operations = [
        migrations.AddField(
            "snapshot",
            "attempts",
            models.TextField(
                db_default="",
                help_text="JSON of the tries at upstreams, where the first did not do",
            ),
        ),
    ]
