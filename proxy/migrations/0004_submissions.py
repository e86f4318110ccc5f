import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("proxy", "0003_first_use_cases")]

    operations = [
        migrations.CreateModel(
            name="SubmissionFeed",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.BigIntegerField(help_text="of the last seal that was looked at")),
                (
                    "took",
                    models.DateTimeField(help_text="when the receiver last took a call", null=True),
                ),
                ("resumes", models.DateTimeField(help_text="until then it wants none", null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Submission",
            fields=[
                (
                    "number",
                    models.BigIntegerField(
                        help_text="of its seal", primary_key=True, serialize=False
                    ),
                ),
                ("snapshot", models.UUIDField()),
                ("sealed", models.DateTimeField()),
                (
                    "due",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="the next try; of one under way: when it is taken for lost",
                    ),
                ),
                ("tried", models.DateTimeField(help_text="when a try last failed", null=True)),
                ("tries", models.IntegerField(default=0, help_text="that failed")),
                (
                    "blamed",
                    models.IntegerField(
                        default=0,
                        help_text="of them, those that were not the receiver's fault alone",
                    ),
                ),
                ("problem", models.TextField(default="", help_text="of the last try")),
                ("given_up", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "undelivered submission",
                "default_permissions": ("view", "change"),
                "indexes": [
                    models.Index(
                        "number", name="submission_waiting", condition=models.Q(given_up=None)
                    )
                ],
            },
        ),
    ]
