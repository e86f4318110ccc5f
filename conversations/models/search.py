"""The search index, beside the record: the worker fills it, so that no call pays for it.

Its rows can be made again from the record at any time. `Reindexing` says how far the worker has
come that makes those of older calls; `Unindexed` names single calls whose words have changed.
"""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.utils.translation import gettext_lazy as _


class SearchEntry(models.Model):
    """The terms of one stretch of what a call brought; each call has one at least."""

    pk = models.CompositePrimaryKey("call_id", "part")
    owner = models.BigIntegerField(help_text=_("whose the call is"))
    part = models.SmallIntegerField(help_text=_("counted from 0, of the call"))
    parts = models.SmallIntegerField(help_text=_("so many entries the call has"))
    for_owner = models.BooleanField(help_text=_("its owner finds it too, and not reviewers alone"))
    call = models.ForeignKey("Snapshot", models.CASCADE, related_name="+", db_index=False)
    message = models.ForeignKey(
        "Message",
        models.CASCADE,
        null=True,
        related_name="+",
        db_index=False,
        help_text=_("whose words they are; empty: of the request beside its messages"),
    )
    conversation = models.ForeignKey("Conversation", models.CASCADE, null=True, related_name="+")
    words = SearchVectorField()

    class Meta:
        db_table = "conversations_searchterms"
        indexes = [GinIndex("words", name="search_terms")]


class Reindexing(models.Model):
    """One row while older calls wait for their entries, newest first; then none."""

    below = models.UUIDField(help_text=_("calls with smaller ids wait"))


class Unindexed(models.Model):
    """A call whose entries have to be made anew, as its conversation has another title."""

    call = models.UUIDField()
