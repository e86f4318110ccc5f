"""A call's cost says where it comes from; llm_logs.usage shows it, as its last column."""

from importlib import import_module

from django.db import migrations, models

CALLS = import_module("conversations.migrations.0024_llm_logs_about")
NOW = CALLS.BEFORE.replace(CALLS.STOOD_IN, CALLS.NAMED)
LAST = ") || '}') END AS response\nFROM conversations_snapshot s"
assert LAST in NOW
USAGE = """
CREATE OR REPLACE VIEW llm_logs.usage AS
SELECT id, user_name, title, response_time, root_gpt_id, kind, status, model, served_model,
    prompt_tokens, completion_tokens, total_tokens, estimated, cost, cost_source
FROM llm_logs.calls;
COMMENT ON VIEW llm_logs.usage IS
    'Every call that ended, without a word of it. title is the job title; cost is in US dollars, '
    'null where no price is known; cost_source is rates (the upstream''s own), list, provider '
    '(stated by it) or estimate (of tokens that nobody counted).';
"""
SHOWN = NOW.replace(LAST, LAST.replace("response", "response, s.cost_source", 1)) + USAGE


class Migration(migrations.Migration):
    dependencies = [("conversations", "0032_approval")]
    operations = [
        migrations.AddField(
            "snapshot",
            "cost_source",
            models.TextField(
                choices=[
                    ("rates", "the upstream's own rates"),
                    ("list", "list price"),
                    ("provider", "stated by the provider"),
                    ("estimate", "estimated tokens"),
                ],
                db_default="",
                help_text="where the cost comes from",
            ),
        ),
        # Not taken back: a view loses a column by DROP only, and its grants go with it.
        migrations.RunSQL(SHOWN),
    ]
