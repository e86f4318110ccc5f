"""Finds the calls about one conversation."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("conversations", "0021_snapshot_about")]

    operations = [
        AddIndexConcurrently(
            "snapshot",
            models.Index(
                "about", "id", name="snapshot_about", condition=models.Q(about__isnull=False)
            ),
        ),
    ]
