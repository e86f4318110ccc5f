"""A service account accepts nothing: its keys work as long as it is a program's, and no longer."""

from django.db import migrations, models

TAKE_BACK = """
    UPDATE proxy_apikey AS key
    SET accepted = NULL
    FROM conversations_user AS account
    WHERE account.id = key.owner_id AND account.is_service AND key.made_by_id <> key.owner_id"""


class Migration(migrations.Migration):
    dependencies = [("proxy", "0014_service_accounts")]
    operations = [
        migrations.RunSQL(TAKE_BACK, migrations.RunSQL.noop),
        migrations.AlterField(
            "apikey",
            "accepted",
            models.DateTimeField(
                null=True,
                editable=False,
                help_text="When its owner made or accepted it. "
                "Empty: it waits, unless for a program's.",
            ),
        ),
    ]
