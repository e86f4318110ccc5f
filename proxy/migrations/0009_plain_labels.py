"""Labels and help texts in plain English: the state alone changes, no row and no column."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.core.validators import MinValueValidator
from django.db import migrations, models

import proxy.models.key
import proxy.models.upstream


class Migration(migrations.Migration):
    dependencies = [("proxy", "0008_export_keys")]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    "apikey",
                    "addresses",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            max_length=50, validators=[proxy.models.key.validate_network]
                        ),
                        blank=True,
                        db_default=[],
                        default=list,
                        help_text=(
                            "Addresses or networks that the key works from, one per line,"
                            " such as 192.0.2.0/24. Leave empty to allow any address."
                        ),
                        size=None,
                    ),
                ),
                migrations.AlterField(
                    "apikey",
                    "exported_rows",
                    models.PositiveIntegerField(
                        db_default=0,
                        default=0,
                        editable=False,
                        help_text="Rows exported on that day.",
                    ),
                ),
                migrations.AlterField(
                    "apikey",
                    "last_used",
                    models.DateTimeField(editable=False, help_text="Exact to a minute.", null=True),
                ),
                migrations.AlterField(
                    "apikey",
                    "prefix",
                    models.CharField(
                        editable=False,
                        help_text="The first characters of the key. They are not secret.",
                        max_length=20,
                        unique=True,
                    ),
                ),
                migrations.AlterField(
                    "apikey",
                    "rows_a_day",
                    models.PositiveIntegerField(
                        db_default=1_000_000,
                        default=1_000_000,
                        help_text="The most rows that the key may export in a day (UTC).",
                        verbose_name="rows per day",
                    ),
                ),
                migrations.AlterField(
                    "apikey",
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("chat", "Chat completions"),
                                ("images", "Images"),
                                ("embeddings", "Embeddings"),
                                ("usage", "Usage figures"),
                                ("export", "Export of the log"),
                            ],
                            max_length=20,
                        ),
                        default=proxy.models.key.default_scopes,
                        size=None,
                        verbose_name="permissions",
                    ),
                ),
                migrations.AlterField(
                    "apikey",
                    "shared",
                    models.BooleanField(
                        default=False,
                        help_text=(
                            "Several people use this key. Each request names the person "
                            "in its `user` field."
                        ),
                    ),
                ),
                migrations.AlterField(
                    "model",
                    "capabilities",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("chat", "Chat completions"),
                                ("images", "Images"),
                                ("embeddings", "Embeddings"),
                            ],
                            max_length=20,
                        ),
                        default=proxy.models.upstream.default_capabilities,
                        size=None,
                    ),
                ),
                migrations.AlterField(
                    "model",
                    "enabled",
                    models.BooleanField(default=True, help_text="It may be used."),
                ),
                migrations.AlterField(
                    "model",
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text=(
                            "Groups that may use this model; it does not exist for anyone"
                            " else. None selected: everyone may use it."
                        ),
                        to="auth.group",
                    ),
                ),
                migrations.AlterField(
                    "model",
                    "name",
                    models.CharField(
                        help_text="The name that people and programs use.",
                        max_length=200,
                        unique=True,
                    ),
                ),
                migrations.AlterField(
                    "model",
                    "offered",
                    models.BooleanField(
                        default=True,
                        help_text=(
                            "The gateway's own pages offer it. Programs may use it in any case."
                        ),
                        verbose_name="on the pages",
                    ),
                ),
                migrations.AlterField(
                    "route",
                    "completion_price",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        help_text="US$ per million tokens. Empty: list price.",
                        max_digits=12,
                        null=True,
                        validators=[MinValueValidator(0)],
                        verbose_name="output price",
                    ),
                ),
                migrations.AlterField(
                    "route",
                    "order",
                    models.PositiveSmallIntegerField(default=1, help_text="1 is tried first."),
                ),
                migrations.AlterField(
                    "route",
                    "prompt_price",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        help_text="US$ per million tokens. Empty: list price.",
                        max_digits=12,
                        null=True,
                        validators=[MinValueValidator(0)],
                        verbose_name="input price",
                    ),
                ),
                migrations.AlterField(
                    "route",
                    "upstream",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: LLM_ENDPOINT from the environment.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="routes",
                        to="proxy.upstream",
                    ),
                ),
                migrations.AlterField(
                    "route",
                    "upstream_model",
                    models.CharField(
                        blank=True,
                        help_text="Empty: the same name.",
                        max_length=200,
                        verbose_name="name at the upstream",
                    ),
                ),
                migrations.AlterField(
                    "submission",
                    "blamed",
                    models.IntegerField(
                        default=0,
                        help_text=(
                            "Failed tries that count against this call: the receiver "
                            "refused it, or took other calls meanwhile."
                        ),
                    ),
                ),
                migrations.AlterField(
                    "submission",
                    "due",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text=(
                            "When the next try begins. During a try: when it counts as lost."
                        ),
                    ),
                ),
                migrations.AlterField(
                    "submission",
                    "number",
                    models.BigIntegerField(
                        help_text="Number of the call's seal.", primary_key=True, serialize=False
                    ),
                ),
                migrations.AlterField(
                    "submission",
                    "problem",
                    models.TextField(default="", help_text="Why the last try failed."),
                ),
                migrations.AlterField(
                    "submission",
                    "tried",
                    models.DateTimeField(help_text="When the last try failed.", null=True),
                ),
                migrations.AlterField(
                    "submission",
                    "tries",
                    models.IntegerField(default=0, help_text="Tries that failed."),
                ),
                migrations.AlterField(
                    "submissionfeed",
                    "number",
                    models.BigIntegerField(help_text="Number of the last seal that was taken up."),
                ),
                migrations.AlterField(
                    "submissionfeed",
                    "resumes",
                    models.DateTimeField(
                        help_text="The receiver asked for no call before this time.", null=True
                    ),
                ),
                migrations.AlterField(
                    "submissionfeed",
                    "took",
                    models.DateTimeField(
                        help_text="When the receiver last took a call.", null=True
                    ),
                ),
                migrations.AlterField(
                    "upstream",
                    "api_version",
                    models.CharField(
                        blank=True,
                        help_text="For Azure only, such as 2024-10-21.",
                        max_length=40,
                        verbose_name="API version",
                    ),
                ),
                migrations.AlterField(
                    "upstream",
                    "base_url",
                    models.CharField(
                        help_text=(
                            "Root of the API, such as https://api.openai.com/v1. Plain "
                            "http is allowed for hosts in UPSTREAM_HTTP_HOSTS only."
                        ),
                        max_length=500,
                        verbose_name="address",
                    ),
                ),
                migrations.AlterField(
                    "upstream",
                    "enabled",
                    models.BooleanField(
                        default=True, help_text="Calls may be sent to this upstream."
                    ),
                ),
                migrations.AlterField(
                    "upstream",
                    "first_byte",
                    models.FloatField(
                        blank=True,
                        help_text=(
                            "Longest wait for the first byte, in seconds. Empty: LLM_TIMEOUT."
                        ),
                        null=True,
                        validators=[MinValueValidator(0.1)],
                    ),
                ),
                migrations.AlterField(
                    "upstream",
                    "kind",
                    models.CharField(
                        choices=proxy.models.upstream.kinds,
                        default="openai",
                        help_text="The API that it offers.",
                        max_length=40,
                    ),
                ),
                migrations.AlterField(
                    "upstream",
                    "label",
                    models.CharField(
                        blank=True,
                        help_text=(
                            "The provider's name in the record, such as OPEN_AI. Empty: "
                            "the name above."
                        ),
                        max_length=40,
                    ),
                ),
                migrations.AlterField(
                    "upstream",
                    "longest",
                    models.FloatField(
                        blank=True,
                        help_text=(
                            "Longest call including all tries, in seconds. Empty: LLM_LONGEST_CALL."
                        ),
                        null=True,
                        validators=[MinValueValidator(0.1)],
                        verbose_name="longest call",
                    ),
                ),
                migrations.AlterField(
                    "upstream",
                    "most_open",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text=(
                            "The most calls that each web process has open at once. "
                            "Empty: no limit."
                        ),
                        null=True,
                        validators=[MinValueValidator(1)],
                        verbose_name="open calls",
                    ),
                ),
                migrations.AlterField(
                    "upstream",
                    "region",
                    models.CharField(
                        blank=True,
                        help_text="For SageMaker only, if the address does not contain it.",
                        max_length=40,
                    ),
                ),
                migrations.AlterField(
                    "upstream",
                    "secret",
                    models.CharField(
                        blank=True,
                        help_text=(
                            "The environment variable that holds it, one of "
                            "UPSTREAM_SECRETS. The value itself is never stored here."
                        ),
                        max_length=100,
                        verbose_name="credential",
                    ),
                ),
                migrations.AlterField(
                    "upstream",
                    "silence",
                    models.FloatField(
                        blank=True,
                        help_text=(
                            "Longest silence during an answer, in seconds. Empty: "
                            "LLM_STREAM_TIMEOUT."
                        ),
                        null=True,
                        validators=[MinValueValidator(0.1)],
                        verbose_name="longest silence",
                    ),
                ),
                migrations.AlterField(
                    "usecase",
                    "description",
                    models.CharField(
                        blank=True, help_text="People read it beside the name.", max_length=80
                    ),
                ),
                migrations.AlterField(
                    "usecase",
                    "enabled",
                    models.BooleanField(default=True, help_text="People can choose it."),
                ),
                migrations.AlterField(
                    "usecase",
                    "model",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text=(
                            "Selected together with the use case, if the person may use "
                            "it. Empty: the model that was selected before stays."
                        ),
                        max_length=200,
                    ),
                ),
                migrations.AlterField(
                    "usecase",
                    "order",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="Position in the list. The first is the default."
                    ),
                ),
                migrations.AlterField(
                    "usecase",
                    "prompt",
                    models.TextField(
                        blank=True,
                        help_text=(
                            "Sent before the question and never shown to the person "
                            "asking. May be empty."
                        ),
                        max_length=20_000,
                        verbose_name="system prompt",
                    ),
                ),
            ]
        )
    ]
