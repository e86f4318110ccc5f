"""The worker follows the log: every closed call gets a seal, and its words an entry in the search index.

A seal is a gapless number and a link, sha256(the link before ‖ digest of the row). One writer holds the chain, so
nothing waits on the path of a call; a dead worker delays seals, and loses none.
"""

import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from django.db import DataError, OperationalError, connection, transaction

from . import search
from .models import Seal, Snapshot, Unsealed

BATCH = 500
TOO_MUCH = ("54000", "22001", "22021")  # PostgreSQL's limits on a vector, a string, an encoding
LOCK = 0x67775EA1  # of PostgreSQL's advisory locks, ours
# The columns of a snapshot that stay as they were closed. Its messages are in it through their ids, which are made of every
# word up to them. (`salt` goes with an erasure; `stop` and `process` are of the running call.)
SEALED = (
    "id conversation_id owner_id key end_user kind status retry_of_id model served_model upstream params preamble_id head_id commitment reply_id response "
    "finish_reason upstream_id upstream_request_id prompt_tokens completion_tokens estimated cost error_code error address user_agent opened first_byte closed "
    "classic_id classic"
).split()

log = logging.getLogger(__name__)


def seal() -> int:
    """Seal and index what was closed, oldest first, up to a batch. How many; 0 also where another worker is at it."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                return 0
        waiting = list(Unsealed.objects.order_by("id")[:BATCH])
        if not waiting:
            return 0
        snapshots = Snapshot.objects.in_bulk([row.snapshot for row in waiting])
        last = Seal.objects.order_by("-number").first()
        number, link = (last.number, bytes(last.link)) if last else (0, b"")
        now, seals = datetime.now(UTC), []
        for row in waiting:
            row_digest = digest(snapshots[row.snapshot])
            number, link = number + 1, sha256(link + row_digest).digest()
            seals.append(Seal(number=number, kind="snapshot", subject=row.snapshot, digest=row_digest, link=link, sealed=now))
        Seal.objects.bulk_create(seals)
        _index([row.snapshot for row in waiting])
        Unsealed.objects.filter(id__in=[row.id for row in waiting]).delete()
    return len(waiting)


def backlog() -> tuple[int, timedelta]:
    """How many closed calls wait for their seal, counted up to a hundred thousand, and for how long the oldest has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), now() - min(closed) FROM (SELECT closed FROM conversations_unsealed ORDER BY id LIMIT 100000) waiting")
        count, age = cursor.fetchone()
    return count, age or timedelta()


def _index(snapshots: list[UUID]) -> None:
    """All at once; one by one where one of them is too much for PostgreSQL's text search: no seal waits for a word."""
    try:
        with transaction.atomic():
            search.index(snapshots)
    except (DataError, OperationalError) as problem:
        if getattr(problem.__cause__, "sqlstate", None) not in TOO_MUCH:
            raise
        if len(snapshots) == 1:
            log.error("the words of snapshot %s cannot be indexed", snapshots[0])
            return
        for snapshot in snapshots:
            _index([snapshot])


def digest(snapshot: Snapshot) -> bytes:
    later = [snapshot.use_case] if snapshot.use_case else []  # a row without one keeps the digest that it had before there were use cases
    return sha256(orjson.dumps([_plain(getattr(snapshot, name)) for name in SEALED] + later)).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, Decimal):
        return f"{value:.8f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value if value is None or isinstance(value, int | str) else str(value)
