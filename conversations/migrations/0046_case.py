"""Cases: what is in them is evidence, so it is sealed, and kept as it is."""

import django.db.models.deletion
import django.utils.timezone
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

PROTECT = django.db.models.deletion.PROTECT
EVIDENCE = ("case", "caseentry")
KEEP = """
    CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON conversations_{table}
        FOR EACH ROW EXECUTE FUNCTION conversations_keep();
    CREATE TRIGGER keep_all BEFORE TRUNCATE ON conversations_{table}
        EXECUTE FUNCTION conversations_keep();
    CREATE TRIGGER await_seal AFTER INSERT ON conversations_{table}
        FOR EACH ROW EXECUTE FUNCTION conversations_await_seal('{table}');
"""
LINK = models.Q(
    models.Q(("conversation", None), ("kind", "note")),
    models.Q(("conversation__isnull", False), ("kind__in", ["linked", "unlinked"])),
    _connector="OR",
)


def row_id():
    return models.UUIDField(
        default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False
    )


def account(**options):
    return models.ForeignKey(settings.AUTH_USER_MODEL, PROTECT, related_name="+", **options)


def case(name):
    return models.ForeignKey("conversations.case", PROTECT, related_name=name, db_index=False)


class Migration(migrations.Migration):
    dependencies = [("conversations", "0045_search_terms")]
    operations = [
        migrations.CreateModel(
            name="Case",
            fields=[
                ("id", row_id()),
                ("name", models.TextField()),
                ("purpose", models.TextField()),
                ("made", models.DateTimeField(default=django.utils.timezone.now)),
                ("made_by", account(db_index=False)),
            ],
            options={"default_permissions": ()},
        ),
        migrations.CreateModel(
            name="CaseMember",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("case", case("members")),
                ("user", account()),
                ("added", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(models.F("case"), models.F("user"), name="case_member")
                ],
            },
        ),
        migrations.CreateModel(
            name="CaseEntry",
            fields=[
                ("id", row_id()),
                ("case", case("entries")),
                ("author", account(db_index=False)),
                (
                    "kind",
                    models.TextField(
                        choices=[("note", "note"), ("linked", "linked"), ("unlinked", "unlinked")]
                    ),
                ),
                (
                    "conversation",
                    models.ForeignKey(
                        "conversations.conversation",
                        PROTECT,
                        null=True,
                        related_name="+",
                        db_index=False,
                    ),
                ),
                ("text", models.TextField(db_default="", default="")),
                ("made", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "default_permissions": (),
                "verbose_name": "case entry",
                "verbose_name_plural": "case entries",
                "indexes": [
                    models.Index(
                        models.F("case"), models.F("kind"), models.F("id"), name="case_entries"
                    ),
                    models.Index(
                        models.F("conversation"),
                        models.F("case"),
                        models.F("id"),
                        condition=models.Q(("conversation__isnull", False)),
                        name="case_of_conversation",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(condition=LINK, name="case_link_names_its_conversation")
                ],
            },
        ),
        migrations.AlterField(
            "seal",
            "kind",
            models.TextField(help_text="kind of the sealed row, such as snapshot or decision"),
        ),
        migrations.RunSQL(
            "".join(KEEP.format(table=table) for table in EVIDENCE), migrations.RunSQL.noop
        ),
    ]
