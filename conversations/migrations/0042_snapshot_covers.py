"""How many answered calls of its conversation an assessment takes account of."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0041_notices")]
    operations = [
        migrations.AddField(
            "snapshot",
            "covers",
            models.IntegerField(
                null=True,
                help_text="number of that conversation’s answered calls when it was assessed",
            ),
        ),
    ]
