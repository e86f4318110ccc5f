"""Evidence is never changed or deleted: the database itself refuses.

The exception is a transaction that said `SET LOCAL gateway.may_erase = 'on'`, which is for
retention and erasure. This stops mistakes; the owner of a table can always take a trigger away, and
against that stands the chain of seals.
"""

from django.db import migrations

WHOLE = ("message", "attachment", "decision", "auditevent", "seal")
REFUSE = """
    CREATE FUNCTION conversations_keep() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF current_setting('gateway.may_erase', true) IS DISTINCT FROM 'on' THEN
            RAISE EXCEPTION '% of % is refused: evidence stays as it is', TG_OP, TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation';
        END IF;
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        RETURN NEW;
    END $$;
"""
GUARD = """
    CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON conversations_{table}
        FOR EACH ROW EXECUTE FUNCTION conversations_keep();
    CREATE TRIGGER keep_all BEFORE TRUNCATE ON conversations_{table}
        EXECUTE FUNCTION conversations_keep();
"""
# A call is opened, then closed once: until then it may change, but not go.
GUARD_CALLS = """
    CREATE TRIGGER keep BEFORE UPDATE ON conversations_snapshot
        FOR EACH ROW WHEN (OLD.status <> 'pending') EXECUTE FUNCTION conversations_keep();
    CREATE TRIGGER keep_row BEFORE DELETE ON conversations_snapshot
        FOR EACH ROW EXECUTE FUNCTION conversations_keep();
    CREATE TRIGGER keep_all BEFORE TRUNCATE ON conversations_snapshot
        EXECUTE FUNCTION conversations_keep();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0014_seal_all_evidence"),
    ]

    operations = [
        migrations.RunSQL(REFUSE, "DROP FUNCTION conversations_keep() CASCADE"),
        migrations.RunSQL(
            "".join(GUARD.format(table=table) for table in WHOLE), migrations.RunSQL.noop
        ),
        migrations.RunSQL(GUARD_CALLS, migrations.RunSQL.noop),
    ]
