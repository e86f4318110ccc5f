"""A call in no conversation can be reviewed: by a row of its own among the conversations."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0046_case")]
    operations = [
        # With a default of the database's own, so that no row is written again.
        migrations.AddField(
            "conversation",
            "is_one_call",
            models.BooleanField(
                db_default=False,
                default=False,
                help_text="the row of a call in no conversation: its id is the call's",
            ),
        ),
        migrations.AlterField(
            "auditevent",
            "conversation",
            models.UUIDField(
                help_text="the conversation that the object is or belongs to, or a call that is in "
                "none",
                null=True,
            ),
        ),
    ]
