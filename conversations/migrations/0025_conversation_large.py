"""Finds the conversations that took most, for the usage report, without reading all."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import F
from django.db.models.lookups import GreaterThanOrEqual

TOKENS = F("prompt_tokens") + F("completion_tokens")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("conversations", "0024_llm_logs_about")]

    operations = [
        AddIndexConcurrently(
            "conversation",
            models.Index(
                TOKENS.desc(),
                F("id").desc(),
                name="conversation_large",
                condition=models.Q(GreaterThanOrEqual(TOKENS, 20_000)),
            ),
        ),
    ]
