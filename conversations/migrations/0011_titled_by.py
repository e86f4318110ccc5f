"""Who gave a conversation its title."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0010_usage_of_owner")]

    operations = [
        migrations.AddField(
            "conversation",
            "titled_by",
            models.TextField(
                choices=[("", "its first words"), ("model", "a model"), ("owner", "its owner")],
                db_default="",
            ),
        ),
    ]
