"""Reading conversations is a scope of its own; keys that exist keep what they could."""

import django.contrib.postgres.fields
from django.db import migrations, models

import proxy.models.key

GIVE = """
    UPDATE proxy_apikey SET scopes = scopes || ARRAY['history', 'history:write']::varchar(20)[]
    WHERE NOT scopes && ARRAY['history', 'history:write']::varchar(20)[]"""
TAKE = """
    UPDATE proxy_apikey
    SET scopes = array_remove(array_remove(scopes, 'history'), 'history:write')"""


class Migration(migrations.Migration):
    dependencies = [("proxy", "0009_plain_labels")]
    operations = [
        migrations.AlterField(
            "apikey",
            "scopes",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("chat", "Chat completions"),
                        ("images", "Images"),
                        ("embeddings", "Embeddings"),
                        ("history", "Read conversations"),
                        ("history:write", "Rename and hide conversations"),
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
        migrations.RunSQL(GIVE, TAKE),
    ]
