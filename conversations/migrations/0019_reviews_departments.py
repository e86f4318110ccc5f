import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0018_attempts")]
    operations = [
        migrations.AddField(
            "user",
            "reviews_departments",
            django.contrib.postgres.fields.ArrayField(
                models.CharField(max_length=150),
                blank=True,
                default=list,
                db_default=[],
                size=None,
                help_text="one a line: a reviewer reads conversations of their people only; "
                "empty: of everybody",
            ),
        )
    ]
