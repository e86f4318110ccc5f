"""Use cases: what a person may choose to have a model do. Each is a system prompt, which goes ahead of the question and stays on the server."""

from django.db import models

from conversations import database
from conversations.aged_cache import AgedCache
from conversations.shape import Json

ALL = "all"  # the one key under which they are kept


class UseCase(models.Model):
    """A call keeps the name, and the prompt as its system message: what is changed or deleted here changes no record."""

    name = models.CharField(max_length=60, unique=True)
    description = models.CharField(
        max_length=80, blank=True, help_text="what people read beside the name"
    )
    prompt = models.TextField(
        "system prompt",
        max_length=20_000,
        blank=True,
        help_text="sent ahead of the question, and never shown on a page; empty: nothing is",
    )
    model = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text="chosen along with it, where the person may use it; empty: the one that was chosen before stays",
    )
    order = models.PositiveSmallIntegerField(
        default=0, help_text="place in the list; the first is chosen at the start"
    )
    enabled = models.BooleanField(default=True, help_text="whether it can be chosen")

    def __str__(self) -> str:
        return self.name

    @property
    def preamble(self) -> list[Json]:
        return [{"role": "system", "content": self.prompt}] if self.prompt.strip() else []


def offered() -> list[UseCase]:
    """Those that can be chosen, as they were at most conversations.aged_cache.OLDEST seconds ago."""
    return cached.get(ALL)


def _read(_: str) -> list[UseCase]:
    return list(UseCase.objects.filter(enabled=True).order_by("order", "name"))


cached = AgedCache(_read, release=database.release)
