"""How long a decision took, how much was read for it, and the second line's decisions."""

from django.db import migrations, models

SOURCES = [
    ("sampled", "drawn"),
    ("chosen", "chosen by a reviewer"),
    ("assigned", "assigned"),
    ("reopened", "continued after a decision"),
    ("escalated", "escalated"),
    ("part", "decided in part"),
    ("information", "waits for information"),
    ("second", "drawn for a second reviewer"),
]


class Migration(migrations.Migration):
    dependencies = [("conversations", "0049_end_users")]
    operations = [
        migrations.AddField(
            "decision",
            "seconds",
            models.IntegerField(
                null=True, help_text="from the first page that was opened for it to the decision"
            ),
        ),
        migrations.AddField(
            "decision",
            "length",
            models.BigIntegerField(
                null=True, help_text="bytes of the messages that were shown for it"
            ),
        ),
        migrations.AddField(
            "decision",
            "drawn",
            models.BooleanField(null=True, help_text="drawn to be decided by a second reviewer"),
        ),
        migrations.AddField(
            "decision",
            "second_of",
            models.ForeignKey(
                "conversations.decision",
                models.PROTECT,
                null=True,
                related_name="+",
                db_index=False,
                help_text="the decision of another reviewer that it is beside",
            ),
        ),
        migrations.AddIndex(
            "decision",
            models.Index(
                "second_of",
                "id",
                name="decision_second_of",
                condition=models.Q(second_of__isnull=False),
            ),
        ),
        migrations.AlterField("review", "source", models.TextField(choices=SOURCES)),
    ]
