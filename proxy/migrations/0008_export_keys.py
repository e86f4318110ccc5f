"""Where a key may be used from, and how many rows it may export."""

import django.contrib.postgres.fields
from django.db import migrations, models

import proxy.models.key


class Migration(migrations.Migration):
    dependencies = [("proxy", "0007_use_case_model")]
    operations = [
        migrations.AddField(
            "apikey",
            "addresses",
            django.contrib.postgres.fields.ArrayField(
                models.CharField(max_length=50, validators=[proxy.models.key.validate_network]),
                blank=True,
                default=list,
                db_default=[],
                size=None,
                help_text=(
                    "one a line, such as 192.0.2.0/24: from anywhere else the key opens nothing; "
                    "empty: anywhere"
                ),
            ),
        ),
        migrations.AddField(
            "apikey",
            "rows_a_day",
            models.PositiveIntegerField(
                db_default=1_000_000,
                default=1_000_000,
                help_text="that it may export; a day is one of UTC",
            ),
        ),
        migrations.AddField("apikey", "exported_on", models.DateField(editable=False, null=True)),
        migrations.AddField(
            "apikey",
            "exported_rows",
            models.PositiveIntegerField(
                db_default=0, default=0, editable=False, help_text="on that day"
            ),
        ),
    ]
