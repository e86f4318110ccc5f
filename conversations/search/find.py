"""Finds calls and conversations by their words, newest first.

One statement goes back in time, through windows of three days and then of more, until it has what
was asked for or its time is over. Within a window the index of the words knows owner, model and
time as it knows words, and begins with the rarest. What the time did not suffice for is said.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils.timezone import now

from ..ids import make_id
from ..models import Message
from ..packs import pack
from ..record import rebuild
from . import entries
from .index import tell_reach
from .query import Query, parse
from .snippets import cut_snippet

PAGE = 25  # conversations of a person's history
CAP = 1000  # calls, or conversations, that a list finds; it goes on from there by its cursor
SECONDS = 2.0  # that a search may take
FEW = 20  # people whose entries the index tells apart; of more each entry is asked
WIDEST = 64  # periods of one window
MOST_WINDOWS = 1000  # of rows that say no more than that a window is empty
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)

# The number of the period of an id (entries.tell_period).
PERIOD = """
    ('x' || left(replace({id}::text, '-', ''), 12))::bit(48)::bigint >> %(period)s"""
END = """
    (SELECT {column} FROM conversations_searchterms WHERE {column} IS NOT NULL
    ORDER BY {column} {way} LIMIT 1)"""
# Windows are told by their distance from where the search begins. Each is read when its turn comes:
# after the time it has no entries. What is MATERIALIZED is planned by itself: no planner walks
# through the order of the calls, in hope of the words.
FIND = """
    WITH RECURSIVE bounds AS MATERIALIZED (
        SELECT greatest({low}, {oldest}) AS low, least({high}, {newest}) AS high,
            (SELECT below FROM conversations_reindexing LIMIT 1) AS below
    ), windows (first, last, width) AS (
        SELECT 0::bigint, 0::bigint, 1 FROM bounds WHERE low <= high
        UNION ALL
        SELECT last + 1, least(last + least(2 * width, {widest}), high - low),
            least(2 * width, {widest})
        FROM windows, bounds WHERE last < high - low
    )
    SELECT bounds.below, w.in_time, w.period, found.*
    FROM bounds LEFT JOIN (
        SELECT clock_timestamp() < statement_timestamp() + %(patience)s AS in_time,
            {first} AS period, (%(wanted)s || ' & (' || (
                SELECT string_agg('''${letter}' || to_hex({each}) || '''', ' | ')
                FROM generate_series(first, last) AS distance
            ) || ')')::tsquery AS wanted
        FROM windows, bounds
    ) w ON true LEFT JOIN LATERAL (
        WITH matched AS MATERIALIZED (
            SELECT e.call_id, e.conversation_id, e.message_id FROM conversations_searchterms e
            {join} WHERE w.in_time AND e.words @@ w.wanted AND {conditions})
        SELECT {columns} FROM matched ORDER BY {order} LIMIT %(most)s
    ) found ON true
    LIMIT %(rows)s"""
OF_SHOWN = "JOIN conversations_conversation c ON c.id = e.conversation_id AND c.shown"
# Of several places a message, where there is one: it is what a reader wants to see.
CALLS = (
    "DISTINCT ON (call_id) call_id, conversation_id, message_id",
    "call_id {way}, message_id NULLS LAST",
)
CONVERSATIONS = (
    "DISTINCT ON (conversation_id) call_id, conversation_id, message_id",
    "conversation_id {way}, call_id DESC, message_id DESC NULLS LAST",
)


OF_OWNERS = "e.owner = ANY(%(owners)s::bigint[])"
OF_PEOPLE = f"""({OF_OWNERS} OR (e.owner = ANY(%(claimants)s::bigint[]) AND EXISTS (
    SELECT FROM conversations_snapshot s WHERE s.id = e.call_id AND (s.owner_id, s.end_user) IN (
        SELECT * FROM unnest(%(claimants)s::bigint[], %(end_users)s::text[])))))"""


@dataclass(slots=True, kw_only=True)
class Scope:
    """Where to look: calls of these ids, owners and columns; and from where on."""

    since: UUID | None = None  # ids of calls
    until: UUID | None = None
    owners: Sequence[int] | None = None
    # With owners, beside them: end users of an account's shared key, by name.
    end_users: Sequence[tuple[int, str]] = ()
    columns: dict[str, str] = field(default_factory=dict)  # of a call: model, upstream, kind …
    by_key: bool | None = None  # through an API key, or not
    suspicious: bool = False  # with hidden characters or words of mixed scripts
    hides_people: bool = False  # without the fields of requests that may name one
    before: UUID | None = None  # calls, or conversations, older than this one
    after: UUID | None = None  # or newer: then the oldest come first
    for_owner: bool = False  # what the owner's own search finds
    conditions: list[str] = field(default_factory=list)  # SQL about the entry `e`
    parameters: dict[str, Any] = field(default_factory=dict)

    def add_condition(self, rows: QuerySet[Any], column: str) -> None:
        """Keep entries whose column is among the one that the rows select.

        They are asked one by one, as they are found: all the rows may be very many.
        """
        sql, values = rows.order_by().query.sql_with_params()
        names = [f"value_{len(self.parameters) + number}" for number, _ in enumerate(values)]
        waiting = iter(names)
        named = re.sub("%s", lambda _: f"%({next(waiting)})s", sql)
        self.conditions.append(
            f"(SELECT true FROM ({named}) chosen (id) WHERE chosen.id = e.{column} LIMIT 1)"
        )
        self.parameters |= dict(zip(names, values, strict=True))


class Found(NamedTuple):
    call: UUID
    conversation: UUID | None
    message: UUID | None  # none: beside the messages


class Matches(NamedTuple):
    """What was found, in its order."""

    found: list[Found]
    has_more: bool = False  # than these
    looked_back_to: datetime | None = None  # where the time was over; None: all was looked at
    since: datetime | None = None  # what is older is indexed anew, and not there yet

    @property
    def conversations(self) -> set[UUID]:
        return {each.conversation for each in self.found if each.conversation}

    @property
    def calls(self) -> set[UUID]:
        return {each.call for each in self.found}


@dataclass(slots=True)
class Hit:
    """A conversation of a person's history, and what was found in it."""

    conversation: UUID
    message: UUID
    snippet: list[tuple[str, bool]]  # runs of text, and whether the run matched


class Hits(NamedTuple):
    hits: list[Hit]
    matches: Matches


def find_calls(query: Query, scope: Scope) -> Matches:
    """Find the newest calls that brought the words."""
    return _find(query, scope, CAP, by_conversation=False)


def find_conversations(query: Query, scope: Scope, most: int = 0) -> Matches:
    """Find the newest conversations with such a call; of each its newest match."""
    return _find(query, scope, most or CAP, by_conversation=True)


def find_hits(words: str, scope: Scope, most: int = PAGE) -> Hits:
    """Find the newest conversations with a message that matches, and a snippet of each."""
    query = parse(words)
    scope.conditions.append("e.message_id IS NOT NULL")
    matches = find_conversations(query, scope, most)
    texts = dict(_read_texts([each.message for each in matches.found if each.message]))
    hits = [
        Hit(each.conversation, each.message, cut_snippet(texts.get(each.message, []), query))
        for each in matches.found
        if each.conversation and each.message
    ]
    return Hits(hits, matches)


def _read_texts(messages: list[UUID]) -> Iterator[tuple[UUID, list[str]]]:
    """Read the strings of each message; as many messages in one go as memory holds."""
    measured = Message.objects.filter(id__in=messages).without_texts()
    for rows in pack(measured, lambda row: row.size, rebuild.MOST_BYTES):  # type: ignore[attr-defined]
        held = Message.objects.in_bulk([row.id for row in rows])
        thoughts = rebuild.read_reasoning(held.values())
        for message in held.values():
            yield message.id, list(entries.list_message_strings(message, thoughts))


def _find(query: Query, scope: Scope, most: int, *, by_conversation: bool) -> Matches:
    if not query and not scope.suspicious:
        return Matches([])
    column = "conversation_id" if by_conversation else "call_id"
    is_back = scope.after is None
    columns, order = CONVERSATIONS if by_conversation else CALLS
    low, high = _bound(scope, by_conversation=by_conversation)
    sql = FIND.format(
        low=PERIOD.format(id="%(low)s"),
        high=PERIOD.format(id="%(high)s"),
        oldest=PERIOD.format(id=END.format(column=column, way="ASC")),
        newest=PERIOD.format(id=END.format(column=column, way="DESC")),
        widest=WIDEST,
        letter=entries.OF_CONVERSATION if by_conversation else entries.OF_CALL,
        first="high - first" if is_back else "low + first",
        each="high - distance" if is_back else "low + distance",
        columns=columns,
        order=order.format(way="DESC" if is_back else "ASC"),
        join=OF_SHOWN if scope.for_owner else "",
        conditions=" AND ".join(_list_conditions(scope, column)),
    )
    parameters: dict[str, Any] = {
        "low": low,
        "high": high,
        "period": entries.PERIOD,
        "wanted": " & ".join(_list_wanted(query, scope, by_conversation=by_conversation)),
        "patience": timedelta(seconds=SECONDS),
        "most": most + 1,
        "rows": most + MOST_WINDOWS,
        "owners": None if scope.owners is None else list(scope.owners),
        "claimants": [account for account, _name in scope.end_users],
        "end_users": [name for _account, name in scope.end_users],
        "since": scope.since or FIRST,
        "until": scope.until or LAST,
        "before": scope.before or LAST,
        "after": scope.after or FIRST,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters | scope.parameters)
        rows = cursor.fetchall()
    found = [Found(*row[3:]) for row in rows if row[3]]
    has_more = len(found) > most
    late = next((period for _, in_time, period, *_ in rows if in_time is False), None)
    return Matches(
        found[:most],
        has_more,
        None if late is None or has_more else _tell_time(late + is_back),
        tell_reach(rows[0][0]) if rows[0][0] else None,
    )


# The statement ------------------------------------------------------------------------------------


def _bound(scope: Scope, *, by_conversation: bool) -> tuple[UUID, UUID]:
    """Return the first and the last id that can have something."""
    low = scope.after or FIRST
    if not by_conversation:  # one that began before these days may have a call in them
        low = max(low, scope.since or FIRST)
    return low, min(scope.before or LAST, scope.until or LAST)


def _list_wanted(query: Query, scope: Scope, *, by_conversation: bool) -> Iterator[str]:
    """Yield what an entry has to have, as parts of a tsquery."""
    if query:
        yield str(query)
    if scope.suspicious:
        yield f"'{entries.SUSPICIOUS}'"
    if scope.hides_people:
        yield f"!'{entries.OF_SENDER}'"
    owners = {*(scope.owners or ()), *(account for account, _name in scope.end_users)}
    if scope.owners is not None and len(owners) <= FEW:
        yield _any(map(entries.of_owner, sorted(owners)))
    for letter, (column, usual) in entries.COLUMNS.items():
        value = scope.columns.get(column)
        if value is not None:
            yield f"!'${letter}'" if value == usual else f"'{entries.of_value(letter, value)}'"
    if scope.by_key is not None:
        yield "'$a'" if scope.by_key else "!'$a'"
    if by_conversation and scope.since:
        first, last = map(entries.tell_period, (scope.since, scope.until or make_id(now())))
        if last - first < WIDEST:
            days = range(first, last + 1)
            yield _any(entries.of_period(entries.OF_CALL, period) for period in days)


def _list_conditions(scope: Scope, column: str) -> Iterator[str]:
    yield "e.call_id >= %(since)s AND e.call_id < %(until)s"
    yield f"e.{column} < %(before)s AND e.{column} > %(after)s"
    if scope.owners is not None:
        yield OF_PEOPLE if scope.end_users else OF_OWNERS
    if scope.for_owner:
        yield "e.for_owner"
    yield from scope.conditions


def _any(facts: Iterable[str]) -> str:
    """Write that one of the facts holds; of none, what no entry has."""
    names = " | ".join(f"'{fact}'" for fact in facts) or "'$'"
    return f"({names})"


def _tell_time(period: int) -> datetime:
    return datetime.fromtimestamp((period << entries.PERIOD) / 1000, UTC)
