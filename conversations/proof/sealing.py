"""The worker follows the log: every closed call, decision and audit event gets a seal, and the calls are handed to FOLLOWERS.

A seal is a gapless number and a link: conversations.ledger says how they are made. One writer holds the chain, so nothing
waits on the path of a call; a dead worker delays seals, and loses none. What is sealed of a row is a text that PostgreSQL
makes of it, a JSON array of its columns; of a call, with a digest of each message that it brought.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, models, transaction

from .. import ledger
from ..models import AuditEvent, Decision, Message, Seal, Snapshot, Unsealed

BATCH = 500
FOLLOWERS: list[
    Callable[[list[UUID]], object]
] = []  # of the calls of a batch, in its transaction: conversations.apps
LOCK = 0x67775EA1  # of PostgreSQL's advisory locks, ours
SNAPSHOT = Snapshot._meta.model_name
NOTHING = ledger.digest("")

log = logging.getLogger(__name__)


def _columns(model: type[models.Model], table: str, names: str) -> str:
    """Each in a form that depends on no setting of a session."""
    forms = {
        models.DateTimeField: "{} AT TIME ZONE 'UTC'",
        models.BinaryField: "encode({}, 'hex')",
        models.GenericIPAddressField: "host({})",
    }
    fields = [model._meta.get_field(name) for name in names.split()]
    columns = [(type(field), field.column) for field in fields]  # type: ignore[union-attr]
    return ", ".join(forms.get(kind, "{}").format(f'{table}."{name}"') for kind, name in columns)


# What is sealed of each kind. A column that is added later is not in the old seals: it needs a kind of its own.
# (Not in a call's: `salt`, which goes with an erasure; `stop` and `process`, which are of the running call.)
CALL = _columns(
    Snapshot,
    "c",
    """
    id conversation owner key end_user kind status retry_of model served_model upstream params preamble head commitment reply response
    finish_reason upstream_id upstream_request_id prompt_tokens completion_tokens estimated cost error_code error address user_agent
    opened first_byte closed classic_id classic use_case attempts""",
)
BROUGHT = "coalesce(brought.digests, '[]')"
ABOUT = _columns(
    Snapshot, "c", "about"
)  # of those that are about a conversation: the seals of all others are as they were before there were any
MESSAGE = _columns(
    Message, "m", "id conversation parent depth role text raw origin echo_of path_hash"
)
# Found by their conversation: messages have no index on the call that brought them.
TEXTS = {
    SNAPSHOT: f"""
        WITH calls AS MATERIALIZED (SELECT * FROM conversations_snapshot WHERE id = ANY(%(ids)s::uuid[])),
        brought AS MATERIALIZED (
            SELECT m.snapshot_id, json_agg(encode(sha256(convert_to(json_build_array({MESSAGE})::text, 'UTF8')), 'hex') ORDER BY m.id) AS digests
            FROM conversations_message m
            WHERE m.conversation_id = ANY(ARRAY(SELECT DISTINCT conversation_id FROM calls)) AND m.snapshot_id = ANY(%(ids)s::uuid[])
            GROUP BY m.snapshot_id)
        SELECT c.id, CASE WHEN {ABOUT} IS NULL THEN json_build_array({CALL}, {BROUGHT}) ELSE json_build_array({CALL}, {BROUGHT}, {ABOUT}) END::text
        FROM calls c LEFT JOIN brought ON brought.snapshot_id = c.id""",
    **{
        model._meta.model_name: f"""
        SELECT id, json_build_array({_columns(model, "e", names)})::text FROM {model._meta.db_table} e WHERE id = ANY(%(ids)s::uuid[])"""
        for model, names in {
            Decision: "id conversation reviewer disposition reason note made newest",
            AuditEvent: "id at actor actor_name address user_agent action kind subject conversation terms detail",
        }.items()
    },
}

BROUGHT_BY = f"""
    SELECT m.snapshot_id, json_build_array({MESSAGE})::text FROM conversations_message m
    WHERE m.conversation_id = ANY(ARRAY(SELECT DISTINCT conversation_id FROM conversations_snapshot WHERE id = ANY(%(ids)s::uuid[])))
        AND m.snapshot_id = ANY(%(ids)s::uuid[])
    ORDER BY m.snapshot_id, m.id"""


def texts(subjects: Iterable[tuple[str, UUID]]) -> dict[UUID, str]:
    """What is sealed of each row; nothing of one that is not there."""
    found: dict[UUID, str] = {}
    with connection.cursor() as cursor:
        for kind, ids in _by_kind(subjects).items():
            cursor.execute(TEXTS[kind], {"ids": ids})
            found.update(cursor.fetchall())
    return found


def digests(subjects: Iterable[tuple[str, UUID | str]]) -> dict[str, bytes]:
    """What ledger.digest makes of each text, by the row's id; PostgreSQL reckons, so that no text has to come here."""
    found: dict[str, bytes] = {}
    with connection.cursor() as cursor:
        for kind, ids in _by_kind(subjects).items():
            cursor.execute(
                f"SELECT id::text, sha256(convert_to(said, 'UTF8')) FROM ({TEXTS[kind]}) AS sealed (id, said)",
                {"ids": ids},
            )
            found.update(cursor.fetchall())
    return found


def _by_kind(subjects: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    by_kind: dict[str, list[Any]] = {}
    for kind, id in subjects:
        if kind in TEXTS:
            by_kind.setdefault(kind, []).append(id)
    return by_kind


def seal() -> int:
    """Seal what was closed, oldest first, up to a batch, and hand its calls on. How many rows; 0 also where another worker is at it."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                return 0
        waiting = list(Unsealed.objects.order_by("id")[:BATCH])
        if not waiting:
            return 0
        sealed = digests((row.kind, row.subject) for row in waiting)
        last = Seal.objects.order_by("-number").first()
        number, link = (last.number, bytes(last.link)) if last else (0, b"")
        now, seals = datetime.now(UTC), []
        for row in waiting:
            number += 1  # a row that somebody took away meanwhile is sealed as none: verify says so
            made = Seal(
                number=number,
                kind=row.kind,
                subject=row.subject,
                digest=sealed.get(str(row.subject), NOTHING),
                sealed=now,
            )
            made.link = link = ledger.link(link, made.entry)
            seals.append(made)
        Seal.objects.bulk_create(seals)
        if calls := [row.subject for row in waiting if row.kind == SNAPSHOT]:
            for follow in FOLLOWERS:
                follow(calls)
        Unsealed.objects.filter(id__in=[row.id for row in waiting]).delete()
    return len(waiting)


def brought(calls: Iterable[UUID]) -> dict[UUID, list[str]]:
    """What is sealed of the messages that each of these calls brought, in the order of their digests in its text."""
    found: dict[UUID, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(BROUGHT_BY, {"ids": list(calls)})
        for call, text in cursor.fetchall():
            found.setdefault(call, []).append(text)
    return found


def lines(first: int, last: int, *, with_texts: bool = False) -> Iterator[bytes]:
    """A range of the chain as conversations.ledger reads it; with the texts, whoever has them can hold the rows against it."""
    start, before = (
        first,
        bytes(Seal.objects.filter(number=first - 1).values_list("link", flat=True).first() or b""),
    )
    while seals := list(
        Seal.objects.filter(number__range=(first, min(last, first + BATCH - 1))).order_by("number")
    ):
        sealed = texts((seal.kind, seal.subject) for seal in seals) if with_texts else {}
        for seal in seals:
            line = seal.entry._asdict() | {
                "digest": bytes(seal.digest).hex(),
                "link": bytes(seal.link).hex(),
            }
            if seal.number == start:
                line["before"] = before.hex()
            if seal.subject in sealed:
                line["text"] = sealed[seal.subject]
            yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        first = seals[-1].number + 1


def measure_backlog() -> tuple[int, timedelta]:
    """How many rows wait for their seal, counted up to a hundred thousand, and for how long the oldest has."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), now() - min(closed) FROM (SELECT closed FROM conversations_unsealed ORDER BY id LIMIT 100000) waiting"
        )
        count, age = cursor.fetchone()
    return count, age or timedelta()
