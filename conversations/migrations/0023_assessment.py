"""What models said about conversations: a view of the calls that asked them."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0022_snapshot_about_index"),
    ]

    operations = [
        migrations.CreateModel(
            name="Assessment",
            fields=[
                (
                    "call",
                    models.OneToOneField(
                        help_text="that asked for it",
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="assessment",
                        serialize=False,
                        to="conversations.snapshot",
                    ),
                ),
                (
                    "newest",
                    models.UUIDField(
                        help_text="the newest call that it covers: what is said later was not "
                        "assessed",
                        null=True,
                    ),
                ),
                ("made", models.DateTimeField()),
                ("model", models.TextField()),
                ("chat_summary", models.TextField()),
                ("description", models.TextField()),
                ("llm_deliverables", models.TextField()),
                ("languages", models.TextField()),
                ("satisfaction_score", models.FloatField(help_text="0 to 10")),
                ("work_related", models.BooleanField()),
                ("user_seconds_saved", models.FloatField()),
                (
                    "assistant_seconds_saved",
                    models.FloatField(
                        help_text="of a person who could have done it in the model's place"
                    ),
                ),
                (
                    "assistant_wage",
                    models.FloatField(help_text="US dollars an hour of that person"),
                ),
                (
                    "conversation",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="assessments",
                        to="conversations.conversation",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        models.F("conversation"), models.F("call"), name="assessment_conversation"
                    )
                ],
            },
        ),
    ]
