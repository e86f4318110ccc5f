"""What reviewers decided about conversations."""

import django.db.models.deletion
import django.utils.timezone
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0007_audit_event"),
    ]

    operations = [
        migrations.CreateModel(
            name="Decision",
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
                    "disposition",
                    models.TextField(
                        choices=[
                            ("no_issue", "no issue"),
                            ("false_positive", "false positive"),
                            ("violation", "violation"),
                            ("escalated", "escalated"),
                            ("needs_information", "needs information"),
                        ]
                    ),
                ),
                ("reason", models.TextField(db_default="")),
                ("note", models.TextField(db_default="")),
                ("made", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "newest",
                    models.UUIDField(
                        help_text="the newest call that it covers: what is said later has not "
                        "been reviewed"
                    ),
                ),
                (
                    "conversation",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="decisions",
                        to="conversations.conversation",
                    ),
                ),
                (
                    "reviewer",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        models.F("conversation"), models.F("id"), name="decision_conversation"
                    ),
                    models.Index(models.F("reviewer"), models.F("id"), name="decision_reviewer"),
                ],
            },
        ),
    ]
