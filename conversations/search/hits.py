"""What a search found: the messages of a conversation, and a snippet of each row of a list.

Snippets are content: a page records its reading before it shows any. They are bounded together by
bytes; what is too long has none, and opens at its hit all the same.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from uuid import UUID

import orjson
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, F, Func, OuterRef, Value

from .. import exact_json
from ..models import SearchEntry
from ..people.identity import Names
from ..record import rebuild, threads
from . import entries
from .query import Query, Span, parse
from .snippets import cut_snippet

BYTES = 2 << 20  # of the texts that the snippets of one page are cut from
EACH = 500_000  # bytes of one of them
MOST = 500  # marks in one text

Runs = list[tuple[str, bool]]  # of text, and whether the run matched


class Snippet(NamedTuple):
    call: UUID
    message: UUID | None  # none: beside the messages
    runs: Runs  # none where it is too long


# Of each call the message that was found, with what its response says that the model thought; or
# else the request beside its messages, the reply, and the title.
SNIPPETS = f"""
    ARRAY(
        SELECT json_build_array(call, message, CASE
            WHEN size <= {EACH} AND sum(least(size, {EACH})) OVER (ORDER BY call DESC) <= {BYTES}
            THEN json_build_array(role, text, raw, response, params, title) END)::text
        FROM (
            SELECT *, coalesce(octet_length(text), 0) + coalesce(octet_length(raw), 0)
                + coalesce(octet_length(response), 0) + coalesce(octet_length(params), 0) AS size
            FROM (
                SELECT found.call, found.message, m.role, m.text, m.raw, s.response, c.title,
                    CASE WHEN m.id IS NULL THEN s.params END AS params
                FROM unnest(%(calls)s::uuid[], %(found)s::uuid[]) AS found (call, message)
                LEFT JOIN conversations_message m ON m.id = found.message
                LEFT JOIN conversations_snapshot s ON s.id = found.call AND (m.id IS NULL
                    OR m.origin = 'relayed'
                    AND (s.response LIKE '%%"reasoning%%' OR s.response LIKE '%%"thinking%%'))
                LEFT JOIN conversations_conversation c ON c.id = s.conversation_id AND m.id IS NULL
            ) brought) measured)"""
NO_SNIPPETS = "ARRAY[]::text[]"


def cut_snippets(rows: Iterable[str], words: str, names: Names) -> dict[UUID, Snippet]:
    """Cut the snippet of each call from what SNIPPETS selected."""
    query = parse(words)
    snippets = [_cut(Selected(*orjson.loads(row)), query, names) for row in rows]
    return {snippet.call: snippet for snippet in snippets}


class Selected(NamedTuple):
    """A row of SNIPPETS; without texts where they are too long."""

    call: str
    message: str | None
    parts: list[str | None] | None


class Parts(NamedTuple):
    role: str | None
    text: str | None
    raw: str | None
    response: str | None
    params: str | None
    title: str | None


def _cut(selected: Selected, query: Query, names: Names) -> Snippet:
    message = UUID(selected.message) if selected.message else None
    texts: Iterable[str] = ()
    if selected.parts:
        parts = Parts(*selected.parts)
        texts = _of_message(message, parts, names) if message else _of_request(parts, names)
    return Snippet(UUID(selected.call), message, cut_snippet(texts, query))


# What is searched, without what would name a person to this reader.


def _of_message(message: UUID, parts: Parts, names: Names) -> Iterator[str]:
    whole = names.message(threads.put_together(parts.role or "", parts.text, parts.raw))
    yield from entries.list_strings_of_message(whole)
    if parts.response:
        yield rebuild.find_reasoning(parts.response).get(message, "")


def _of_request(parts: Parts, names: Names) -> Iterator[str]:
    yield parts.title or ""
    params = names.request(exact_json.loads(parts.params or "{}"))
    for strings in entries.list_request_fields(params).values():
        yield from strings
    if parts.response:
        yield from entries.list_reply_strings(exact_json.loads(parts.response))


def select_messages(query: Query, *, hides_people: bool) -> ArraySubquery:
    """Select the messages of a conversation, the outer query's, that hold the words.

    `hides_people` leaves out what pseudonyms hide of them.
    """
    wanted = f"{query} & !'{entries.OF_SENDER}'" if hides_people else str(query)
    holds_words = Func(
        F("words"),
        Value(wanted),
        template="(%(expressions)s::tsquery)",
        arg_joiner=" @@ ",
        output_field=BooleanField(),
    )
    of_conversation = SearchEntry.objects.filter(conversation=OuterRef("pk"))
    found = of_conversation.exclude(message=None).filter(holds_words)
    return ArraySubquery(found.values("message"))


class Finder:
    """Finds the words of a search in the texts of a page, MOST times in each."""

    def __init__(self, words: str) -> None:
        self.query = parse(words)

    def find(self, text: str) -> list[Span]:
        return self.query.find(text)[:MOST]
