"""llm_logs shows the tools of a call, which are a row of its conversation, in its request."""

from importlib import import_module

from django.db import migrations

SHOWN = import_module("conversations.migrations.0033_cost_source").SHOWN
CALLS = SHOWN[: SHOWN.index("CREATE OR REPLACE VIEW llm_logs.usage")]
MESSAGES = """THEN '"messages":[' || coalesce(("""
JOINED = """                SELECT string_agg('{' ||
                    llm_logs.message_fields(walk.role, walk.text, walk.raw, echoed.text)
                    || '}', ',' ORDER BY walk.turn, walk.depth)
                FROM walk LEFT JOIN conversations_message echoed ON echoed.id = walk.echo_of_id
                ), '') || ']' END,"""
# Of a preamble alone: a turn with such a role is a caller's, of an older version.
TOOLS = "walk.role = '$tools' AND walk.turn IS NOT TRUE"
BESIDE = """                SELECT concat_ws(',',
                    string_agg(llm_logs.fields(llm_logs.shown(walk.raw)), ',')
                        FILTER (WHERE is_tools),
                    '"messages":[' || coalesce(string_agg('{' ||
                        llm_logs.message_fields(walk.role, walk.text, walk.raw, echoed.text)
                        || '}', ',' ORDER BY walk.turn, walk.depth)
                        FILTER (WHERE NOT (is_tools)), '') || ']')
                FROM walk LEFT JOIN conversations_message echoed ON echoed.id = walk.echo_of_id
                ) END,"""
assert MESSAGES in CALLS
assert JOINED in CALLS
NOW = CALLS.replace(MESSAGES, "THEN (").replace(JOINED, BESIDE.replace("is_tools", TOOLS))


class Migration(migrations.Migration):
    dependencies = [("conversations", "0050_decision_time")]
    operations = [migrations.RunSQL(NOW, CALLS)]
