"""Exports as jobs of the worker: what was chosen, and how far each has come."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0029_assessment_owner"),
    ]

    operations = [
        migrations.CreateModel(
            name="Export",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid_utils.compat.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "departments",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=150),
                        default=list,
                        help_text="that the owner was limited to then",
                        size=None,
                    ),
                ),
                ("asked", models.DateTimeField(default=django.utils.timezone.now)),
                ("format", models.TextField()),
                ("purpose", models.TextField()),
                (
                    "of",
                    models.TextField(
                        help_text="the list that was filtered: conversations or calls"
                    ),
                ),
                (
                    "query",
                    models.TextField(
                        help_text="JSON of the filter's fields, their days written out"
                    ),
                ),
                ("words", models.TextField(help_text="the filter in words")),
                ("zone", models.TextField(help_text="time zone of its days")),
                ("after", models.BigIntegerField(help_text="seals after this one …")),
                (
                    "last",
                    models.BigIntegerField(
                        help_text="… up to this one: where the export is frozen"
                    ),
                ),
                (
                    "state",
                    models.TextField(
                        choices=[
                            ("waiting", "waiting"),
                            ("running", "running"),
                            ("done", "done"),
                            ("cancelled", "cancelled"),
                            ("failed", "failed"),
                            ("expired", "expired"),
                        ],
                        default="waiting",
                    ),
                ),
                (
                    "seen",
                    models.DateTimeField(
                        default=django.utils.timezone.now, help_text="when a worker was last at it"
                    ),
                ),
                ("total", models.BigIntegerField(help_text="rows that were chosen", null=True)),
                (
                    "taken",
                    models.BigIntegerField(
                        default=0, help_text="of them that are durable in the files"
                    ),
                ),
                (
                    "files",
                    models.JSONField(
                        default=list,
                        help_text="name, bytes and rows of each, its sha256 once it is whole",
                    ),
                ),
                ("problem", models.TextField(blank=True, default="")),
                ("began", models.DateTimeField(null=True)),
                ("ended", models.DateTimeField(null=True)),
                ("expires", models.DateTimeField(null=True)),
                (
                    "cleared",
                    models.DateTimeField(help_text="when its files were taken away", null=True),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(models.F("owner"), models.F("id"), name="export_owner"),
                    models.Index(
                        models.F("state"),
                        condition=models.Q(("state", "expired"), _negated=True),
                        name="export_state",
                    ),
                ],
            },
        ),
    ]
