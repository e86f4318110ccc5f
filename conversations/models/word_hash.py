"""Second names of replies, by which a history is found that its client has trimmed."""

from django.db import models


class WordHash(models.Model):
    """The name of a reply that is made of its path's words alone: conversations.record.words.

    A reply whose path cannot be trimmed has none: the name would be its path hash.
    """

    message = models.OneToOneField(
        "Message", models.CASCADE, primary_key=True, related_name="+", db_index=False
    )
    hash = models.BinaryField()

    class Meta:
        indexes = [models.Index("hash", name="word_hash")]


class Unhashed(models.Model):
    """A conversation of before there were word hashes: the worker gives its replies theirs."""

    conversation = models.UUIDField(primary_key=True)
