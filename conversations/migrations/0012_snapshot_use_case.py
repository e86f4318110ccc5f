"""What a person chose to have the model do."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0011_titled_by")]

    operations = [
        migrations.AddField(
            "snapshot",
            "use_case",
            models.TextField(
                db_default="",
                help_text="name, as it was then, of the use case that the asker chose: its "
                "system prompt is the preamble",
            ),
        ),
    ]
