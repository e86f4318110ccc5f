"""The worker follows the log: each closed call, and each row of other evidence, gets a seal.

A seal is a gapless number and a link: conversations.ledger computes them. One writer holds the
chain, so nothing waits for it on the path of a call; a dead worker delays seals and loses none. The
rows of a batch are handed to FOLLOWERS in the transaction that seals them.

What is sealed of a row is a text that PostgreSQL makes of it, a JSON array of its columns; that of
a call has a digest of each message that the call brought. These texts may never change: verifying
makes them again from the rows. A column that is added later is not in the old seals (LATER).
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import connection, models, transaction

from .. import ledger
from ..models import (
    AuditEvent,
    Case,
    CaseEntry,
    Decision,
    Message,
    Seal,
    Snapshot,
    Unsealed,
)
from ..record import attachments

BATCH = 500
LOCK = 0x67775EA1  # our number among PostgreSQL's advisory locks
SNAPSHOT, DECISION = str(Snapshot._meta.model_name), str(Decision._meta.model_name)
# By the kind of the rows whose ids they take. Filled by conversations.apps.
FOLLOWERS: dict[str, list[Callable[[list[UUID]], object]]] = {}
NOTHING = ledger.compute_digest("")

log = logging.getLogger(__name__)


def _columns(model: type[models.Model], table: str, names: str) -> str:
    """Write each column in a form that depends on no setting of a session."""
    forms = {
        models.DateTimeField: "{} AT TIME ZONE 'UTC'",
        models.BinaryField: "encode({}, 'hex')",
        models.GenericIPAddressField: "host({})",
    }
    fields = [model._meta.get_field(name) for name in names.split()]
    columns = [(type(field), field.column) for field in fields]  # type: ignore[union-attr]
    return ", ".join(forms.get(kind, "{}").format(f'{table}."{name}"') for kind, name in columns)


# What is sealed of each row, in this order for good.
SEALED: dict[type[models.Model], str] = {
    Snapshot: """
        id conversation owner key end_user kind status retry_of model served_model upstream params
        preamble head commitment reply response finish_reason upstream_id upstream_request_id
        prompt_tokens completion_tokens estimated cost error_code error address user_agent opened
        first_byte closed classic_id classic use_case attempts""",
    Message: "id conversation parent depth role text raw origin echo_of path_hash",
    Decision: "id conversation reviewer disposition reason note made newest",
    AuditEvent: """
        id at actor actor_name address user_agent action kind subject conversation terms detail""",
    Case: "id name purpose made made_by",
    CaseEntry: "id case author kind conversation text made",
}
# Columns that came later, oldest first, and when they say something. A text goes as far as the last
# of them that does: older seals are as they were before there were such columns.
LATER: dict[type[models.Model], dict[str, str]] = {
    Snapshot: {
        "about": "{} IS NOT NULL",
        "cost_source": "{} <> ''",
        "covers": "{} IS NOT NULL",
    },
    Decision: dict.fromkeys(
        """seen page pages shown messages opened branches uncovered addressee until seconds length
        drawn second_of""".split(),
        "{} IS NOT NULL",
    ),
}
# What no seal holds. A call's `salt` goes with an erasure, `stop` and `process` are of the running
# call; a message is sealed with its call.
LEFT_OUT = {Snapshot: ("salt", "stop", "process"), Message: ("snapshot",)}
CALL = _columns(Snapshot, "c", SEALED[Snapshot])
BROUGHT = "coalesce(brought.digests, '[]')"
MESSAGE = _columns(Message, "m", SEALED[Message])


def _array(model: type[models.Model], table: str, *always: str) -> str:
    """Write the JSON array that is sealed of a row, with as many later columns as it needs."""
    conditions = LATER.get(model, {})
    later = [_columns(model, table, name) for name in conditions]
    text = f"json_build_array({', '.join(always)})"
    for count, condition in enumerate(conditions.values(), 1):
        is_said = condition.format(later[count - 1])
        longer = f"json_build_array({', '.join([*always, *later[:count]])})"
        text = f"CASE WHEN {is_said} THEN {longer} ELSE {text} END"
    return text


# Each statement gives the id of a row, what is sealed of it, when it came about, whether an import
# brought it, whether it names files, and the account of its person. Messages are found by their
# conversation: no index leads from a call to those that it brought.
FILE = f'"{attachments.MARK}"'  # a text that names files has this in it
CALL_TEXTS = f"""
    WITH calls AS MATERIALIZED (
        SELECT * FROM conversations_snapshot WHERE id = ANY(%(ids)s::uuid[])
    ),
    brought AS MATERIALIZED (
        SELECT m.snapshot_id, json_agg(
            encode(sha256(convert_to(json_build_array({MESSAGE})::text, 'UTF8')), 'hex')
            ORDER BY m.id) AS digests,
            coalesce(bool_or(strpos(m.raw, '{FILE}') > 0), false) AS has_files
        FROM conversations_message m
        WHERE m.conversation_id = ANY(ARRAY(SELECT DISTINCT conversation_id FROM calls))
            AND m.snapshot_id = ANY(%(ids)s::uuid[])
        GROUP BY m.snapshot_id
    )
    SELECT c.id, ({_array(Snapshot, "c", CALL, BROUGHT)})::text, c.closed,
        c.classic_id IS NOT NULL,
        coalesce(brought.has_files, false) OR strpos(c.params, '{FILE}') > 0
            OR strpos(c.response, '{FILE}') > 0 OR coalesce(strpos(c.classic, '{FILE}') > 0, false),
        c.owner_id
    FROM calls c LEFT JOIN brought ON brought.snapshot_id = c.id"""
MESSAGE_TEXTS = f"""
    SELECT m.snapshot_id, json_build_array({MESSAGE})::text FROM conversations_message m
    WHERE m.conversation_id = ANY(ARRAY(
            SELECT DISTINCT conversation_id FROM conversations_snapshot
            WHERE id = ANY(%(ids)s::uuid[])))
        AND m.snapshot_id = ANY(%(ids)s::uuid[])
    ORDER BY m.snapshot_id, m.id"""


def _row_texts(model: type[models.Model], time: str, person: str) -> str:
    return f"""
    SELECT id, ({_array(model, "e", _columns(model, "e", SEALED[model]))})::text, {time}, false,
        false, {person}_id
    FROM {model._meta.db_table} e WHERE id = ANY(%(ids)s::uuid[])"""


TEXTS = {SNAPSHOT: CALL_TEXTS} | {
    str(model._meta.model_name): _row_texts(model, time, person)
    for model, time, person in (
        (Decision, "made", "reviewer"),
        (AuditEvent, "at", "actor"),
        (Case, "made", "made_by"),
        (CaseEntry, "made", "author"),
    )
}


class SealedRow(NamedTuple):
    """A row of evidence as it is now."""

    digest: bytes
    at: float | None  # seconds since 1970: a call's close, a decision's making, an event's time
    is_imported: bool
    has_files: bool
    person: int | None  # the account that called, decided, looked or wrote


def read_texts(subjects: Iterable[tuple[str, UUID]]) -> dict[UUID, str]:
    """Read what is sealed of each row, by its id; rows that are gone are left out."""
    texts: dict[UUID, str] = {}
    with connection.cursor() as cursor:
        for kind, subject_ids in _group_by_kind(subjects).items():
            cursor.execute(
                f"SELECT id, sealed_text FROM ({TEXTS[kind]}) AS sealed (id, sealed_text)",
                {"ids": subject_ids},
            )
            texts.update(cursor.fetchall())
    return texts


def read_digests(subjects: Iterable[tuple[str, UUID | str]]) -> dict[str, bytes]:
    """Read the digest of each text, by the row's id."""
    return {subject: row.digest for subject, row in read_rows(subjects).items()}


def read_rows(subjects: Iterable[tuple[str, UUID | str]]) -> dict[str, SealedRow]:
    """Read what a check needs of each row, by its id.

    PostgreSQL computes what ledger.compute_digest would, so that no text has to come here.
    """
    rows: dict[str, SealedRow] = {}
    with connection.cursor() as cursor:
        for kind, subject_ids in _group_by_kind(subjects).items():
            cursor.execute(
                f"""SELECT id::text, sha256(convert_to(sealed_text, 'UTF8')),
                    extract(epoch FROM at)::float8, imported, files, person
                FROM ({TEXTS[kind]}) AS sealed (id, sealed_text, at, imported, files, person)""",
                {"ids": subject_ids},
            )
            rows.update((row[0], SealedRow._make(row[1:])) for row in cursor.fetchall())
    return rows


def read_message_texts(calls: Iterable[UUID]) -> dict[UUID, list[str]]:
    """Read what is sealed of the messages of each call, in the order of their digests."""
    texts: dict[UUID, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(MESSAGE_TEXTS, {"ids": list(calls)})
        for call, text in cursor.fetchall():
            texts.setdefault(call, []).append(text)
    return texts


def seal() -> int:
    """Seal what was closed, oldest first, up to a batch, and hand its rows to FOLLOWERS.

    Returns the number of rows; 0 also where another worker holds the chain.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                return 0
        waiting = list(Unsealed.objects.order_by("id")[:BATCH])
        if not waiting:
            return 0
        Seal.objects.bulk_create(_make_seals(waiting))
        for kind, followers in FOLLOWERS.items():
            if subjects := [row.subject for row in waiting if row.kind == kind]:
                for follow in followers:
                    follow(subjects)
        Unsealed.objects.filter(id__in=[row.id for row in waiting]).delete()
    return len(waiting)


def _make_seals(waiting: list[Unsealed]) -> list[Seal]:
    """Extend the chain by these rows. A row that is gone is sealed as NOTHING: verify says so."""
    digests = read_digests((row.kind, row.subject) for row in waiting)
    newest = Seal.objects.order_by("-number").first()
    last, link = (newest.number, bytes(newest.link)) if newest else (0, b"")
    now = datetime.now(UTC)
    seals = []
    for number, row in enumerate(waiting, last + 1):
        new = Seal(
            number=number,
            kind=row.kind,
            subject=row.subject,
            digest=digests.get(str(row.subject), NOTHING),
            sealed=now,
        )
        new.link = link = ledger.compute_link(link, new.entry)
        seals.append(new)
    return seals


def export_lines(first: int, last: int, *, with_texts: bool = False) -> Iterator[bytes]:
    """Yield a range of the chain in the form that conversations.ledger reads.

    With the texts, its reader can hold the rows against it.
    """
    start = first
    before = Seal.objects.filter(number=first - 1).values_list("link", flat=True).first()
    while seals := list(
        Seal.objects.filter(number__range=(first, min(last, first + BATCH - 1))).order_by("number")
    ):
        texts = read_texts((each.kind, each.subject) for each in seals) if with_texts else {}
        for each in seals:
            line = each.entry._asdict() | {
                "digest": bytes(each.digest).hex(),
                "link": bytes(each.link).hex(),
            }
            if each.number == start:
                line["before"] = bytes(before or b"").hex()
            if each.subject in texts:
                line["text"] = texts[each.subject]
            yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        first = seals[-1].number + 1


def measure_backlog() -> tuple[int, timedelta]:
    """Count the rows that wait for their seal, up to a hundred thousand; and the oldest's wait."""
    with connection.cursor() as cursor:
        cursor.execute(BACKLOG)
        count, age = cursor.fetchone()
    return count, age or timedelta()


BACKLOG = """
    SELECT count(*), now() - min(closed)
    FROM (SELECT closed FROM conversations_unsealed ORDER BY id LIMIT 100000) waiting"""


def _group_by_kind(subjects: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    by_kind: dict[str, list[Any]] = {}
    for kind, subject in subjects:
        if kind in TEXTS:
            by_kind.setdefault(kind, []).append(subject)
    return by_kind
