"""The check of the whole record: rows against seals, seals against the chain, chain against marks.

It goes in batches by number, so that it holds no long transaction, and the same memory at any size.
It ends at the first row that does not fit: after it, the chain proves nothing.
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
    SELECT number, kind, subject::text, digest,
        to_char(sealed AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US+00:00'), link
    FROM conversations_seal WHERE number > %s ORDER BY number LIMIT %s"""

# Evidence that no seal covers and that waits for none. One statement, so that a row that is sealed
# meanwhile is counted once.
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
    SELECT m.id
    FROM conversations_message m LEFT JOIN conversations_snapshot s ON s.id = m.snapshot_id
    WHERE s.conversation_id IS DISTINCT FROM m.conversation_id LIMIT 1"""


def verify(
    keys: Iterable[str] = (),
    tell: Callable[[int], object] = lambda number: None,
    *,
    with_files: bool = False,
) -> Verification:
    """Check the record, and keep what came of it.

    `tell` hears the number of the last seal of each batch. `keys` (hex) are trusted besides the
    gateway's own. Files are read to their end only `with_files`.
    """
    began, problem = datetime.now(UTC), ""
    seals = 0
    try:
        chain = Chain(checkpoints.read_checkpoints(keys))
        while batch := _read_seals(chain.number):
            digests = sealing.read_digests((entry.kind, entry.subject) for entry, _ in batch)
            for entry, link in batch:
                chain.take(entry, link)
                _compare(entry, digests)
                seals = entry.number
            tell(seals)
        chain.end()
        _check_coverage()
        if with_files:
            _check_files()
    except BrokenChain as broken:
        problem = str(broken)
    return Verification.objects.create(began=began, seals=seals, problem=problem)


def _read_seals(number: int) -> list[tuple[SealEntry, bytes]]:
    """Read the seals after this one, each with the link that it claims.

    The ORM would take as long again.
    """
    with connection.cursor() as cursor:
        cursor.execute(SEALS, [number, BATCH])
        return [(SealEntry(*entry), link) for *entry, link in cursor.fetchall()]


def _compare(entry: SealEntry, digests: dict[str, bytes]) -> None:
    """Hold a seal against the digest of its row as the row is now."""
    if digests.get(entry.subject) == entry.digest:
        return
    if entry.subject not in digests:
        raise BrokenChain(f"The {entry} is gone.")
    what = " or one of its messages" if entry.kind == sealing.SNAPSHOT else ""
    raise BrokenChain(f"The {entry}{what} is not what was sealed: it was changed.")


def _check_coverage() -> None:
    """Find evidence outside the chain: rows without a seal, messages without their call."""
    with connection.cursor() as cursor:
        cursor.execute(LEFT_OUT)
        if row := cursor.fetchone():
            raise BrokenChain(
                f"The {row[0]} {row[1]} has no seal and waits for none: it was put in, or its seal "
                "was taken away."
            )
        cursor.execute(STRAY)
        if row := cursor.fetchone():
            raise BrokenChain(
                f"The message {row[0]} belongs to no call of its conversation: it was put in, or "
                "its call was taken away."
            )


def _check_files() -> None:
    """Hold each file against its sha256, by which sealed messages name it."""
    digests = Attachment.objects.values_list("sha256", flat=True).distinct()
    for digest in map(bytes, digests.iterator(chunk_size=BATCH)):
        try:
            with default_storage.open(attachments.storage_name(digest)) as file:
                is_intact = hashlib.file_digest(file, "sha256").digest() == digest
        except FileNotFoundError:
            raise BrokenChain(f"The file with sha256 {digest.hex()} is gone.") from None
        if not is_intact:
            raise BrokenChain(f"The file with sha256 {digest.hex()} was changed.")
