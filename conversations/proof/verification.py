"""The check of the whole record: rows against seals, seals against the chain, chain against marks;
then what is kept beside the evidence against the evidence.

It goes in batches by number, so that it holds no long transaction, and the same memory at any size.
It ends at the first row that does not fit: after it, the chain proves nothing. Where the chain
holds, all that is derived from it is checked, and each kind of fault is named.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import IO, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection

from ..ledger import BrokenChain, Chain, SealEntry
from ..models import Verification
from . import derived, files, guards, sealing, views
from .marks import Marks
from .sealing import SealedRow
from .times import Times

BATCH = 2000
MOST = 10  # faults of one kind that are named
Check = Callable[[], Iterable[str]]  # each fault in a sentence
CHECKS: list[Check] = []  # of what other folders derive; filled by conversations.apps
SEALS = """
    SELECT number, kind, subject::text, digest,
        to_char(sealed AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US+00:00'), link,
        extract(epoch FROM sealed)::float8
    FROM conversations_seal WHERE number > %s ORDER BY number LIMIT %s"""

# Evidence that no seal covers and that waits for none. One statement, so that a row that is sealed
# meanwhile is counted once. In an order: for any row, PostgreSQL plans as if it found one at once,
# and goes through all that wait for each row that there is.
LEFT_OUT = """
    SELECT kind, id FROM (
        SELECT 'snapshot' AS kind, id FROM conversations_snapshot WHERE status <> 'pending'
        UNION ALL SELECT 'decision', id FROM conversations_decision
        UNION ALL SELECT 'auditevent', id FROM conversations_auditevent
        UNION ALL SELECT 'case', id FROM conversations_case
        UNION ALL SELECT 'caseentry', id FROM conversations_caseentry) evidence
    WHERE NOT EXISTS (SELECT FROM conversations_seal WHERE subject = evidence.id)
        AND NOT EXISTS (SELECT FROM conversations_unsealed WHERE subject = evidence.id)
    ORDER BY kind, id LIMIT 1"""
# A message is sealed with the call that brought it, so it must stand in that call's conversation.
STRAY = """
    SELECT m.id
    FROM conversations_message m LEFT JOIN conversations_snapshot s ON s.id = m.snapshot_id
    WHERE s.conversation_id IS DISTINCT FROM m.conversation_id ORDER BY m.id LIMIT 1"""


class StoredSeal(NamedTuple):
    entry: SealEntry
    link: bytes  # as it claims
    sealed: float  # seconds since 1970


def verify(
    keys: Iterable[str] = (),
    tell: Callable[[int], object] = lambda number: None,
    *,
    copy: IO[bytes] | None = None,
    with_files: bool = True,
) -> Verification:
    """Check the record, and keep what came of it.

    `tell` hears the number of the last seal of each batch. `keys` (hex) are trusted, and no others;
    none: this machine's own. `copy` are checkpoints that were shipped away; none: those of this
    machine's file. Without `with_files`, attachments are measured and not read.
    """
    marks = Marks(keys, copy)
    run = Verification(
        began=datetime.now(UTC),
        seals=0,
        keys="\n".join(marks.keys),
        with_files=with_files,
        checkpoints=str(getattr(copy, "name", "-") if copy else settings.CHECKPOINT_FILE),
    )
    try:
        chain = Chain(marks.read())
        times = _check_chain(run, chain, tell)
        marks.check_end(chain)
        _check_coverage()
        faults, left_out = _list_faults()
        problems = [*times.list_problems(), *faults]
        notes = [*marks.describe_gap(chain), *times.list_notes(), *left_out]
    except BrokenChain as broken:
        problems, notes = [str(broken)], []
    run.problem, run.notes = "\n".join(problems), "\n".join(notes)
    run.save()
    return run


def _check_chain(run: Verification, chain: Chain, tell: Callable[[int], object]) -> Times:
    """Hold every seal, its row and its files against each other. Raises BrokenChain."""
    named, times = files.Files(with_contents=run.with_files), Times()
    while batch := _read_seals(chain.number):
        rows = sealing.read_rows((seal.entry.kind, seal.entry.subject) for seal in batch)
        naming: dict[UUID, object] = {}
        for entry, link, sealed in batch:
            chain.take(entry, link)
            row = _compare(entry, rows)
            times.take(entry, sealed, row)
            if row.has_files:
                naming[UUID(entry.subject)] = entry
            run.seals = entry.number
            _note_confirmed(run, chain)
        named.check(naming)
        tell(run.seals)
    chain.end()
    return times


def _read_seals(number: int) -> list[StoredSeal]:
    """Read the seals after this one.

    The ORM would take as long again.
    """
    with connection.cursor() as cursor:
        cursor.execute(SEALS, [number, BATCH])
        return [StoredSeal(SealEntry._make(row[:5]), *row[5:]) for row in cursor.fetchall()]


def _compare(entry: SealEntry, rows: dict[str, SealedRow]) -> SealedRow:
    """Hold a seal against the digest of its row as the row is now."""
    row = rows.get(entry.subject)
    if row is None:
        raise BrokenChain(f"The {entry} is gone.")
    if row.digest != entry.digest:
        what = " or one of its messages" if entry.kind == sealing.SNAPSHOT else ""
        raise BrokenChain(f"The {entry}{what} is not what was sealed: it was changed.")
    return row


def _note_confirmed(run: Verification, chain: Chain) -> None:
    if chain.passed and chain.passed.number != run.confirmed:
        run.confirmed = chain.passed.number
        run.confirmed_at = datetime.fromisoformat(chain.passed.at)


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


def _list_faults() -> tuple[list[str], list[str]]:
    """List what does not fit of all that is derived, and what could not be checked."""
    faults: list[str] = []
    left_out: list[str] = []
    for check in (
        guards.check_guards,
        views.check_views,
        files.check_rows,
        derived.check_conversations,
        derived.check_reviews,
        *CHECKS,
    ):
        try:
            found = list(islice(check(), MOST + 1))
        except views.NotChecked as why:
            left_out.append(str(why))
            continue
        faults += found[:MOST]
        if len(found) > MOST:
            faults.append("There are more like the last one.")
    return faults, left_out
