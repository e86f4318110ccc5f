"""Indexes of values that few calls have: how they ended, their kind, use case and key."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("conversations", "0025_conversation_large")]

    operations = [
        AddIndexConcurrently(
            "snapshot",
            models.Index(
                "status",
                "id",
                name="snapshot_ended",
                include=["conversation"],
                condition=~models.Q(status__in=["ok", "pending"]),
            ),
        ),
        AddIndexConcurrently(
            "snapshot",
            models.Index(
                "kind",
                "id",
                name="snapshot_kind",
                include=["conversation"],
                condition=~models.Q(kind="chat"),
            ),
        ),
        AddIndexConcurrently(
            "snapshot",
            models.Index(
                "use_case",
                "id",
                name="snapshot_use_case",
                include=["conversation"],
                condition=~models.Q(use_case=""),
            ),
        ),
        AddIndexConcurrently(
            "snapshot",
            models.Index(
                "key",
                "id",
                name="snapshot_key",
                include=["conversation"],
                condition=~models.Q(key=""),
            ),
        ),
        RemoveIndexConcurrently("snapshot", "snapshot_troubled"),
    ]
