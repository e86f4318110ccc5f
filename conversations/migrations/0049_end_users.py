"""Calls and conversations by end user, and what each end user spent of what is sealed."""

import django.db.models.deletion
from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

SPENT = """
    INSERT INTO conversations_enduserusage
        (day, owner_id, end_user, model, calls, failures, prompt_tokens, completion_tokens, cost)
    SELECT (opened AT TIME ZONE 'UTC')::date, owner_id, end_user, model, count(*),
        count(*) FILTER (WHERE status <> 'ok'), coalesce(sum(prompt_tokens), 0),
        coalesce(sum(completion_tokens), 0), coalesce(sum(cost), 0)
    FROM conversations_snapshot call
    WHERE end_user <> '' AND EXISTS (SELECT FROM conversations_seal WHERE subject = call.id)
    GROUP BY 1, 2, 3, 4
    ON CONFLICT DO NOTHING"""


def by_end_user(name):
    return models.Index("owner", "end_user", "id", name=name, condition=~models.Q(end_user=""))


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("conversations", "0048_other_name")]
    operations = [
        AddIndexConcurrently("conversation", by_end_user("conversation_end_user")),
        AddIndexConcurrently("snapshot", by_end_user("snapshot_end_user")),
        migrations.CreateModel(
            "EndUserUsage",
            [
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "day",
                        "owner",
                        "end_user",
                        "model",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("day", models.DateField()),
                (
                    "owner",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        django.db.models.deletion.PROTECT,
                        related_name="+",
                        db_index=False,
                    ),
                ),
                ("end_user", models.TextField()),
                ("model", models.TextField()),
                ("calls", models.IntegerField(db_default=0)),
                ("failures", models.IntegerField(db_default=0)),
                ("prompt_tokens", models.BigIntegerField(db_default=0)),
                ("completion_tokens", models.BigIntegerField(db_default=0)),
                (
                    "cost",
                    models.DecimalField(
                        max_digits=16, decimal_places=8, db_default=0, help_text="US dollars"
                    ),
                ),
            ],
        ),
        migrations.RunSQL(SPENT, migrations.RunSQL.noop),
    ]
