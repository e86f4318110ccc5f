"""Upstreams, the models that people know by name, and the routes between them."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.core.validators import MinValueValidator
from django.db import migrations, models

import proxy.models.upstream

POSITIVE, NOT_NEGATIVE = [MinValueValidator(0.1)], [MinValueValidator(0)]
LIST_PRICE = "US$ a million tokens; empty: list price"


def price(name: str) -> models.DecimalField:
    return models.DecimalField(
        name,
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=NOT_NEGATIVE,
        help_text=LIST_PRICE,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("proxy", "0004_submissions"),
    ]

    operations = [
        migrations.CreateModel(
            name="Upstream",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=60, unique=True)),
                (
                    "kind",
                    models.CharField(
                        max_length=40,
                        choices=proxy.models.upstream.kinds,
                        default="openai",
                        help_text="what it speaks",
                    ),
                ),
                (
                    "label",
                    models.CharField(
                        max_length=40,
                        blank=True,
                        help_text=(
                            "the provider's name in the record, such as OPEN_AI; empty: the name"
                        ),
                    ),
                ),
                (
                    "base_url",
                    models.CharField(
                        "address",
                        max_length=500,
                        help_text=(
                            "the root of its API, such as https://api.openai.com/v1; https, or http"
                            " to a host of UPSTREAM_HTTP_HOSTS"
                        ),
                    ),
                ),
                (
                    "secret",
                    models.CharField(
                        "credential",
                        max_length=100,
                        blank=True,
                        help_text=(
                            "the environment variable that holds it, one of UPSTREAM_SECRETS; the "
                            "value is never stored here"
                        ),
                    ),
                ),
                (
                    "api_version",
                    models.CharField(
                        "API version",
                        max_length=40,
                        blank=True,
                        help_text="Azure's, such as 2024-10-21",
                    ),
                ),
                (
                    "region",
                    models.CharField(
                        max_length=40,
                        blank=True,
                        help_text="SageMaker's, where the address does not say it",
                    ),
                ),
                (
                    "first_byte",
                    models.FloatField(
                        null=True,
                        blank=True,
                        validators=POSITIVE,
                        help_text="seconds to its first byte; empty: LLM_TIMEOUT",
                    ),
                ),
                (
                    "silence",
                    models.FloatField(
                        null=True,
                        blank=True,
                        validators=POSITIVE,
                        help_text="seconds of silence in an answer; empty: LLM_STREAM_TIMEOUT",
                    ),
                ),
                (
                    "longest",
                    models.FloatField(
                        null=True,
                        blank=True,
                        validators=POSITIVE,
                        help_text=(
                            "seconds of a whole call, every try counted; empty: LLM_LONGEST_CALL"
                        ),
                    ),
                ),
                (
                    "most_open",
                    models.PositiveIntegerField(
                        null=True,
                        blank=True,
                        validators=[MinValueValidator(1)],
                        help_text=(
                            "calls that each web process has open there at a time; empty: any "
                            "number"
                        ),
                    ),
                ),
                (
                    "enabled",
                    models.BooleanField(default=True, help_text="whether calls are sent there"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Model",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        max_length=200, unique=True, help_text="what people and programs call it"
                    ),
                ),
                (
                    "capabilities",
                    django.contrib.postgres.fields.ArrayField(
                        models.CharField(
                            max_length=20,
                            choices=[
                                ("chat", "chat completions"),
                                ("images", "images"),
                                ("embeddings", "embeddings"),
                            ],
                        ),
                        default=proxy.models.upstream.default_capabilities,
                    ),
                ),
                (
                    "offered",
                    models.BooleanField(
                        "on the pages",
                        default=True,
                        help_text=(
                            "whether the gateway's own pages offer it; programs may use it either "
                            "way"
                        ),
                    ),
                ),
                (
                    "enabled",
                    models.BooleanField(default=True, help_text="whether it may be used at all"),
                ),
                ("made", models.DateTimeField(auto_now_add=True)),
                (
                    "groups",
                    models.ManyToManyField(
                        "auth.group",
                        blank=True,
                        help_text=(
                            "who may use it; nobody chosen: everyone. For all others it does not "
                            "exist"
                        ),
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Route",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "order",
                    models.PositiveSmallIntegerField(default=1, help_text="1 is asked first"),
                ),
                (
                    "upstream_model",
                    models.CharField(
                        "its name there", max_length=200, blank=True, help_text="empty: the same"
                    ),
                ),
                ("prompt_price", price("price of input")),
                ("completion_price", price("price of output")),
                (
                    "model",
                    models.ForeignKey(
                        "proxy.model", django.db.models.deletion.CASCADE, related_name="routes"
                    ),
                ),
                (
                    "upstream",
                    models.ForeignKey(
                        "proxy.upstream",
                        django.db.models.deletion.PROTECT,
                        null=True,
                        blank=True,
                        related_name="routes",
                        help_text="empty: LLM_ENDPOINT of the environment",
                    ),
                ),
            ],
            options={"ordering": ("order", "id")},
        ),
    ]
