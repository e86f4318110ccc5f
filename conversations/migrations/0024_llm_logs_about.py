"""meta_summarizer_log names the conversation that a call was about."""

from importlib import import_module

from django.db import migrations

VIEWS = import_module("conversations.migrations.0005_llm_logs").VIEWS
BEFORE = VIEWS[
    VIEWS.index("CREATE VIEW llm_logs.calls") : VIEWS.index("CREATE VIEW llm_logs.chatgpt_logs")
].replace("CREATE VIEW", "CREATE OR REPLACE VIEW")
STOOD_IN = """WHEN s.kind = 'metadata' THEN coalesce(c.classic_root, c.id::text)
        END AS orig_summarized_id"""
NAMED = """WHEN s.kind = 'metadata' THEN (
            SELECT coalesce(a.classic_root, a.id::text) FROM conversations_conversation a
            WHERE a.id = coalesce(s.about_id, s.conversation_id)
        ) END AS orig_summarized_id"""
assert STOOD_IN in BEFORE


class Migration(migrations.Migration):
    dependencies = [("conversations", "0023_assessment")]
    operations = [migrations.RunSQL(BEFORE.replace(STOOD_IN, NAMED), BEFORE)]
