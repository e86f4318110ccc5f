"""A call that titles or assesses a conversation, being in none itself, names that one."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0020_desk_filters")]

    operations = [
        migrations.AddField(
            "snapshot",
            "about",
            models.ForeignKey(
                db_index=False,
                help_text="the one that a call of its own kind titled or assessed",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="calls_about",
                to="conversations.conversation",
            ),
        ),
    ]
