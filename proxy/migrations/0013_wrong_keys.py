"""Wrong API keys are counted by address; a row lives for an hour."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("proxy", "0012_upstream_no_stream_options")]
    operations = [
        migrations.CreateModel(
            "WrongKeys",
            fields=[
                (
                    "address",
                    models.TextField(
                        help_text="Of IPv6 the network.", primary_key=True, serialize=False
                    ),
                ),
                (
                    "since",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("count", models.BigIntegerField()),
            ],
            options={"default_permissions": ()},
        ),
    ]
