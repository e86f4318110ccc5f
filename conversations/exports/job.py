"""An export as the worker makes it: the selection first, then rows in parts, then what proves them.

Whatever kills the worker, the next one goes on behind the last rows that were durable: no row is
lost, none is doubled. One process works at an export at a time, by a lock that ends with it.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from zoneinfo import ZoneInfo

import orjson
from django.utils import timezone

from .. import database
from ..ledger import BrokenChain
from ..models import Conversation, Export, Snapshot, User
from ..people.access import may
from ..people.identity import Names
from ..proof import checkpoints
from ..search.calls import CallFilter
from ..search.conversations import ConversationFilter
from . import proof
from .format import Format
from .formats import FORMATS
from .listing import MANIFEST, Altered
from .parts import Parts
from .selection import Chosen, Selection, Stretch

SECONDS_BETWEEN_SAVES = 1.0  # what a killed worker has to do again
SELECTION = "selection"


class ExportStopped(Exception):
    """The worker stops; another goes on."""


class NotPermitted(Exception):
    """Why there is no export; the text is fit to show."""


def run_export(export: Export, leaving: Callable[[], bool] = lambda: False) -> None:
    """Run it to its end, unless another worker is at it. Raises ExportStopped."""
    with lock_export(export) as is_mine:
        if not is_mine:
            return
        export.refresh_from_db()
        try:
            if export.under_way:
                _run(export, leaving)
        except (NotPermitted, Altered, BrokenChain) as problem:
            export.fail(str(problem))
        except OSError as problem:
            reason = os.strerror(problem.errno) if problem.errno else type(problem).__name__
            export.fail(f"The files could not be written: {reason}.")
    export.refresh_from_db()
    if export.state in (Export.State.CANCELLED, Export.State.FAILED):
        export.clear()


def _run(export: Export, leaving: Callable[[], bool]) -> None:
    layout = FORMATS[export.format](Names(check_permission(export)), export.folder)
    chosen = Chosen(export.folder / SELECTION)
    if export.total is None:
        with timezone.override(ZoneInfo(export.zone)):
            total = chosen.write(select_calls(export), conversations=layout.conversations)
        checkpoints.write_checkpoint(now=True)
        if not export.keep(state=Export.State.RUNNING, began=timezone.now(), total=total):
            return
    is_proven = any(file["name"] == MANIFEST for file in export.files)
    if not is_proven:
        if not write(export, layout, chosen, leaving):
            return
        proof.add_proof(export, layout, chosen)
    chosen.path.unlink(missing_ok=True)  # gone, where a worker was killed here
    export.finish()


def write(export: Export, layout: Format, chosen: Chosen, leaving: Callable[[], bool]) -> bool:
    """Write the rows that are not durable yet. False where it was cancelled meanwhile."""
    finished = export.files and all("sha256" in file for file in export.files)
    if finished and export.taken == export.total:
        return True
    parts, taken = Parts(export.folder, layout, export.files), export.taken
    saved = time.monotonic()
    try:
        for stretch in chosen.stretches(layout.at_once, taken):
            taken += len(stretch.seals)
            for row in layout.rows(without_erased(layout, stretch), export.last):
                parts.write(row)
            if time.monotonic() - saved > SECONDS_BETWEEN_SAVES or leaving():
                if not export.keep(taken=taken, files=parts.sync()):
                    return False
                check_permission(export)
                saved = time.monotonic()
                database.release()
            if leaving():
                raise ExportStopped
        return export.keep(taken=taken, files=parts.end())
    finally:
        parts.close()
        database.release()


def without_erased(layout: Format, stretch: Stretch) -> Stretch:
    """The stretch without rows that were erased since they were chosen."""
    rows = Conversation.objects if layout.conversations else Snapshot.objects
    there = set(rows.filter(id__in=stretch.seals).values_list("id", flat=True))
    seals = {row: number for row, number in stretch.seals.items() if row in there}
    return Stretch(stretch.position, seals)


def check_permission(export: Export) -> User:
    """The owner, whose rights are still those that they were. Raises NotPermitted."""
    owner = User.objects.get(pk=export.owner_id)
    may_export = may(owner, "view_content") and may(owner, "export_content")
    if not may_export or owner.reviews_departments != export.departments:
        raise NotPermitted("The rights of its owner have changed since it was requested.")
    return owner


def select_calls(export: Export) -> Selection:
    """Select what the filter means now, up to the seal at which the export is frozen.

    Raises NotPermitted.
    """
    form_class = ConversationFilter if export.of == "conversations" else CallFilter
    form = form_class(orjson.loads(export.query), check_permission(export))
    if not form.is_valid() or form.cut_short:
        raise NotPermitted(
            "The filter has too many matches by now, or is no longer valid. Choose again."
        )
    calls = form.calls_of_conversations() if isinstance(form, ConversationFilter) else form.calls()
    return Selection(calls, export.after, export.last)


@contextmanager
def lock_export(export: Export) -> Iterator[bool]:
    """Lock the export; whether no other process works at it."""
    path = export.folder.with_suffix(".lock")
    export.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
        os.unlink(path)
