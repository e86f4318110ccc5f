"""An export: what was chosen, how far the worker has come, and what lies in its folder.

This is work, not evidence: the audit trail has that. The files lie in EXPORTS_DIR under the id.
`taken` and `files` say what is durable; what a killed worker wrote after that is written again.
"""

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from .user import AnyUser, User


class ExportQuerySet(models.QuerySet["Export"]):
    def owned_by(self, owner: AnyUser) -> "ExportQuerySet":
        """Return the owner's own: content is for the reviewer who chose it."""
        return self.filter(owner=cast(User, owner))

    def newest_first(self) -> "ExportQuerySet":
        return self.order_by("-id")

    def abandoned(self, since: datetime) -> "ExportQuerySet":
        """Return those under way that no worker has worked on since."""
        return self.filter(state__in=Export.UNDER_WAY, seen__lt=since)

    def expire(self, now: datetime) -> None:
        """Let no file of those leave any more whose time is over."""
        expired = self.filter(state=Export.State.DONE, expires__lte=now)
        expired.update(state=Export.State.EXPIRED)

    def with_files_to_clear(self) -> "ExportQuerySet":
        """Return those that have ended without files to offer, and have a folder here.

        Each machine may have an EXPORTS_DIR of its own, and clears what it has.
        """
        folders = [path.name for path in settings.EXPORTS_DIR.glob("*-*-*-*-*") if path.is_dir()]
        over = (Export.State.CANCELLED, Export.State.FAILED, Export.State.EXPIRED)
        return self.filter(id__in=folders, state__in=over)


class Export(models.Model):
    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        RUNNING = "running", "running"
        DONE = "done", "done"
        CANCELLED = "cancelled", "cancelled"
        FAILED = "failed", "failed"
        EXPIRED = "expired", "expired"

    UNDER_WAY = (State.WAITING, State.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    departments = ArrayField(
        models.CharField(max_length=150),
        default=list,
        help_text=_("departments that the owner was limited to at that time"),
    )
    asked = models.DateTimeField(default=timezone.now)
    format = models.TextField()
    purpose = models.TextField()
    of = models.TextField(help_text="the list that was filtered: conversations or calls")
    query = models.TextField(
        help_text=_("JSON of the filter's fields, with their dates written out")
    )
    words = models.TextField(help_text="the filter in words")
    zone = models.TextField(help_text=_("time zone of the filter's dates"))
    after = models.BigIntegerField(help_text="seals after this one …")
    last = models.BigIntegerField(help_text="… up to this one: where the export is frozen")

    state = models.TextField(choices=State, default=State.WAITING)
    seen = models.DateTimeField(
        default=timezone.now, help_text=_("when a worker last worked on it")
    )
    total = models.BigIntegerField(null=True, help_text=_("number of chosen rows"))
    taken = models.BigIntegerField(
        default=0, help_text=_("number of rows that are safely in the files")
    )
    files = models.JSONField(
        default=list,
        help_text=_("name, bytes and rows of each file, and its sha256 once it is complete"),
    )
    problem = models.TextField(blank=True, default="")
    began = models.DateTimeField(null=True)
    ended = models.DateTimeField(null=True)
    expires = models.DateTimeField(null=True)
    cleared = models.DateTimeField(null=True, help_text=_("when its files were deleted"))

    objects = ExportQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index("owner", "id", name="export_owner"),
            models.Index("state", name="export_state", condition=~models.Q(state="expired")),
        ]

    def __str__(self) -> str:
        return f"{self.format}, {self.asked:%Y-%m-%d %H:%M}"

    @property
    def folder(self) -> Path:
        return settings.EXPORTS_DIR / str(self.id)

    @property
    def under_way(self) -> bool:
        return self.state in Export.UNDER_WAY

    @property
    def downloadable(self) -> bool:
        return (
            self.state == Export.State.DONE
            and not self.problem
            and self.expires is not None
            and self.expires > timezone.now()
        )

    @property
    def percent(self) -> int:
        """The share of its rows that is written; 100 only once its folder is complete."""
        if self.state == Export.State.DONE:
            return 100
        return min(99, 100 * self.taken // self.total) if self.total else 0

    @property
    def bytes(self) -> int:
        return sum(file["bytes"] for file in self.files)

    def keep(self, **changed: Any) -> bool:
        """Save what is durable by now. False, saving nothing, where it was cancelled meanwhile."""
        changed["seen"] = timezone.now()
        kept = Export.objects.filter(pk=self.pk, state__in=Export.UNDER_WAY).update(**changed)
        self.__dict__ |= changed
        return bool(kept)

    def finish(self) -> bool:
        now = timezone.now()
        return self.keep(
            state=Export.State.DONE, ended=now, expires=now + timedelta(days=settings.EXPORT_DAYS)
        )

    def fail(self, problem: str) -> None:
        self.keep(state=Export.State.FAILED, ended=timezone.now(), problem=problem)

    def cancel(self) -> bool:
        return self.keep(state=Export.State.CANCELLED, ended=timezone.now())

    def distrust(self, problem: str) -> None:
        """Let no file of it leave any more: one of them is not what was signed."""
        self.problem = problem
        Export.objects.filter(pk=self.pk).update(problem=problem)

    def clear(self) -> None:
        """Delete its files, where they are here. The row stays, and says what they were."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
            Export.objects.filter(pk=self.pk).update(cleared=timezone.now())
