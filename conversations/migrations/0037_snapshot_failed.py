"""An index of the calls of each key that did not end well: a client may send them once more."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("conversations", "0036_service_account")]

    operations = [
        AddIndexConcurrently(
            "snapshot",
            models.Index(
                "key",
                "id",
                name="snapshot_failed",
                condition=~models.Q(status__in=["ok", "pending"]) & ~models.Q(key=""),
            ),
        )
    ]
