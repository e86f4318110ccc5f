"""Where a request belongs: the conversation that it continues, and which messages it holds.

A conversation that the client names wins: by its root id, or by the client's own session key. It is
looked up among the owner's own conversations only, so another's is as unknown as one that does not
exist. A retry of the same bytes stays with the call that it repeats: the client says that it is
one, or that call failed a moment ago and its key sends it again. Otherwise the longest known path
that ends in a reply names the conversation. User messages alone never do: many people open with
"hi". Where none of these applies, the request begins a conversation.

One query answers all of it: the rows of the replies that the request repeats. They tell the
conversation, how many of the turns are rows already, which replies this gateway relayed (all others
are claims of the client), and which preamble the conversation has. Where the newest reply is not
among them, the client may have trimmed it: then `trimmed` looks for its words. This module only
reads, save for the seed of an owner's first call; locating takes no lock.
"""

import hmac
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from ..aged_cache import AgedCache
from ..database import execute, release
from ..ids import make_id
from ..models import Message, Snapshot, ThreadSeed
from ..shape import Json
from . import threads, words
from .calls import CallRequest, UnknownConversation
from .paths import PathRow
from .trimmed import Scope, TrimmedPath, find_path

RETRIED_WITHIN = timedelta(minutes=15)  # of the opening of a call that a client repeats
FAILED_WITHIN = timedelta(minutes=5)  # of the end of one that it repeats without saying so


class KnownReply(NamedTuple):
    """A row of a reply that a request repeats. All but the conversation may be missing."""

    conversation: UUID
    id: UUID | None
    path_hash: bytes
    origin: str
    echo_of: UUID | None
    preamble: UUID | None  # of the call that brought the reply
    is_reply: bool  # of a model, as text; else a client has sent it
    word_hash: bytes | None  # where it is not the path hash, or not made yet


class RepeatedCall(NamedTuple):
    """A call that a request repeats, if any, and its conversation: a refused one has none."""

    id: UUID | None = None
    conversation: UUID | None = None


@dataclass(slots=True)
class Place:
    """A conversation, and the names that the turns of a request have in it."""

    key: bytes  # of the owner's path hashes
    path: threads.Path
    conversation: UUID | None = None  # none: a call without messages
    is_new: bool = False
    known: int = 0  # so many of the turns are rows already
    recognised: int = 0  # so many there are up to the newest reply that is known
    known_words: words.Known | None = None  # of the newest reply that has some
    word_hashes: list[bytes] = field(default_factory=list)  # of the turns, from known_words on
    preamble: UUID | None = None  # of the call that brought the newest known reply
    # By path hash: the relayed row whose text it is, if it can be read from there.
    relayed: dict[bytes, UUID | None] = field(default_factory=dict)
    retry_of: UUID | None = None  # the snapshot that this call repeats

    def enter(self, conversation: UUID, turns: list[Json]) -> None:
        """Take this conversation for the place, nothing in it being known yet."""
        ids = threads.make_message_ids(self.key, conversation, threads.TURNS, turns)
        self.conversation = conversation
        self.path = threads.Path(ids, self.path.hashes)
        self.preamble = None
        self.known = 0
        self.recognised = 0
        self.relayed = {}


def locate(request: CallRequest, turns: list[Json], opened: datetime) -> Place:
    """Find the place of a request. Raises UnknownConversation where the owner has no such one."""
    key = read_thread_key(request.owner, request.end_user)
    hashes = threads.hash_path(key, threads.TURNS, turns)
    place = Place(key, threads.Path([], hashes))
    root = request.root
    repeated = _find_repeated(request, place.path.hashes, opened)
    if repeated.conversation and (request.is_retry or not request.session_key):
        root = root or repeated.conversation
    _look_up(place, request, turns, root)
    place.word_hashes = words.hash_words(key, turns, place.path.hashes, place.known_words)
    _look_up_words(place, request, turns, is_named=bool(root or request.session_key))
    is_there = repeated.conversation in (None, place.conversation)
    place.retry_of = repeated.id if is_there or request.is_retry else None
    if place.conversation is None:
        if root:
            raise UnknownConversation
        if request.messages:
            place.enter(make_id(opened), turns)
            place.is_new = True
    return place


def read_thread_key(owner: int, end_user: str = "") -> bytes:
    """Return the key of an owner's path hashes; an end user of a shared key has one apart."""
    seed = _seeds.get(owner)
    return hmac.digest(seed, end_user.encode(), "sha256") if end_user else seed


def _look_up(place: Place, request: CallRequest, turns: list[Json], root: UUID | None) -> None:
    """Enter the conversation that is named, or else the one with the longest known path.

    Either is the end user's for whom a shared key speaks: by its column, or by its path hashes.
    """
    replies = [i for i, turn in enumerate(turns) if turn.get("role") == "assistant"]
    is_named = bool(root or request.session_key)
    if not is_named and not (replies and request.threads_by_content):
        return
    sql = NAMED if is_named else CONTINUED
    values = {
        "owner": request.owner,
        "root": root,
        "session_key": None if root else request.session_key,
        "end_user": request.end_user,
    }
    for depths in _list_newest_first(replies):
        hashes = [place.path.hashes[depth] for depth in depths]
        rows = execute(sql, values | {"hashes": hashes}).fetchall()
        repeated = [KnownReply(*row) for row in rows]
        if not repeated:
            continue
        if place.conversation != repeated[0].conversation:
            place.enter(repeated[0].conversation, turns)
        _recognise(place, repeated, depths)
        if place.known:
            return


def _look_up_words(
    place: Place, request: CallRequest, turns: list[Json], *, is_named: bool
) -> None:
    """Follow the recorded path of a history whose newest replies are not known as they came.

    A conversation that is named is the only one that may have it.
    """
    may_look = place.conversation if is_named else request.threads_by_content
    newest = max((i for i, turn in enumerate(turns) if turn.get("role") == "assistant"), default=-1)
    if not may_look or newest < place.recognised:
        return
    scope = Scope(request.owner, place.conversation if is_named else None)
    hashes = place.path.hashes
    if path := find_path(scope, turns, place.word_hashes, hashes, place.recognised):
        _follow(place, path, turns)


def _list_newest_first(replies: list[int]) -> Iterator[list[int]]:
    """Yield the newest replies, and then all, where there are more.

    A known path is known from its root on: mostly one of the newest replies is, and then no
    query has to carry the older ones.
    """
    if len(replies) > 4:
        yield replies[-4:]
    yield replies


def _recognise(place: Place, repeated: list[KnownReply], depths: list[int]) -> None:
    """Note what the place holds of the request: its newest preamble, its replies, its turns."""
    here = [reply for reply in repeated if reply.conversation == place.conversation and reply.id]
    if here:
        place.preamble = here[0].preamble
    for reply in here:
        if reply.origin == Message.Origin.RELAYED:
            text_of = reply.id if reply.is_reply else reply.echo_of
            name = bytes(reply.path_hash)
            place.relayed[name] = place.relayed.get(name) or text_of
    ids = {reply.id for reply in here}
    place.known = next((i + 1 for i in reversed(depths) if place.path.ids[i] in ids), 0)
    names = {bytes(reply.path_hash) for reply in here}
    word_hashes = {bytes(each.path_hash): bytes(each.word_hash) for each in here if each.word_hash}
    for depth in depths:
        name = place.path.hashes[depth]
        if name in names:
            place.recognised = depth + 1
        if name in word_hashes:
            place.known_words = words.Known(depth + 1, word_hashes[name])


def _follow(place: Place, path: TrimmedPath, turns: list[Json]) -> None:
    """Name the turns as the recorded path does that they repeat, and go on below it."""
    if place.conversation != path.conversation:
        place.enter(path.conversation, turns)
    place.preamble = path.preamble
    above: bytes | None = None
    for index, turn in enumerate(turns):
        row = path.rows.get(index)
        above = row.path_hash if row else threads.hash_next(place.key, above, turn)
        place.path.hashes[index] = above
        if row and row.origin == Message.Origin.RELAYED:
            place.relayed.setdefault(above, _find_text(row, turn))
        if row and row.id == place.path.ids[index]:
            place.known = max(place.known, index + 1)


def _find_text(row: PathRow, turn: Json) -> UUID | None:
    """Return the row that has the text of a turn, which repeats this one."""
    text = row.message.get("content")
    is_same = type(text) is str and text.strip() == turn.get("content")
    return (row.echo_of or row.id) if is_same else None


def _find_repeated(request: CallRequest, path: list[bytes], now: datetime) -> RepeatedCall:
    """Find the newest call of the same bytes that this one repeats, and where such a call was."""
    is_told = request.is_retry is True
    if request.is_retry is False or not (is_told or (request.key and request.threads_by_content)):
        return RepeatedCall()
    values = {
        "owner": request.owner,
        "key": request.key,
        "end_user": request.end_user,
        "kind": request.kind,
        "model": request.model,
        "head": path[-1] if path else None,
        "first": make_id(now - RETRIED_WITHIN, first=True),
        "failed": now - FAILED_WITHIN,
    }
    rows = execute(SENT_BEFORE if is_told else FAILED_BEFORE, values).fetchall()
    equal = [
        (snapshot, conversation)
        for snapshot, conversation, salt, commitment in rows
        if sha256(bytes(salt) + request.sent).digest() == bytes(commitment)
    ]
    if not equal or not (is_told or _is_unanswered(request, equal[0][0])):
        return RepeatedCall()
    places = (conversation for _, conversation in equal if conversation)
    return RepeatedCall(equal[0][0], next(places, None))


def _is_unanswered(request: CallRequest, failed: UUID) -> bool:
    """Tell whether nothing repeated a failed call yet: after that, its words are asked anew."""
    later = Snapshot.objects.filter(owner_id=request.owner, id__gt=failed)
    return not later.filter(retry_of=failed).exists()


def _read_seed(owner: int) -> bytes:
    row, _ = ThreadSeed.objects.get_or_create(
        owner_id=owner, defaults={"seed": secrets.token_bytes(32)}
    )
    return bytes(row.seed)


# A seed never changes, but erasure destroys it: no process may go on with it for long.
# A thread that waits for it holds no connection: the one that reads it may need one.
_seeds = AgedCache(_read_seed, fresh=8.0, oldest=10.0, release=release)
# The owner is looked up for each message: a join may be planned over all conversations of
# the owner instead.
CONTINUED = """
    SELECT m.conversation_id, m.id, m.path_hash, m.origin, m.echo_of_id, s.preamble_id,
        m.text IS NOT NULL AND m.parent_id IS NOT DISTINCT FROM s.head_id, w.hash
    FROM conversations_message m
    JOIN conversations_snapshot s ON s.id = m.snapshot_id
    LEFT JOIN conversations_wordhash w ON w.message_id = m.id
    WHERE m.role = 'assistant' AND m.path_hash = ANY(%(hashes)b::bytea[])
        AND (
            SELECT owner_id FROM conversations_conversation WHERE id = m.conversation_id
        ) = %(owner)s
    ORDER BY m.depth DESC, m.id DESC, m.snapshot_id DESC LIMIT 100"""
NAMED = """
    SELECT c.id, m.id, m.path_hash, m.origin, m.echo_of_id, s.preamble_id,
        m.text IS NOT NULL AND m.parent_id IS NOT DISTINCT FROM s.head_id, w.hash
    FROM conversations_conversation c
    LEFT JOIN conversations_message m
        ON m.role = 'assistant' AND m.path_hash = ANY(%(hashes)b::bytea[])
            AND m.conversation_id = c.id
    LEFT JOIN conversations_snapshot s ON s.id = m.snapshot_id
    LEFT JOIN conversations_wordhash w ON w.message_id = m.id
    WHERE c.owner_id = %(owner)s AND c.end_user = %(end_user)s AND NOT c.is_one_call
        AND (c.id = %(root)s::uuid OR c.session_key = %(session_key)s::text)
    ORDER BY m.depth DESC NULLS LAST, m.snapshot_id DESC LIMIT 100"""
# Few calls are repeated, and all are asked about: an index holds those of a key that failed. What
# they asked is compared by its path hash first, and then whole.
FAILED_BEFORE = """
    SELECT s.id, s.conversation_id, s.salt, s.commitment
    FROM (
        SELECT id, conversation_id, head_id, salt, commitment FROM conversations_snapshot
        WHERE key = %(key)s AND key <> '' AND status NOT IN ('ok', 'pending')
            AND id >= %(first)s AND closed >= %(failed)s
            AND owner_id = %(owner)s AND end_user = %(end_user)s
            AND kind = %(kind)s AND model = %(model)s AND salt IS NOT NULL
        ORDER BY id DESC LIMIT 200
    ) s
    LEFT JOIN conversations_message m ON m.id = s.head_id
    WHERE s.head_id IS NULL OR m.path_hash = %(head)b::bytea
    ORDER BY s.id DESC LIMIT 20"""
SENT_BEFORE = """
    SELECT id, conversation_id, salt, commitment FROM conversations_snapshot
    WHERE owner_id = %(owner)s AND end_user = %(end_user)s AND kind = %(kind)s
        AND model = %(model)s AND id >= %(first)s AND salt IS NOT NULL
    ORDER BY id DESC LIMIT 20"""
