"""What a second person has to agree to."""

import django.db.models.deletion
import django.utils.timezone
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

DECIDED = models.Q(
    models.Q(("agreed", None), ("decided", None), ("decided_by", None)),
    models.Q(("agreed__isnull", False), ("decided__isnull", False), ("decided_by__isnull", False)),
    _connector="OR",
)
TWO_PEOPLE = models.Q(("agreed", True), ("decided_by", models.F("asked_by")), _negated=True)


def account(**options):
    return models.ForeignKey(
        settings.AUTH_USER_MODEL, django.db.models.deletion.PROTECT, related_name="+", **options
    )


class Migration(migrations.Migration):
    dependencies = [("conversations", "0031_plain_labels")]
    operations = [
        migrations.CreateModel(
            name="Approval",
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
                ("kind", models.TextField(help_text="what it is for, such as an API key")),
                ("target", models.TextField(help_text="the id of what it is for")),
                ("name", models.TextField(help_text="what it is for, in words")),
                (
                    "content",
                    models.TextField(help_text="JSON of exactly what is asked for; no messages"),
                ),
                ("digest", models.BinaryField(max_length=32)),
                ("right", models.TextField(help_text="the right that the second person holds")),
                ("asked", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "acts_alone",
                    models.DateTimeField(
                        help_text="when it acts though nobody else could agree; empty: never",
                        null=True,
                    ),
                ),
                (
                    "until",
                    models.DateTimeField(help_text="when it is over; empty: never", null=True),
                ),
                ("decided", models.DateTimeField(null=True)),
                ("agreed", models.BooleanField(null=True)),
                ("asked_by", account()),
                ("decided_by", account(null=True)),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index("kind", "target", "id", name="approval_target")],
                "constraints": [
                    models.CheckConstraint(condition=DECIDED, name="approval_is_decided_whole"),
                    models.CheckConstraint(condition=TWO_PEOPLE, name="approval_has_two_people"),
                ],
            },
        ),
    ]
