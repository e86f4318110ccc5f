"""An export as the worker makes it: the selection first, then rows in parts, then what proves them.

Whatever kills the worker, the next one goes on behind the last rows that were durable: nothing is lost, nothing is doubled. One works at an
export at a time, held by a lock that ends with its process.
"""

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from zoneinfo import ZoneInfo

import orjson
from django.utils import timezone

from .. import database
from ..models import Conversation, Export, Snapshot, User
from ..people.access import may
from ..people.identity import Names
from ..proof import checkpoints
from ..search.calls import CallFilter
from ..search.conversations import ConversationFilter
from . import proof
from .format import Format
from .formats import FORMATS
from .parts import Parts
from .selection import Chosen, Selection, Stretch

EVERY = 1.0  # seconds between two records of what is durable: what a killed worker has to do again
SELECTION = "selection"


class ExportStopped(Exception):
    """The worker leaves; another goes on."""


class NotPermitted(Exception):
    """Why there is no export; fit to show."""


def run_export(export: Export, leaving: Callable[[], bool] = lambda: False) -> None:
    """To its end, or to nowhere where another worker is at it. Raises Stopped."""
    with alone(export) as mine:
        if not mine:
            return
        export.refresh_from_db()
        try:
            if export.under_way:
                _run(export, leaving)
        except NotPermitted as problem:
            export.fail(str(problem))
        except OSError as problem:
            export.fail(
                f"The files could not be written: {os.strerror(problem.errno) if problem.errno else type(problem).__name__}."
            )
    export.refresh_from_db()
    if export.state in (Export.State.CANCELLED, Export.State.FAILED):
        export.clear()


def _run(export: Export, leaving: Callable[[], bool]) -> None:
    made = FORMATS[export.format](Names(permitted(export)), export.folder)
    chosen = Chosen(export.folder / SELECTION)
    if export.total is None:
        with timezone.override(ZoneInfo(export.zone)):
            total = chosen.write(selected(export), conversations=made.conversations)
        checkpoints.write_checkpoint(now=True)
        if not export.keep(state=Export.State.RUNNING, began=timezone.now(), total=total):
            return
    if write(export, made, chosen, leaving):
        proof.add(export, made, chosen)
        chosen.path.unlink()
        export.finish()


def write(export: Export, made: Format, chosen: Chosen, leaving: Callable[[], bool]) -> bool:
    """The rows that are not durable yet. False where it was cancelled meanwhile."""
    if (
        export.files
        and all("sha256" in file for file in export.files)
        and export.taken == export.total
    ):
        return True
    parts, taken, kept = (
        Parts(export.folder, made, export.files, made.stem),
        export.taken,
        time.monotonic(),
    )
    try:
        for stretch in chosen.stretches(made.at_once, taken):
            taken += len(stretch.seals)
            for row in made.rows(still_there(made, stretch), export.last):
                parts.write(row)
            if time.monotonic() - kept > EVERY or leaving():
                if not export.keep(taken=taken, files=parts.sync()):
                    return False
                permitted(export)
                kept = time.monotonic()
                database.release()
            if leaving():
                raise ExportStopped
        return export.keep(taken=taken, files=parts.end())
    finally:
        parts.close()
        database.release()


def still_there(made: Format, stretch: Stretch) -> Stretch:
    """Without what was erased since it was chosen."""
    rows = Conversation.objects if made.conversations else Snapshot.objects
    there = set(rows.filter(id__in=stretch.seals).values_list("id", flat=True))
    return Stretch(
        stretch.position, {id: number for id, number in stretch.seals.items() if id in there}
    )


def permitted(export: Export) -> User:
    """The owner, whose rights are still those that they were. Raises NotPermitted."""
    owner = User.objects.get(pk=export.owner_id)
    if (
        not (may(owner, "view_content") and may(owner, "export_content"))
        or owner.reviews_departments != export.departments
    ):
        raise NotPermitted("The rights of whoever asked for it have changed since.")
    return owner


def selected(export: Export) -> Selection:
    """What the filter means now, up to the seal at which the export is frozen. Raises NotPermitted."""
    form = (ConversationFilter if export.of == "conversations" else CallFilter)(
        orjson.loads(export.query), permitted(export)
    )
    if not form.is_valid() or form.cut_short:
        raise NotPermitted("The filter finds too much by now, or is wrong. Choose again.")
    calls = form.calls_of_conversations() if isinstance(form, ConversationFilter) else form.calls()
    return Selection(calls, export.after, export.last)


@contextmanager
def alone(export: Export):
    """Whether nobody else works at it."""
    export.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(
        os.open(export.folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600), "w"
    ) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
        os.unlink(export.folder.with_suffix(".lock"))
