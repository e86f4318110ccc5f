"""Decisions and audit events join the chain; a call's seal covers the rows of its messages.

The chain begins anew: older seals said less.
"""

from django.db import migrations, models

AGAIN = """
    DELETE FROM conversations_seal;
    DELETE FROM conversations_unsealed;
    INSERT INTO conversations_unsealed (kind, subject, closed)
    SELECT * FROM (
        SELECT 'snapshot', id, closed FROM conversations_snapshot WHERE status <> 'pending'
        UNION ALL SELECT 'decision', id, made FROM conversations_decision
        UNION ALL SELECT 'auditevent', id, at FROM conversations_auditevent
    ) evidence (kind, id, closed)
    ORDER BY closed, id;
"""
QUEUED = """
    CREATE FUNCTION conversations_await_seal() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO conversations_unsealed (kind, subject, closed)
        VALUES (TG_ARGV[0], NEW.id, now());
        RETURN NULL;
    END $$;
    CREATE TRIGGER await_seal AFTER INSERT ON conversations_decision
        FOR EACH ROW EXECUTE FUNCTION conversations_await_seal('decision');
    CREATE TRIGGER await_seal AFTER INSERT ON conversations_auditevent
        FOR EACH ROW EXECUTE FUNCTION conversations_await_seal('auditevent');
"""
NOT_QUEUED = """
    DROP TRIGGER await_seal ON conversations_decision;
    DROP TRIGGER await_seal ON conversations_auditevent;
    DROP FUNCTION conversations_await_seal();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0013_groups"),
    ]

    operations = [
        migrations.RenameField("unsealed", "snapshot", "subject"),
        migrations.AddField("unsealed", "kind", models.TextField(db_default="snapshot")),
        migrations.AlterField(
            "seal",
            "kind",
            models.TextField(help_text="what was sealed: snapshot, decision, auditevent"),
        ),
        migrations.RunSQL(AGAIN, migrations.RunSQL.noop),
        migrations.RunSQL(QUEUED, NOT_QUEUED),
    ]
