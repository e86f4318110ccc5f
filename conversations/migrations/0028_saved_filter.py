"""Filters that readers of the desk keep under a name."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0027_search_call")]
    operations = [
        migrations.CreateModel(
            name="SavedFilter",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("page", models.TextField(help_text="the list, by the name of its model")),
                (
                    "name",
                    models.CharField(
                        max_length=100,
                        validators=[django.core.validators.ProhibitNullCharactersValidator()],
                    ),
                ),
                (
                    "query",
                    models.CharField(
                        blank=True,
                        help_text="the form's fields, as a query string",
                        max_length=4000,
                    ),
                ),
                ("made", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        models.F("owner"),
                        models.F("page"),
                        models.F("name"),
                        name="saved_filter_name",
                    )
                ],
            },
        ),
    ]
