"""The ids that imported rows had in their classic gateway, and an index of upstream ids."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0003_reviewer"),
    ]

    operations = [
        migrations.AddField(
            model_name="conversation",
            name="classic_root",
            field=models.TextField(
                help_text="the root id of a conversation imported from a classic gateway", null=True
            ),
        ),
        migrations.AddField(
            model_name="snapshot",
            name="classic",
            field=models.TextField(
                help_text="JSON of what that row said and this one cannot", null=True
            ),
        ),
        migrations.AddField(
            model_name="snapshot",
            name="classic_id",
            field=models.UUIDField(
                help_text="the row's id in the classic gateway that it was imported from", null=True
            ),
        ),
        migrations.AddIndex(
            model_name="snapshot",
            index=models.Index(
                models.F("upstream_id"),
                condition=models.Q(("upstream_id", ""), _negated=True),
                name="snapshot_upstream_id",
            ),
        ),
        migrations.AddConstraint(
            model_name="conversation",
            constraint=models.UniqueConstraint(
                models.F("owner"),
                models.F("classic_root"),
                condition=models.Q(("classic_root__isnull", False)),
                name="conversation_classic_root",
            ),
        ),
        migrations.AddConstraint(
            model_name="snapshot",
            constraint=models.UniqueConstraint(
                models.F("classic_id"),
                condition=models.Q(("classic_id__isnull", False)),
                name="snapshot_classic_id",
            ),
        ),
    ]
