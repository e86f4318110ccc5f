"""The full-text index, beside the messages: the worker fills it, so that no call pays for it."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.utils.translation import gettext_lazy as _


class SearchEntry(models.Model):
    """The words of one stretch of a message's text."""

    pk = models.CompositePrimaryKey("message_id", "part")
    message = models.ForeignKey("Message", models.CASCADE, related_name="+", db_index=False)
    part = models.IntegerField()
    conversation = models.ForeignKey("Conversation", models.CASCADE, related_name="+")
    words = SearchVectorField()
    call = models.UUIDField(
        null=True,
        help_text=_(
            "the call that brought the message; empty for seconds, where an older "
            "worker wrote the row"
        ),
    )

    class Meta:
        indexes = [GinIndex("words", name="search_words"), models.Index("call", name="search_call")]
