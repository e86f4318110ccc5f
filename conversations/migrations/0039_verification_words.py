"""What a run of verify confirmed and noted; which key signed checkpoints where, and how far."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0038_word_hash")]

    operations = [
        migrations.AlterField(
            model_name="verification",
            name="problem",
            field=models.TextField(
                blank=True, help_text="what does not fit, a line each; empty where all does"
            ),
        ),
        migrations.AddField(
            model_name="verification",
            name="notes",
            field=models.TextField(
                blank=True,
                db_default="",
                help_text="what is no fault, but must be known; a line each",
            ),
        ),
        migrations.AddField(
            model_name="verification",
            name="confirmed",
            field=models.BigIntegerField(
                help_text="the last seal that a checkpoint confirms; empty: none is", null=True
            ),
        ),
        migrations.AddField(
            model_name="verification",
            name="confirmed_at",
            field=models.DateTimeField(help_text="the time of that checkpoint", null=True),
        ),
        migrations.AddField(
            model_name="verification",
            name="keys",
            field=models.TextField(
                blank=True, db_default="", help_text="public keys that were trusted, a line each"
            ),
        ),
        migrations.AddField(
            model_name="verification",
            name="with_files",
            field=models.BooleanField(
                db_default=False, help_text="every attachment was read to its end"
            ),
        ),
        migrations.CreateModel(
            name="SigningKey",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "key",
                        "place",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("key", models.TextField(help_text="hex")),
                (
                    "place",
                    models.TextField(help_text="the machine, and the file that it appends to"),
                ),
                (
                    "first",
                    models.BigIntegerField(help_text="the first seal that it signed there"),
                ),
                ("since", models.DateTimeField(help_text="when it signed that")),
                (
                    "number",
                    models.BigIntegerField(help_text="the last seal that it signed there"),
                ),
                ("at", models.DateTimeField(help_text="when it signed that")),
            ],
            options={"default_permissions": ()},
        ),
    ]
