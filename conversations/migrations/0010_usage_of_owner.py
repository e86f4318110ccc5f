"""Finds what one person spent, which every chat page says."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0009_process_role"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="usage",
            index=models.Index(fields=["owner", "day"], name="usage_of_owner"),
        ),
    ]
