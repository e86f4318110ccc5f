"""An answer that is still on its way: its text so far, and the wish to stop it."""

from uuid import UUID

from ..database import execute
from ..models import Partial, Snapshot


def save_piece(snapshot: UUID, at: int, text: str) -> None:
    """Save a piece of a growing answer; `at` counts the characters before it."""
    execute(GROW, {"snapshot": snapshot, "at": at, "text": text.replace("\0", "\ufffd")})


def read_growth(snapshot: UUID, after: int = 0) -> str:
    """Return what was saved of a growing answer after so many characters of it."""
    return "".join(
        Partial.objects.filter(snapshot=snapshot, at__gte=after)
        .order_by("at")
        .values_list("text", flat=True)
    )


def ask_to_stop(snapshot: UUID) -> None:
    """Mark a pending call as one to stop. The process that runs it reads this within a second."""
    Snapshot.objects.filter(id=snapshot, status=Snapshot.Status.PENDING).update(stop=True)


def find_stopped(snapshots: list[UUID]) -> list[UUID]:
    """Return those of these calls that are to stop."""
    return [row[0] for row in execute(STOPPED, {"ids": snapshots}).fetchall()] if snapshots else []


GROW = """
    INSERT INTO conversations_partial (snapshot, at, text)
    VALUES (%(snapshot)s, %(at)s, %(text)s) ON CONFLICT DO NOTHING"""
STOPPED = "SELECT id FROM conversations_snapshot WHERE id = ANY(%(ids)s::uuid[]) AND stop"
