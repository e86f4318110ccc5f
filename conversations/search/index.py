"""Full text over messages, in a side table that the worker fills: no call pays for it.

It lags the record by seconds.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import DataError, OperationalError, connection, transaction
from django.db.models import Count, Q
from django.db.models.functions import Length

from ..models import Message, SearchEntry, Snapshot
from ..packs import pack
from ..record import rebuild, threads

TERM = 200  # characters of a query that are read
STRETCH = 100_000  # characters of text in one entry: PostgreSQL's vectors end at 1 MB
TOO_MUCH = ("54000", "22001", "22021")  # PostgreSQL's limits on a vector, a string, an encoding
CAP = 1000  # matches that are sorted; words that have more should be narrowed
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Hit:
    conversation: UUID
    message: UUID
    snippet: list[tuple[str, bool]]  # runs of text, and whether the run matched


class Matches(NamedTuple):
    """Calls that brought a message with the words, and their conversations."""

    pairs: set[tuple[UUID, UUID]]  # conversation, call
    has_more: bool  # than were looked at

    @property
    def conversations(self) -> set[UUID]:
        return {conversation for conversation, _ in self.pairs}

    @property
    def calls(self) -> set[UUID]:
        return {call for _, call in self.pairs}


INDEX = """
    INSERT INTO conversations_searchentry (message_id, part, conversation_id, call, words)
    SELECT id, part, conversation, call, to_tsvector('simple', words)
    FROM unnest(%s::uuid[], %s::int[], %s::uuid[], %s::uuid[], %s::text[])
        AS entry (id, part, conversation, call, words)
    ON CONFLICT DO NOTHING"""

# Most messages are a text and nothing else: their words need not come here first. They are found by
# their conversation: calls have no index there.
INDEX_PLAIN = """
    INSERT INTO conversations_searchentry (message_id, part, conversation_id, call, words)
    SELECT id, 0, conversation_id, snapshot_id,
        to_tsvector('simple', translate(text, U&'\\0001\\0002', '  '))
    FROM conversations_message
    WHERE conversation_id = ANY(%(conversations)s) AND snapshot_id = ANY(%(snapshots)s)
        AND echo_of_id IS NULL AND raw IS NULL AND text <> '' AND length(text) <= %(stretch)s
    ON CONFLICT DO NOTHING"""

# Match first, without an order; sort what matched. The system prompts of use cases
# (MessageQuerySet.for_owner) are found by reviewers only.
FIND = f"""
    WITH matched AS MATERIALIZED (
        SELECT e.message_id, e.part, e.conversation_id FROM conversations_searchentry e
        JOIN conversations_conversation c ON c.id = e.conversation_id
        WHERE e.words @@ websearch_to_tsquery('simple', %(query)s)
            AND (%(owner)s::bigint IS NULL OR (c.owner_id = %(owner)s AND c.shown AND (
                SELECT s.preamble_id IS DISTINCT FROM m.id OR s.use_case = ''
                FROM conversations_message m JOIN conversations_snapshot s ON s.id = m.snapshot_id
                WHERE m.id = e.message_id)))
            AND (%(before)s::uuid IS NULL OR e.conversation_id < %(before)s)
            AND {{with_call}}
        LIMIT {CAP})
    SELECT DISTINCT ON (conversation_id) conversation_id, message_id, part FROM matched
    ORDER BY conversation_id DESC, message_id DESC LIMIT %(limit)s"""

WITH_CALL = """EXISTS (
    SELECT FROM conversations_snapshot s WHERE s.conversation_id = e.conversation_id AND {})"""
CONDITIONS = {
    "model": "s.model = %(model)s",
    "use_case": "s.use_case = %(use_case)s",
    "id__gte": "s.id >= %(id__gte)s",
    "id__lt": "s.id < %(id__lt)s",
}

# The same within what a reviewer chose, newest calls first, up to a cap that counts only what
# matched there. A common word meets the cap soon on the way back through the index of calls; a rare
# one is looked up in the index of words, and the few that it has are sorted.
MATCHING = """
    SELECT e.conversation_id, e.call FROM conversations_searchentry e {join}
    WHERE e.words @@ websearch_to_tsquery('simple', %(query)s)
        AND e.call >= %(since)s AND e.call < %(until)s
    ORDER BY e.call DESC LIMIT %(most)s"""
OF_OWNERS = """
    JOIN conversations_conversation c
        ON c.id = e.conversation_id AND c.owner_id = ANY(%(owners)s::bigint[])"""

# Entries that a worker of an older version wrote have no call.
FILL = """
    UPDATE conversations_searchentry e SET call = m.snapshot_id
    FROM conversations_message m WHERE e.call IS NULL AND m.id = e.message_id"""

# Messages of sealed calls that may lack entries: those with none, and those too long for one.
LACKING = """
    SELECT m.id FROM conversations_message m
    LEFT JOIN conversations_searchentry e ON e.message_id = m.id AND e.part = 0
    WHERE m.id > %(after)s AND m.echo_of_id IS NULL
        AND (e.message_id IS NULL
            OR coalesce(octet_length(m.text), 0) + coalesce(octet_length(m.raw), 0) > %(stretch)s)
        AND EXISTS (SELECT FROM conversations_seal s WHERE s.subject = m.snapshot_id)
    ORDER BY m.id LIMIT %(most)s"""

HEADLINE = """
    SELECT ts_headline(
        'simple', text, websearch_to_tsquery('simple', %s),
        U&'StartSel=\\0001, StopSel=\\0002, MaxWords=24, MinWords=8, MaxFragments=1')
    FROM unnest(%s::text[]) WITH ORDINALITY AS page (text, place) ORDER BY place"""


def index_calls(snapshots: list[UUID]) -> None:
    """Index what these calls brought: all at once, or else one by one.

    A call that is too much for PostgreSQL's text search is left out: no seal waits for a word.
    """
    try:
        with transaction.atomic():
            index_messages(snapshots)
    except (DataError, OperationalError) as problem:
        if getattr(problem.__cause__, "sqlstate", None) not in TOO_MUCH:
            raise
        if len(snapshots) == 1:
            log.error("the words of snapshot %s cannot be indexed", snapshots[0])
            return
        for snapshot in snapshots:
            index_calls([snapshot])


def index_messages(snapshots: list[UUID]) -> None:
    """Index the messages that these calls brought; echoes bring no new words. Idempotent."""
    conversations = list(
        Snapshot.objects.filter(id__in=snapshots)
        .exclude(conversation=None)
        .values_list("conversation", flat=True)
        .distinct()
    )
    brought = Message.objects.filter(
        conversation__in=conversations, snapshot__in=snapshots, echo_of=None
    ).annotate(length=Length("text"))
    replies = brought.filter(origin=Message.Origin.RELAYED).only("id", "snapshot_id", "origin")
    reasoning = rebuild.read_reasoning(replies)
    is_plain = Q(raw=None, length__lte=STRETCH) & ~Q(id__in=list(reasoning))
    others = brought.exclude(is_plain)
    entries = [
        (message.id, part, message.conversation_id, message.snapshot_id, stretch)
        for message in others.iterator(100)
        for part, stretch in enumerate(_stretches(message, reasoning))
    ]
    with connection.cursor() as cursor:
        if entries:
            cursor.execute(INDEX, [list(column) for column in zip(*entries, strict=True)])
        cursor.execute(
            INDEX_PLAIN,
            {"conversations": conversations, "snapshots": snapshots, "stretch": STRETCH},
        )


def find_conversations(
    query: str,
    *,
    owner: int | None = None,
    limit: int = 25,
    before: UUID | None = None,
    **conditions: Any,
) -> list[Hit]:
    """Find the newest conversations in which a message matches (words, "phrase", -word, or).

    One hit for each. With an owner, only the owner's shown ones; with `before`, only those begun
    before that one; with conditions (of CONDITIONS), only those with at least one such call.
    """
    query = _as_query(query)
    if not query:
        return []
    with_call = "true"
    if conditions:
        with_call = WITH_CALL.format(" AND ".join(CONDITIONS[name] for name in conditions))
    with connection.cursor() as cursor:
        cursor.execute(
            FIND.format(with_call=with_call),
            {"query": query, "owner": owner, "limit": limit, "before": before, **conditions},
        )
        rows = cursor.fetchall()
        found = dict(_read_stretches({message: part for _, message, part in rows}))
        texts = [found[message] for _, message, _ in rows]
        cursor.execute(HEADLINE, [query, texts])
        return [
            Hit(conversation, message, _runs(snippet))
            for (conversation, message, _), (snippet,) in zip(rows, cursor.fetchall(), strict=True)
        ]


def _read_stretches(parts: dict[UUID, int]) -> Iterator[tuple[UUID, str]]:
    """Read the stretch of each message; of whole messages as many in one go as memory holds."""
    measured = Message.objects.filter(id__in=parts).without_texts()
    for rows in pack(measured, lambda row: row.size, rebuild.MOST_BYTES):  # type: ignore[attr-defined]
        messages = Message.objects.in_bulk([row.id for row in rows])
        reasoning = rebuild.read_reasoning(messages.values())
        for message, row in messages.items():
            yield message, _stretches(row, reasoning)[parts[message]]


def find_calls(
    query: str, *, owners: list[int] | None, since: UUID | None, until: UUID | None
) -> Matches:
    """Find the newest calls of these owners and ids that brought a matching message."""
    parameters = {
        "query": _as_query(query),
        "owners": owners,
        "since": since or FIRST,
        "until": until or LAST,
        "most": CAP + 1,
    }
    with connection.cursor() as cursor:
        cursor.execute(MATCHING.format(join="" if owners is None else OF_OWNERS), parameters)
        rows = cursor.fetchall()
    return Matches(set(rows[:CAP]), has_more=len(rows) > CAP)


def fill_calls() -> None:
    """Add the call to entries without one. With nothing to fill it costs one look into an index."""
    with connection.cursor() as cursor:
        cursor.execute(FILL)


def list_unindexed() -> Iterator[UUID]:
    """Yield each sealed call that brought words of which the index has no entry.

    A call may come more than once.
    """
    after = FIRST
    while True:
        with connection.cursor() as cursor:
            cursor.execute(LACKING, {"after": after, "stretch": STRETCH, "most": CAP})
            lacking = [message for (message,) in cursor.fetchall()]
        measured = Message.objects.filter(id__in=lacking).without_texts()
        for rows in pack(measured, lambda row: row.size, rebuild.MOST_BYTES):  # type: ignore[attr-defined]
            yield from _list_lacking(Message.objects.in_bulk([row.id for row in rows]))
        if len(lacking) < CAP:
            return
        after = lacking[-1]


def _list_lacking(messages: dict[UUID, Message]) -> Iterator[UUID]:
    """Yield the calls of those messages that have more stretches of words than entries."""
    reasoning = rebuild.read_reasoning(messages.values())
    entries = SearchEntry.objects.filter(message__in=messages).values_list("message")
    counts = dict(entries.annotate(Count("part")).order_by())
    for message in messages.values():
        if len(_stretches(message, reasoning)) > counts.get(message.id, 0):
            yield message.snapshot_id


def check() -> Iterator[str]:
    """Yield each sealed call that search does not find, in a sentence."""
    for call in list_unindexed():
        yield f"The snapshot {call} is not whole in the search index: search does not find it all."


def _as_query(text: str) -> str:
    return text[:TERM].replace("\0", "").strip()


def _stretches(message: Message, reasoning: dict[UUID, str]) -> list[str]:
    whole = threads.put_together(message.role, message.text, message.raw)
    if message.id in reasoning:
        whole["reasoning_content"] = reasoning[message.id]
    text = threads.extract_searchable_text(whole).translate({0: " ", 1: " ", 2: " "})
    return [text[at : at + STRETCH] for at in range(0, len(text), STRETCH)]


def _runs(snippet: str) -> list[tuple[str, bool]]:
    before, *pieces = snippet.split("\1")
    runs = [(before, False)]
    for piece in pieces:
        marked, *rest = piece.split("\2", 1)
        runs += [(marked, True), ("".join(rest), False)]
    return [(text, matched) for text, matched in runs if text]
