"""The queue: conversations that wait for a reviewer, and the policies that draw them."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0016_verification"),
    ]

    operations = [
        migrations.CreateModel(
            name="SamplingPolicy",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "percent",
                    models.DecimalField(
                        decimal_places=2, help_text="of the conversations that begin", max_digits=5
                    ),
                ),
                (
                    "department",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="of their owners; empty: any",
                        max_length=150,
                    ),
                ),
                (
                    "model",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="that answered first; empty: any",
                        max_length=200,
                    ),
                ),
                ("active", models.BooleanField(default=True)),
                (
                    "seed",
                    models.BinaryField(
                        help_text="the draw is HMAC(seed, root id): whoever has the seed can "
                        "repeat it",
                        max_length=32,
                    ),
                ),
                ("made", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "made_by",
                    models.ForeignKey(
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "sampling policies",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Review",
            fields=[
                (
                    "conversation",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="review",
                        serialize=False,
                        to="conversations.conversation",
                    ),
                ),
                (
                    "state",
                    models.TextField(
                        choices=[("waiting", "waiting"), ("decided", "decided")], default="waiting"
                    ),
                ),
                (
                    "source",
                    models.TextField(
                        choices=[
                            ("sampled", "drawn"),
                            ("chosen", "chosen by a reviewer"),
                            ("assigned", "assigned"),
                            ("reopened", "went on after a decision"),
                            ("escalated", "escalated"),
                        ]
                    ),
                ),
                (
                    "severity",
                    models.SmallIntegerField(
                        choices=[(1, "routine"), (2, "raised"), (3, "high")], default=1
                    ),
                ),
                ("entered", models.DateTimeField(default=django.utils.timezone.now)),
                ("due", models.DateTimeField()),
                (
                    "lease",
                    models.DateTimeField(
                        help_text="until when the claim holds; none: assigned, for as long as "
                        "it takes",
                        null=True,
                    ),
                ),
                (
                    "assignee",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "decision",
                    models.ForeignKey(
                        db_index=False,
                        help_text="the last",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="conversations.decision",
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        db_index=False,
                        help_text="that drew it",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="conversations.samplingpolicy",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        models.OrderBy(models.F("severity"), descending=True),
                        models.F("entered"),
                        models.F("conversation"),
                        condition=models.Q(("state", "waiting")),
                        name="review_queue",
                    ),
                    models.Index(
                        models.F("assignee"),
                        condition=models.Q(("assignee__isnull", False), ("state", "waiting")),
                        name="review_assignee",
                    ),
                ],
            },
        ),
    ]
