"""Conversations come back whose decision did not see a call that it overlapped.

Older versions took a call for seen whose id was not newer than the newest that was closed: one that
was opened before a decision and closed after it never came back.
"""

from django.db import migrations

REOPEN = """
    UPDATE conversations_review review
    SET state = 'waiting', source = 'reopened', severity = greatest(severity, 2),
        entered = now(), due = now() + interval '3 days', assignee_id = NULL, lease = NULL
    FROM conversations_decision decision
    WHERE review.state = 'decided' AND decision.id = review.decision_id
        AND decision.seen IS NULL AND EXISTS (
            SELECT FROM conversations_snapshot call
            WHERE call.conversation_id = review.conversation_id AND call.status <> 'pending'
                AND NOT (call.id <= decision.newest AND call.closed <= decision.made))"""


class Migration(migrations.Migration):
    dependencies = [("conversations", "0043_decision_coverage")]
    operations = [migrations.RunSQL(REOPEN, migrations.RunSQL.noop)]
