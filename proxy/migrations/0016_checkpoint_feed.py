"""How far the receiver of checkpoints has them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("proxy", "0015_accepted_by_people")]
    operations = [
        migrations.CreateModel(
            "CheckpointFeed",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "number",
                    models.BigIntegerField(help_text="Seal of the last checkpoint that was taken."),
                ),
                (
                    "took",
                    models.DateTimeField(help_text="When the receiver last took one.", null=True),
                ),
                (
                    "failing_since",
                    models.DateTimeField(
                        help_text="The first failed try since; empty while none fails.", null=True
                    ),
                ),
                ("problem", models.TextField(default="", help_text="Why the last try failed.")),
                (
                    "resumes",
                    models.DateTimeField(
                        help_text="The receiver asked for nothing before this time.", null=True
                    ),
                ),
            ],
            options={"default_permissions": ()},
        ),
    ]
