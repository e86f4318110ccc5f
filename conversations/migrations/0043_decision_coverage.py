"""What a decision covers (calls seen, pages opened, what is left), and to whom it goes.

Columns that may be empty: older decisions, which are sealed, stay as they are.
"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

SOURCES = [
    ("sampled", "drawn"),
    ("chosen", "chosen by a reviewer"),
    ("assigned", "assigned"),
    ("reopened", "continued after a decision"),
    ("escalated", "escalated"),
    ("part", "decided in part"),
    ("information", "waits for information"),
]


class Migration(migrations.Migration):
    dependencies = [("conversations", "0042_snapshot_covers")]
    operations = [
        migrations.AddField(
            "decision",
            "seen",
            ArrayField(
                models.UUIDField(),
                null=True,
                help_text="the closed calls of the conversation when the page or list was made",
            ),
        ),
        migrations.AddField(
            "decision",
            "page",
            models.UUIDField(
                null=True,
                help_text="the audit event of the page with the form; empty: decided from a list",
            ),
        ),
        migrations.AddField(
            "decision",
            "pages",
            ArrayField(
                models.UUIDField(),
                null=True,
                help_text="the audit events by which its reviewer was shown messages, or the list",
            ),
        ),
        migrations.AddField(
            "decision",
            "shown",
            models.IntegerField(null=True, help_text="messages that its reviewer was shown"),
        ),
        migrations.AddField(
            "decision",
            "messages",
            models.IntegerField(null=True, help_text="messages of the conversation then"),
        ),
        migrations.AddField(
            "decision",
            "opened",
            models.IntegerField(null=True, help_text="branches that its reviewer opened"),
        ),
        migrations.AddField(
            "decision",
            "branches",
            models.IntegerField(null=True, help_text="branches of the conversation then"),
        ),
        migrations.AddField(
            "decision",
            "uncovered",
            ArrayField(
                models.UUIDField(),
                null=True,
                help_text="messages that neither it nor a decision before it covers",
            ),
        ),
        migrations.AddField(
            "decision",
            "addressee",
            models.ForeignKey(
                settings.AUTH_USER_MODEL,
                models.PROTECT,
                null=True,
                related_name="+",
                db_index=False,
                help_text=(
                    "who is to act: the Lead of an escalation, or who is asked for information"
                ),
            ),
        ),
        migrations.AddField(
            "decision",
            "until",
            models.DateField(null=True, help_text="the day by which information is needed"),
        ),
        migrations.AddConstraint("decision", models.UniqueConstraint("page", name="decision_page")),
        migrations.AlterField("review", "source", models.TextField(choices=SOURCES)),
    ]
