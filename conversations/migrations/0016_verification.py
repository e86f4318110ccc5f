"""When the record was last found whole."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0015_evidence_is_kept"),
    ]

    operations = [
        migrations.CreateModel(
            name="Verification",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("began", models.DateTimeField()),
                ("ended", models.DateTimeField(auto_now_add=True)),
                ("seals", models.BigIntegerField(help_text="that were found whole")),
                (
                    "problem",
                    models.TextField(blank=True, help_text="the first; empty where there is none"),
                ),
            ],
            options={
                "get_latest_by": "ended",
            },
        ),
    ]
