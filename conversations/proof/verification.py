"""Is the record whole? Every seal against its row, every link against the one before, every checkpoint against its link.

In batches by number, so that it holds no long transaction and the same memory at any size. What is found is the first
row that does not fit: after it, the chain proves nothing.
"""

import hashlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from django.core.files.storage import default_storage
from django.db import connection

from ..ledger import BrokenChain, Chain, SealEntry
from ..models import Attachment, Verification
from ..record import attachments
from . import checkpoints, sealing

BATCH = 2000
SEALS = """
    SELECT number, kind, subject::text, digest, to_char(sealed AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US+00:00'), link
    FROM conversations_seal WHERE number > %s ORDER BY number LIMIT %s"""

# Evidence that no seal covers and that waits for none. One statement: what is sealed meanwhile is in it once.
LEFT_OUT = """
    SELECT kind, id FROM (
        SELECT 'snapshot' AS kind, id FROM conversations_snapshot WHERE status <> 'pending'
        UNION ALL SELECT 'decision', id FROM conversations_decision
        UNION ALL SELECT 'auditevent', id FROM conversations_auditevent) evidence
    WHERE NOT EXISTS (SELECT FROM conversations_seal WHERE subject = evidence.id)
        AND NOT EXISTS (SELECT FROM conversations_unsealed WHERE subject = evidence.id)
    LIMIT 1"""
# A message is sealed with the call that brought it, so it must stand in that call's conversation.
STRAY = """
    SELECT m.id FROM conversations_message m LEFT JOIN conversations_snapshot s ON s.id = m.snapshot_id
    WHERE s.conversation_id IS DISTINCT FROM m.conversation_id LIMIT 1"""


def verify(
    keys: Iterable[str] = (),
    tell: Callable[[int], None] = lambda number: None,
    *,
    with_files: bool = False,
) -> Verification:
    """What was found, kept. `tell` hears how far it has come; `keys` are trusted besides the gateway's own; files are read whole."""
    began, seals, problem = datetime.now(UTC), 0, ""
    try:
        chain = Chain(checkpoints.read(keys))
        while batch := after(chain.number):
            digests = sealing.digests((entry.kind, entry.subject) for entry, _ in batch)
            for entry, link in batch:
                chain.take(entry, link)
                if digests.get(entry.subject) != entry.digest:
                    if entry.subject not in digests:
                        raise BrokenChain(f"The {entry} is gone.")
                    what = " or one of its messages" if entry.kind == sealing.SNAPSHOT else ""
                    raise BrokenChain(f"The {entry}{what} is not what was sealed: it was changed.")
                seals = entry.number
            tell(seals)
        chain.end()
        left_out()
        if with_files:
            files()
    except BrokenChain as broken:
        problem = str(broken)
    return Verification.objects.create(began=began, seals=seals, problem=problem)


def after(number: int) -> list[tuple[SealEntry, bytes]]:
    """The next seals, and what each claims to be its link. Not through the ORM: that took half of the time."""
    with connection.cursor() as cursor:
        cursor.execute(SEALS, [number, BATCH])
        return [(SealEntry(*entry), link) for *entry, link in cursor.fetchall()]


def left_out() -> None:
    with connection.cursor() as cursor:
        cursor.execute(LEFT_OUT)
        if row := cursor.fetchone():
            raise BrokenChain(
                f"The {row[0]} {row[1]} has no seal and waits for none: it was put in, or its seal was taken away."
            )
        cursor.execute(STRAY)
        if row := cursor.fetchone():
            raise BrokenChain(
                f"The message {row[0]} belongs to no call of its conversation: it was put in, or its call was taken away."
            )


def files() -> None:
    """Messages name their files by sha256, so the seals cover what those were: here each is held against its name."""
    for digest in (
        Attachment.objects.values_list("sha256", flat=True).distinct().iterator(chunk_size=BATCH)
    ):
        try:
            with default_storage.open(attachments.storage_name(bytes(digest))) as file:
                whole = hashlib.file_digest(file, "sha256").digest() == bytes(digest)
        except FileNotFoundError:
            raise BrokenChain(f"The file with sha256 {bytes(digest).hex()} is gone.") from None
        if not whole:
            raise BrokenChain(f"The file with sha256 {bytes(digest).hex()} was changed.")
