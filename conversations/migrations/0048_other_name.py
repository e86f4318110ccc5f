"""Other names of people; the end users that are on record already."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Lower, Trim

from conversations.models.other_name import Normalized

KNOWN = """
    INSERT INTO conversations_othername (kind, account_id, name, made)
    SELECT 'end_user', owner_id, end_user, now() FROM (
        SELECT owner_id, end_user FROM conversations_conversation WHERE end_user <> ''
        UNION SELECT owner_id, end_user FROM conversations_snapshot WHERE end_user <> ''
    ) known
    ON CONFLICT DO NOTHING"""


def allow(apps, schema_editor):
    """Let Gateway admins name people; they administer accounts and keys already."""
    kind, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="conversations", model="othername"
    )
    group = apps.get_model("auth", "Group").objects.filter(name="Gateway admin").first()
    for action in ("view", "add", "change", "delete"):
        right, _ = apps.get_model("auth", "Permission").objects.get_or_create(
            content_type=kind,
            codename=f"{action}_othername",
            defaults={"name": f"Can {action} other name"},
        )
        if group:
            group.permissions.add(right)


def account(**options):
    return models.ForeignKey(
        settings.AUTH_USER_MODEL, django.db.models.deletion.PROTECT, related_name="+", **options
    )


class Migration(migrations.Migration):
    dependencies = [("conversations", "0047_one_call")]
    operations = [
        migrations.CreateModel(
            "OtherName",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.TextField(
                        choices=[
                            ("end_user", "end user of a shared key"),
                            ("account", "second account"),
                        ]
                    ),
                ),
                (
                    "account",
                    account(
                        db_index=False,
                        help_text=(
                            "the account whose shared key gives the name; or the second account"
                        ),
                    ),
                ),
                (
                    "name",
                    models.TextField(
                        blank=True,
                        db_default="",
                        help_text=(
                            "the end user as the shared key names them; empty for a second account"
                        ),
                    ),
                ),
                (
                    "person",
                    account(
                        null=True,
                        blank=True,
                        help_text=(
                            "the account of the person; empty: the account whose name this is, "
                            "if any"
                        ),
                    ),
                ),
                ("made", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "indexes": [
                    models.Index(Lower(Trim(Normalized("name"))), name="other_name_folded")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        "account",
                        "name",
                        name="other_name_of_end_user",
                        condition=models.Q(kind="end_user"),
                        violation_error_message="This end user is listed already.",
                    ),
                    models.UniqueConstraint(
                        "account",
                        "person",
                        name="other_name_of_account",
                        condition=models.Q(kind="account"),
                        violation_error_message="These accounts are joined already.",
                    ),
                    models.CheckConstraint(
                        name="other_name_is_of_its_kind",
                        condition=models.Q(kind="end_user") & ~models.Q(name="")
                        | models.Q(kind="account", name="", person__isnull=False)
                        & ~models.Q(account=models.F("person")),
                    ),
                ],
            },
        ),
        migrations.AddIndex("user", models.Index(Lower("username"), name="user_username_folded")),
        migrations.AddIndex("user", models.Index(Lower("email"), name="user_email_folded")),
        migrations.AddIndex(
            "user", models.Index(Lower("external_id"), name="user_external_id_folded")
        ),
        migrations.RunPython(allow, migrations.RunPython.noop),
        migrations.RunSQL(KNOWN, migrations.RunSQL.noop),
    ]
