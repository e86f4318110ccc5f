"""Where a request hangs: the conversation that it continues, and which of its messages are rows already."""

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from ..aged_cache import AgedCache
from ..database import execute
from ..ids import make_id
from ..models import Message, Snapshot, ThreadSeed
from ..shape import Json
from . import threads
from .calls import CallRequest, UnknownConversation

RETRIED_WITHIN = timedelta(minutes=15)


@dataclass(slots=True)
class Place:
    """A conversation, the ids that a request's turns have in it, and how many of them are rows already."""

    conversation: UUID | None
    ids: list[UUID]
    known: int = 0
    preamble: UUID | None = None  # of the call that brought the newest known reply
    relayed: dict[bytes, UUID] = field(
        default_factory=dict
    )  # path hash → the reply as the gateway relayed it


def locate(
    asked: CallRequest, key: bytes, turns: list[Json], path: list[bytes], root: UUID | None
) -> Place | None:
    """The conversation that the client names; else the longest known path that ends in a reply. None: a new one.

    User messages alone never name a conversation: many people open with "hi"."""
    replies = [i for i, turn in enumerate(turns) if turn.get("role") == "assistant"]
    named = bool(root or asked.session_key)
    if not named and not (replies and asked.by_content):
        return None
    sql = NAMED if named else CONTINUED
    values = {
        "owner": asked.owner,
        "root": root,
        "session_key": None if root else asked.session_key,
    }
    place = None
    # A known path is known from its root on: mostly one of the newest replies is, and the older ones need no look.
    for wanted in (replies[-4:], replies) if len(replies) > 4 else (replies,):
        found = execute(sql, values | {"hashes": [path[i] for i in wanted]}).fetchall()
        if not found:
            continue
        if place is None or place.conversation != found[0][0]:
            place = Place(found[0][0], threads.message_ids(key, found[0][0], threads.TURNS, turns))
        here = [row for row in found if row[0] == place.conversation and row[1]]
        if here:
            place.preamble = here[0][5]
        place.relayed = {
            bytes(path_hash): echo_of or id
            for _, id, path_hash, origin, echo_of, _ in here
            if origin == Message.Origin.RELAYED
        }
        rows = {id for _, id, *_ in here}
        place.known = next((i + 1 for i in reversed(wanted) if place.ids[i] in rows), 0)
        if place.known:
            break
    if place is None and root:
        raise UnknownConversation
    return place


def retried(asked: CallRequest, now: datetime) -> tuple[UUID | None, UUID | None]:
    """The snapshot that this call repeats byte for byte, and its conversation."""
    recent = Snapshot.objects.filter(
        owner_id=asked.owner,
        kind=asked.kind,
        model=asked.model,
        id__gte=make_id(now - RETRIED_WITHIN, first=True),
    )
    recent = recent.exclude(salt=None).order_by("-id")
    for id, conversation, salt, commitment in recent.values_list(
        "id", "conversation_id", "salt", "commitment"
    )[:20]:
        if salt and sha256(bytes(salt) + asked.sent).digest() == bytes(commitment):
            return id, conversation
    return None, None


def read_thread_key(owner: int, end_user: str = "") -> bytes:
    """The key of an owner's path hashes; of one end user's, where an owner speaks for many."""
    seed = _seeds.get(owner)
    return hmac.digest(seed, end_user.encode(), "sha256") if end_user else seed


def _read_seed(owner: int) -> bytes:
    row, _ = ThreadSeed.objects.get_or_create(
        owner_id=owner, defaults={"seed": secrets.token_bytes(32)}
    )
    return bytes(row.seed)


# A seed never changes, but it is destroyed on erasure: no process may go on with it for long.
# The connection is kept: what asks for a seed goes on to write with it.
_seeds = AgedCache(_read_seed, fresh=8.0, oldest=10.0)
# The owner is looked up for each message found: as a join it may be planned over all of the owner's conversations.
CONTINUED = """
    SELECT m.conversation_id, m.id, m.path_hash, m.origin, m.echo_of_id, s.preamble_id
    FROM conversations_message m
    JOIN conversations_snapshot s ON s.id = m.snapshot_id
    WHERE m.role = 'assistant' AND m.path_hash = ANY(%(hashes)b::bytea[])
        AND (SELECT owner_id FROM conversations_conversation WHERE id = m.conversation_id) = %(owner)s
    ORDER BY m.depth DESC, m.id DESC, m.snapshot_id DESC LIMIT 100"""
NAMED = """
    SELECT c.id, m.id, m.path_hash, m.origin, m.echo_of_id, s.preamble_id
    FROM conversations_conversation c
    LEFT JOIN conversations_message m
        ON m.role = 'assistant' AND m.path_hash = ANY(%(hashes)b::bytea[]) AND m.conversation_id = c.id
    LEFT JOIN conversations_snapshot s ON s.id = m.snapshot_id
    WHERE c.owner_id = %(owner)s AND (c.id = %(root)s::uuid OR c.session_key = %(session_key)s::text)
    ORDER BY m.depth DESC NULLS LAST, m.snapshot_id DESC LIMIT 100"""
