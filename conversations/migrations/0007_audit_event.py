"""Who looked at what, exported what, and changed whose rights."""

import django.db.models.deletion
import django.utils.timezone
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0006_usage_policy"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditEvent",
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
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("actor_name", models.TextField(help_text="as it was then")),
                ("address", models.GenericIPAddressField(null=True)),
                ("user_agent", models.TextField(db_default="")),
                ("action", models.TextField()),
                (
                    "kind",
                    models.TextField(
                        db_default="", help_text="of what: conversation, snapshot, user …"
                    ),
                ),
                ("subject", models.TextField(db_default="", help_text="its id")),
                (
                    "conversation",
                    models.UUIDField(help_text="that it is, or is part of", null=True),
                ),
                (
                    "terms",
                    models.TextField(
                        db_default="",
                        help_text="words that were searched for: they may quote what was said",
                    ),
                ),
                (
                    "detail",
                    models.TextField(
                        db_default="{}",
                        help_text="JSON: filters, counts, reasons; never what was said",
                    ),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        db_index=False,
                        help_text="none: a command, or nobody known",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "permissions": [("view_audit", "Can see who looked at what")],
                "default_permissions": (),
                "indexes": [
                    models.Index(models.F("actor"), models.F("id"), name="audit_actor"),
                    models.Index(models.F("action"), models.F("id"), name="audit_action"),
                    models.Index(
                        models.F("kind"), models.F("subject"), models.F("id"), name="audit_subject"
                    ),
                    models.Index(
                        models.F("conversation"),
                        models.F("id"),
                        condition=models.Q(("conversation__isnull", False)),
                        name="audit_conversation",
                    ),
                ],
            },
        ),
    ]
