"""Writes the search index: what each closed call brought, in a table that the worker fills.

It lags the record by seconds, and no call pays for it. Entries are made of the record and nothing
else, so they can be made anew: of a call whose conversation was renamed, and of all calls after an
upgrade, newest first, while the worker has nothing else to do.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import DataError, OperationalError, connection, transaction
from django.db.models import OuterRef, QuerySet, Subquery

from .. import exact_json
from ..models import Conversation, Message, Reindexing, Snapshot, Unindexed
from ..packs import pack
from ..record import rebuild
from ..shape import Json
from . import entries

TOO_MUCH = ("54000", "22001", "22021")  # PostgreSQL's limits on a vector, a string, an encoding
AT_ONCE = 100  # older calls that are indexed anew between two looks at the log
MOST_BYTES = 4 << 20  # of texts that are held, unless one call has more
LONG = 200  # characters of a field of a request that is looked for in the calls before it
MOST_PARTS = 2**15 - 1  # entries of one call
log = logging.getLogger(__name__)

SIZES = """
    SELECT c.id, octet_length(c.params) + octet_length(c.response) + coalesce((
        SELECT sum(coalesce(octet_length(m.text), 0) + coalesce(octet_length(m.raw), 0))
        FROM conversations_message m
        WHERE m.conversation_id = c.conversation_id AND m.snapshot_id = c.id), 0)
    FROM conversations_snapshot c WHERE c.id = ANY(%s::uuid[]) ORDER BY c.id"""
KNOWN_FIELDS = """
    SELECT e.conversation_id, lexeme
    FROM conversations_searchterms e, unnest(tsvector_to_array(e.words)) lexeme
    WHERE e.conversation_id = ANY(%s::uuid[]) AND e.message_id IS NULL AND lexeme LIKE '$d%%'
        AND e.call_id <> ALL(%s::uuid[])"""
# In an array: `verify` asks this of all calls, and a list of parameters takes twice the time.
WHOLE = """
    SELECT call_id FROM conversations_searchterms WHERE call_id = ANY(%s::uuid[])
    GROUP BY call_id, parts HAVING count(part) = parts"""
REMOVE = "DELETE FROM conversations_searchterms WHERE call_id = ANY(%s::uuid[])"
WRITE = """
    INSERT INTO conversations_searchterms
        (owner, part, parts, for_owner, call_id, message_id, conversation_id, words)
    SELECT owner, part, parts, for_owner, call, message, conversation, words::tsvector
    FROM unnest(%s::bigint[], %s::smallint[], %s::smallint[], %s::boolean[], %s::uuid[],
            %s::uuid[], %s::uuid[], %s::text[])
        AS entry (owner, part, parts, for_owner, call, message, conversation, words)
    ON CONFLICT DO NOTHING"""  # another worker made the same


@dataclass(slots=True)
class Brought:
    """What some calls brought, as it is read from the record."""

    calls: list[Snapshot]
    messages: dict[UUID, list[Message]] = field(default_factory=lambda: defaultdict(list))
    titles: dict[UUID, str] = field(default_factory=dict)  # by the call that began it
    known: set[tuple[UUID, str]] = field(default_factory=set)  # fields of a conversation's requests


def index_calls(calls: list[UUID]) -> None:
    """Index what these closed calls brought: all at once, or else one by one. Idempotent.

    A call that is too much for PostgreSQL's text search is left out: no seal waits for a word.
    """
    try:
        with transaction.atomic():
            index_messages(calls)
    except (DataError, OperationalError) as problem:
        if getattr(problem.__cause__, "sqlstate", None) not in TOO_MUCH:
            raise
        if len(calls) == 1:
            log.error("the words of snapshot %s cannot be indexed", calls[0])
            return
        for call in calls:
            index_calls([call])


def index_messages(calls: list[UUID]) -> None:
    """Index what these closed calls brought, as many at a time as memory holds."""
    for measured in pack(_measure(calls), lambda call: call[1], MOST_BYTES):
        _write([call for call, _ in measured])


def catch_up() -> int:
    """Index anew what waits for it, some calls at a time, and return how many those were."""
    with transaction.atomic():
        queue = Unindexed.objects.select_for_update(skip_locked=True).order_by("id")
        renamed = list(queue[:AT_ONCE])
        if renamed:
            index_calls(list({each.call for each in renamed}))
            Unindexed.objects.filter(id__in=[each.id for each in renamed]).delete()
        reached = Reindexing.objects.select_for_update(skip_locked=True).first()
        if reached is None:
            return len(renamed)
        older = Snapshot.objects.filter(id__lt=reached.below).order_by("-id")
        waiting = list(older.values_list("id", "status")[:AT_ONCE])
        index_calls([call for call, status in waiting if status != Snapshot.Status.PENDING])
        if len(waiting) < AT_ONCE:
            reached.delete()
        else:
            reached.below = waiting[-1][0]
            reached.save()
    return len(renamed) + len(waiting)


def tell_reach(below: UUID) -> datetime:
    """Return since when calls are searchable, of `Reindexing.below`."""
    milliseconds = min(below.int >> 80, int(datetime.now(UTC).timestamp() * 1000))
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def list_incomplete(calls: Collection[UUID]) -> set[UUID]:
    """Return those of these sealed calls that lack an entry.

    While older calls are indexed anew, those that wait for it are not missed. Nor are the words
    compared: `index_calls` makes them again from the record.
    """
    reached = Reindexing.objects.values_list("below", flat=True).first()
    due = {call for call in calls if reached is None or call >= reached}
    with connection.cursor() as cursor:
        cursor.execute(WHOLE, [list(due)])
        return due - {call for (call,) in cursor.fetchall()}


# Reading and writing ------------------------------------------------------------------------------


def _measure(calls: list[UUID]) -> list[tuple[UUID, int]]:
    """Return the bytes of what each call brought, in their order."""
    with connection.cursor() as cursor:
        cursor.execute(SIZES, [calls])
        return cursor.fetchall()


def _write(ids: list[UUID]) -> None:
    brought = _read(ids)
    rows = [row for call in brought.calls for row in _make_rows(call, brought)]
    with connection.cursor() as cursor:
        cursor.execute(REMOVE, [ids])
        if rows:
            cursor.execute(WRITE, [list(column) for column in zip(*rows, strict=True)])


def _read(ids: list[UUID]) -> Brought:
    calls = list(Snapshot.objects.filter(id__in=ids).order_by("id"))
    brought = Brought(calls)
    conversations = list({call.conversation_id for call in calls if call.conversation_id})
    rows = Message.objects.filter(conversation__in=conversations, snapshot__in=ids)
    for message in rows.order_by("depth", "id"):
        brought.messages[message.snapshot_id].append(message)
    first = Snapshot.objects.filter(conversation=OuterRef("pk")).order_by("id").values("id")[:1]
    begun: QuerySet[Any] = Conversation.objects.filter(id__in=conversations).annotate(
        first=Subquery(first)
    )
    brought.titles = dict(begun.filter(first__in=ids).values_list("first", "title"))
    if conversations:
        with connection.cursor() as cursor:
            cursor.execute(KNOWN_FIELDS, [conversations, ids])
            brought.known.update(cursor.fetchall())
    return brought


def _make_rows(call: Snapshot, brought: Brought) -> Iterator[tuple[Any, ...]]:
    """Make the entries of a call: those of each message that it brought, then of the rest."""
    facts = list(entries.list_facts(call))
    made: list[tuple[bool, UUID | None, str]] = []
    thoughts = _read_thoughts(call)
    for message in brought.messages[call.id]:
        is_hidden = message.role.startswith("$") or (
            message.id == call.preamble_id and bool(call.use_case)
        )
        for said, of_sender in entries.split_message(message):
            texts = list(entries.list_strings_beside(message, said, thoughts))
            if texts:
                vectors = entries.write_vectors(texts, [*_add_suspicion(texts, facts), *of_sender])
                made += [(not is_hidden, message.id, vector) for vector in vectors]
    for texts, more in _list_other_texts(call, brought):
        if texts or not made:
            vectors = entries.write_vectors(texts, [*_add_suspicion(texts, facts), *more])
            made += [(False, None, vector) for vector in vectors]
    for part, (for_owner, message_id, vector) in enumerate(made[:MOST_PARTS]):
        parts = min(len(made), MOST_PARTS)
        place = (call.id, message_id, call.conversation_id)
        yield (call.owner_id, part, parts, for_owner, *place, vector)


def _add_suspicion(texts: list[str], facts: list[str]) -> list[str]:
    return [*facts, entries.SUSPICIOUS] if entries.is_suspicious(texts) else facts


def _read_thoughts(call: Snapshot) -> dict[UUID, str]:
    """Return by row what the model thought before its replies: their rows leave it out."""
    if '"reasoning' in call.response or '"thinking' in call.response:
        return rebuild.find_reasoning(call.response)
    return {}


def _list_other_texts(call: Snapshot, brought: Brought) -> Iterator[tuple[list[str], list[str]]]:
    """Yield what a call said beside its messages, and facts of it; first what pseudonyms show."""
    params: Json = exact_json.loads(call.params)
    texts = [title] if (title := brought.titles.get(call.id)) else []
    if call.response:
        texts += entries.list_reply_strings(exact_json.loads(call.response))
    for said, of_sender in entries.split_request(params):
        more, names = _list_fields(call, said, brought)
        yield [text for text in [*texts, *more] if text], [*names, *of_sender]


def _list_fields(call: Snapshot, said: Json, brought: Brought) -> tuple[list[str], list[str]]:
    """List the strings of a request's fields, and the names of its long ones.

    A field that an earlier call of the conversation has said is not said again.
    """
    texts: list[str] = []
    names: list[str] = []
    for strings in entries.list_request_fields(said).values():
        if call.conversation_id and sum(map(len, strings)) > LONG:
            name = entries.of_field(strings)
            if (call.conversation_id, name) in brought.known:
                continue
            brought.known.add((call.conversation_id, name))
            names.append(name)
        texts += strings
    return texts, names
