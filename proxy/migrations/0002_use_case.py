"""Use cases: system prompts that people choose from."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("proxy", "0001_api_keys")]

    operations = [
        migrations.CreateModel(
            name="UseCase",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=60, unique=True)),
                (
                    "description",
                    models.CharField(
                        blank=True, help_text="what people read beside the name", max_length=80
                    ),
                ),
                (
                    "prompt",
                    models.TextField(
                        blank=True,
                        help_text=(
                            "sent ahead of the question, and never shown on a page; empty: nothing "
                            "is"
                        ),
                        max_length=20000,
                        verbose_name="system prompt",
                    ),
                ),
                (
                    "order",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="place in the list; the first is chosen at the start"
                    ),
                ),
                (
                    "enabled",
                    models.BooleanField(default=True, help_text="whether it can be chosen"),
                ),
            ],
        ),
    ]
