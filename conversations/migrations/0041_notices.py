"""What people are told by mail, and the company's webhook."""

import django.db.models.deletion
import django.utils.timezone
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0040_verification_runs")]
    operations = [
        migrations.CreateModel(
            "NoticeFeed",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "number",
                    models.BigIntegerField(help_text="Number of the last seal that was read."),
                ),
            ],
            options={"default_permissions": ()},
        ),
        migrations.CreateModel(
            "Notice",
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
                ("kind", models.TextField()),
                (
                    "subject",
                    models.TextField(
                        help_text="what it is about: an event, a run of verify, a day"
                    ),
                ),
                (
                    "recipient",
                    models.ForeignKey(
                        help_text="the account that gets a mail; empty: the webhook",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("facts", models.TextField(help_text="JSON that its words are made of")),
                ("made", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "due",
                    models.DateTimeField(
                        default=django.utils.timezone.now, help_text="when the next try begins"
                    ),
                ),
                ("tries", models.IntegerField(default=0, help_text="tries that failed")),
                ("problem", models.TextField(default="", help_text="why the last try failed")),
                ("delivered", models.DateTimeField(null=True)),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        models.F("due"),
                        condition=models.Q(delivered=None),
                        name="notice_waiting",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        models.F("kind"),
                        models.F("subject"),
                        models.F("recipient"),
                        name="notice_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
    ]
