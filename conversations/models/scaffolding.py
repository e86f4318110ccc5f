"""Rows that live for seconds: a growing answer, a process, a row that waits for its seal."""

from django.db import models


class Partial(models.Model):
    """A piece of one string of a growing answer.

    The table is unlogged: a crash of PostgreSQL may take it, a crash of the gateway never does.
    """

    pk = models.CompositePrimaryKey("snapshot", "channel", "at")
    snapshot = models.UUIDField()
    channel = models.TextField(
        db_default="", help_text="JSON of the path to this string; empty: the first choice's text"
    )
    at = models.IntegerField(help_text="characters before this piece")
    text = models.TextField()


class Process(models.Model):
    """A gateway process: one that may hold open calls, or a worker.

    Without a beat for 30 seconds, or without a living pid, it is dead.
    """

    class Role(models.TextChoices):
        WEB = "web"
        WORKER = "worker"

    id = models.UUIDField(primary_key=True)
    host = models.TextField()
    pid = models.IntegerField()
    role = models.TextField(choices=Role, db_default=Role.WEB)
    started = models.DateTimeField()
    seen = models.DateTimeField()


class Unsealed(models.Model):
    """A row of evidence that the worker has not sealed yet, in order of closing.

    It is written with that row: by the close of a call, by a trigger for the others.
    """

    kind = models.TextField(db_default="snapshot")
    subject = models.UUIDField()
    closed = models.DateTimeField()
