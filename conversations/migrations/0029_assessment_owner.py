"""An assessment names the owner of its conversation: adding up a year reads no conversation."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

OF_ITS_CALL = """
    UPDATE conversations_assessment a SET owner_id = s.owner_id
    FROM conversations_snapshot s WHERE s.id = a.call_id;
    SET CONSTRAINTS ALL IMMEDIATE;"""


def owner(**how):
    return models.ForeignKey(
        settings.AUTH_USER_MODEL,
        django.db.models.deletion.PROTECT,
        db_index=False,
        related_name="+",
        **how,
    )


class Migration(migrations.Migration):
    dependencies = [("conversations", "0028_saved_filter")]
    operations = [
        migrations.AddField("assessment", "owner", owner(null=True)),
        migrations.RunSQL(OF_ITS_CALL, migrations.RunSQL.noop),
        migrations.AlterField("assessment", "owner", owner()),
    ]
