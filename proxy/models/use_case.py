"""Use cases: what a person may choose to have a model do.

Each is a system prompt, which goes ahead of the question and stays on the server.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from conversations import database
from conversations.aged_cache import AgedCache
from conversations.shape import Json

ALL = "all"  # the one key under which they are kept


class UseCase(models.Model):
    """A system prompt to choose by name.

    A call keeps the name, and the prompt as its system message: a change here changes no record.
    """

    name = models.CharField(max_length=60, unique=True)
    description = models.CharField(
        max_length=80, blank=True, help_text=_("People read it beside the name.")
    )
    prompt = models.TextField(
        _("system prompt"),
        max_length=20_000,
        blank=True,
        help_text=_("Sent before the question and never shown to the person asking. May be empty."),
    )
    model = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text=_(
            "Selected together with the use case, if the person may use it. "
            "Empty: the model that was selected before stays."
        ),
    )
    order = models.PositiveSmallIntegerField(
        default=0, help_text=_("Position in the list. The first is the default.")
    )
    enabled = models.BooleanField(default=True, help_text=_("People can choose it."))

    def __str__(self) -> str:
        return self.name

    @property
    def preamble(self) -> list[Json]:
        return [{"role": "system", "content": self.prompt}] if self.prompt.strip() else []


def list_offered() -> list[UseCase]:
    """Return those to choose from, at most conversations.aged_cache.OLDEST seconds old."""
    return cached.get(ALL)


def _read(key: str) -> list[UseCase]:
    return list(UseCase.objects.filter(enabled=True).order_by("order", "name"))


cached = AgedCache(_read, release=database.release)
