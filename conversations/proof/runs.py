"""The runs of the check: one a day by the worker, and one whenever an Auditor wants it.

They are held against the copy of the checkpoints that was shipped away (VERIFY_CHECKPOINTS) where
this machine can read it; else against its own file, and say so: that proves less.
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from ..models import Verification
from . import verification

OLD = timedelta(days=2)  # after which a run says little of today
SLACK = timedelta(minutes=30)  # the run of a day is due a little before a day is over
FILES_EVERY = timedelta(days=7)  # that the worker reads every attachment to its end
BY_WORKER = "the worker"
log = logging.getLogger(__name__)


class Standing(NamedTuple):
    """What is known of the record now: the newest run, and its age; neither where none ever ran."""

    newest: Verification | None
    age: timedelta | None

    @property
    def is_old(self) -> bool:
        return self.age is None or self.age > OLD

    @property
    def is_alarming(self) -> bool:
        return self.newest is None or self.is_old or not self.newest.is_whole


def read_standing() -> Standing:
    newest = Verification.objects.newest()
    return Standing(newest, timezone.now() - newest.ended if newest else None)


def is_due(now: datetime) -> bool:
    """Whether the worker should begin the run of the day."""
    since = now - timedelta(hours=settings.VERIFY_HOURS) + SLACK
    recent = Verification.objects.begun_since(since).of_something()
    return bool(settings.VERIFY_HOURS) and not recent.exists()


def reads_files(now: datetime) -> bool:
    """Whether that run should read every attachment: the first of each week does."""
    recent = Verification.objects.begun_since(now - FILES_EVERY)
    return not recent.filter(with_files=True).exists()


def run(by: str, tell: Callable[[int], object], *, with_files: bool) -> Verification:
    """Check the record, and keep what came of it. `tell` may end it by raising what it likes."""
    name, began = str(settings.VERIFY_CHECKPOINTS), timezone.now()
    try:
        with ExitStack() as stack:
            copy = stack.enter_context(open(name, "rb")) if name else None
            found = verification.verify(
                settings.VERIFY_KEYS, tell, copy=copy, with_files=with_files
            )
    except OSError as problem:
        if not name:
            raise
        words = _("The copy of the checkpoints, %(name)s, cannot be read: %(why)s.")
        text = words % {"name": name, "why": problem.strerror or type(problem).__name__}
        found = Verification(began=began, seals=0, problem=text, checkpoints=name)
    found.by = by
    found.save()
    if found.problem:
        log.error("the record is not whole, or could not be checked: %s", found.problem)
    return found
