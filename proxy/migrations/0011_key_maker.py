"""Who made a key, and whether its owner accepted it.

Keys that exist go on working. The audit trail tells who made them; owners are asked to keep those
that they did not make themselves, or of which it is not known.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FROM_TRAIL = """
    UPDATE proxy_apikey AS key
    SET accepted = key.created,
        made_by_id = made.actor_id,
        unconfirmed = made.actor_id IS DISTINCT FROM key.owner_id
    FROM proxy_apikey AS same
    LEFT JOIN LATERAL (
        SELECT actor_id FROM conversations_auditevent
        WHERE kind = 'apikey' AND action = 'added' AND subject = same.id::text
        ORDER BY id LIMIT 1
    ) AS made ON true
    WHERE same.id = key.id AND key.accepted IS NULL"""


class Migration(migrations.Migration):
    dependencies = [("proxy", "0010_history_scopes"), ("conversations", "0032_approval")]
    operations = [
        migrations.AddField(
            "apikey",
            "made_by",
            models.ForeignKey(
                settings.AUTH_USER_MODEL,
                django.db.models.deletion.SET_NULL,
                null=True,
                editable=False,
                related_name="+",
                help_text="Empty: it is not known who made the key.",
            ),
        ),
        migrations.AddField(
            "apikey",
            "accepted",
            models.DateTimeField(
                null=True,
                editable=False,
                help_text=(
                    "When its owner made or accepted it, or no owner had to. Empty: it waits."
                ),
            ),
        ),
        migrations.AddField(
            "apikey",
            "unconfirmed",
            models.BooleanField(
                default=False,
                db_default=False,
                editable=False,
                help_text=(
                    "Its owner is asked whether to keep it: another person made it, before 0.2."
                ),
            ),
        ),
        migrations.AddField(
            "apikey",
            "terms",
            models.BinaryField(
                max_length=32,
                null=True,
                editable=False,
                help_text=("The digest of what a second person agrees to. Empty: nobody has to."),
            ),
        ),
        migrations.RunSQL(FROM_TRAIL, migrations.RunSQL.noop),
    ]
