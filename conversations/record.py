"""The two writes of one call: open(asked) → call; close(call, outcome). Evidence is written only here.

Each is one statement, atomic by itself; no connection is held between them. `open` only inserts. `close` changes the
snapshot once: whoever closes second changes nothing. Locks are taken in one order: snapshot, conversation, usage.
Plain SQL, prepared: through the ORM the same two writes cost seven times the CPU.
"""

import hmac
import os
import secrets
import socket
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
import psutil
import psycopg
import uuid_utils
from django.db import IntegrityError, connection, transaction
from django.db.models import DurationField, Exists, ExpressionWrapper, F, Max, OuterRef, Q
from django.db.models.functions import Now

from . import attachments, threading
from .aged_cache import AgedCache
from .models import Message, Partial, Process, Snapshot, ThreadSeed
from .threading import Json

RETRIED_WITHIN = timedelta(minutes=15)
SILENT = timedelta(seconds=30)  # a process that has not beaten for longer is taken for dead
TITLE = 50  # characters of the first user message


class UnknownConversation(Exception):
    """The root id names no conversation of this owner."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """A request as it will leave. `body` is what is sent; `messages` what of it is said, in order (for an image: its prompt)."""

    owner: int
    kind: str
    model: str
    body: Json
    messages: list[Json] = field(default_factory=list)
    sent: bytes = b""  # the bytes that leave
    upstream: str = ""
    root: UUID | None = None  # the conversation that the client names
    session_key: str | None = None  # or its own name for one
    end_user: str = ""
    use_case: str = ""  # the name of the one whose system prompt leads the messages
    by_content: bool = True  # may be threaded by what it says
    retried: bool = False  # the client says that it has sent this before
    title: str = ""
    key: str = ""
    address: str | None = None
    user_agent: str = ""
    at: datetime | None = None
    classic_id: UUID | None = None  # of an imported row: conversations.classic
    classic: Json | None = None
    classic_root: str | None = None  # of the conversation, where this call begins it
    about: UUID | None = None  # the conversation that it is to title or to assess, in none itself


@dataclass(slots=True)
class Call:
    """An open snapshot: what its close has to know."""

    id: UUID
    conversation: UUID | None
    owner: int
    model: str
    kind: str
    opened: datetime
    key: bytes
    head: UUID | None = None
    head_hash: bytes | None = None
    head_depth: int = -1


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How a call ended. `replies` are the assistant messages of its choices, `response` the rest of the upstream's JSON."""

    status: str
    replies: list[Json] = field(default_factory=list)
    response: Json | None = None
    served_model: str = ""
    finish_reason: str = ""
    upstream_id: str = ""
    upstream: str = ""  # that served, where it is not the one that was meant to
    attempts: list[Json] = field(default_factory=list)  # where the first did not do
    upstream_request_id: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    estimated: bool = False
    cost: Decimal | None = None
    error_code: str = ""
    error: str = ""
    first_byte: datetime | None = None
    closed: datetime | None = None


# The two writes -------------------------------------------------------------------------------------------------


def open(asked: Asked) -> Call:
    """Make the call durable before it leaves. Raises UnknownConversation, having written nothing; any other error, likewise."""
    try:
        return _open(asked)
    except IntegrityError:
        if not asked.session_key:
            raise
        return _open(asked)  # somebody made this session's conversation meanwhile: it is found now


def _open(asked: Asked) -> Call:
    opened = asked.at or datetime.now(UTC)
    key = thread_key(asked.owner, asked.end_user)
    preamble, turns = threading.split(asked.messages)
    path = threading.path(key, threading.TURNS, turns)
    retry_of, retried_in = _retried(asked, opened) if asked.retried else (None, None)
    place = locate(asked, key, turns, path, asked.root or retried_in)
    fresh = place is None and bool(asked.messages)
    if place is None:
        conversation = uuid7(opened) if fresh else None
        place = Place(conversation, threading.ids(key, conversation, threading.TURNS, turns) if conversation else [])
    call = Call(uuid7(opened), place.conversation, asked.owner, asked.model, asked.kind, opened, key)

    blobs: list[attachments.Blob] = []
    rows: list[threading.Row] = []
    preamble_id = None
    if turns and place.conversation:
        rows = _rows(turns, place.ids, path, place.known, place.relayed, blobs)
        call.head, call.head_hash, call.head_depth = place.ids[-1], path[-1], len(turns) - 1
    if preamble and place.conversation:
        ids = threading.ids(key, place.conversation, threading.PREAMBLE, preamble)
        preamble_id = ids[-1]
        if place.preamble != preamble_id:
            rows += _rows(preamble, ids, threading.path(key, threading.PREAMBLE, preamble), 0, {}, blobs)
    in_rows = asked.kind == Snapshot.Kind.CHAT and bool(rows or place.known)
    rest = {k: v for k, v in asked.body.items() if k != "messages"} if in_rows else asked.body
    params = orjson.dumps(attachments.lighten(rest, blobs)).decode()
    classic = None if asked.classic is None else orjson.dumps(attachments.lighten(asked.classic, blobs)).decode()
    attachments.keep(blobs)
    salt = secrets.token_bytes(16)
    values = {
        "id": call.id, "conversation": place.conversation, "fresh": fresh, "owner": asked.owner, "session_key": asked.session_key,
        "title": _clean(asked.title or title(asked.messages)), "key": asked.key, "end_user": _clean(asked.end_user), "use_case": _clean(asked.use_case),
        "kind": asked.kind, "process": PROCESS, "retry_of": retry_of, "model": _clean(asked.model), "upstream": asked.upstream, "params": params,
        "preamble": preamble_id, "head": call.head, "salt": salt, "commitment": sha256(salt + asked.sent).digest(),
        "address": asked.address, "user_agent": _clean(asked.user_agent), "opened": opened,
        "classic_id": asked.classic_id, "classic": classic, "classic_root": asked.classic_root, "about": asked.about,
    }  # fmt: skip
    execute(OPEN, values | _brought(rows, blobs))
    return call


def close(call: Call, outcome: Outcome) -> bool:
    """Say how the call ended. False, and nothing changes, if that was said before."""
    blobs: list[attachments.Blob] = []
    rows: list[threading.Row] = []
    extras: list[Json] = []  # what a reply carried besides the message that its row is
    if call.conversation:
        for reply in outcome.replies:
            message = threading.as_sent_back(reply)
            [id] = threading.ids(call.key, call.conversation, call.head or threading.TURNS, [message])
            path_hash = threading.next_hash(call.key, call.head_hash, message)
            role, text, raw = threading.taken_apart(attachments.lighten(message, blobs))
            rows.append(threading.Row(id, call.head, call.head_depth + 1, role, text, raw, Message.Origin.RELAYED, None, path_hash))
            extras.append({k: v for k, v in reply.items() if k not in message} | {MESSAGE: str(id)})
    response = outcome.response
    if response and rows:
        choices = [choice | {"message": extra} for choice, extra in zip(response.get("choices") or [], extras, strict=False)]
        response = response | {"choices": choices} if choices else response
    response_text = orjson.dumps(attachments.lighten(response, blobs)).decode() if response is not None else ""
    attachments.keep(blobs)
    values = {
        "id": call.id, "conversation": call.conversation, "owner": call.owner, "model": _clean(call.model), "day": call.opened.date(),
        "status": outcome.status, "reply": rows[0].id if rows else None, "response": response_text, "turn": bool(rows),
        "failure": outcome.status != Snapshot.Status.OK, "served_model": _clean(outcome.served_model), "finish_reason": _clean(outcome.finish_reason),
        "upstream_id": _clean(outcome.upstream_id), "upstream_request_id": _clean(outcome.upstream_request_id),
        "prompt_tokens": outcome.prompt_tokens, "completion_tokens": outcome.completion_tokens, "estimated": outcome.estimated,
        "cost": None if outcome.cost is None else round(outcome.cost, 8), "error_code": _clean(outcome.error_code),
        "upstream": outcome.upstream, "attempts": orjson.dumps(outcome.attempts).decode() if outcome.attempts else "",
        "error": _clean(outcome.error, 2000), "first_byte": outcome.first_byte, "closed": outcome.closed or datetime.now(UTC),
    }  # fmt: skip
    return execute(CLOSE, values | _brought(rows, blobs)).rowcount == 1


def refuse(asked: Asked, code: str, error: str) -> UUID:
    """A call that did not pass: one closed snapshot of the caller's, in no conversation, with all that was asked. Its id."""
    asked = replace(asked, messages=[], root=None, session_key=None, retried=False)
    with transaction.atomic():
        call = open(asked)
        close(call, Outcome(status=Snapshot.Status.REFUSED, error_code=code, error=error))
    return call.id


def _rows(
    messages: list[Json], ids: list[UUID], path: list[bytes], known: int, relayed: dict[bytes, UUID], blobs: list[attachments.Blob]
) -> list[threading.Row]:
    """The messages that are no rows yet."""
    rows = []
    for depth in range(known, len(messages)):
        message, origin, echo_of = messages[depth], Message.Origin.SENT, None
        if message.get("role") == "assistant":
            origin, echo_of = Message.Origin.CLAIMED, relayed.get(path[depth])
            if echo_of:
                origin = Message.Origin.RELAYED
        role, text, raw = threading.taken_apart(attachments.lighten(message, blobs))
        if echo_of and threading.is_echo(message) and text is not None:
            text = None
        else:
            echo_of = None
        rows.append(threading.Row(ids[depth], ids[depth - 1] if depth else None, depth, role, text, raw, origin, echo_of, path[depth]))
    return rows


# Where a request hangs ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Place:
    """A conversation, the ids that a request's turns have in it, and how many of them are rows already."""

    conversation: UUID | None
    ids: list[UUID]
    known: int = 0
    preamble: UUID | None = None  # of the call that brought the newest known reply
    relayed: dict[bytes, UUID] = field(default_factory=dict)  # path hash → the reply as the gateway relayed it


def locate(asked: Asked, key: bytes, turns: list[Json], path: list[bytes], root: UUID | None) -> Place | None:
    """The conversation that the client names; else the longest known path that ends in a reply. None: a new one.

    User messages alone never name a conversation: many people open with "hi"."""
    replies = [i for i, turn in enumerate(turns) if turn.get("role") == "assistant"]
    named = bool(root or asked.session_key)
    if not named and not (replies and asked.by_content):
        return None
    sql = NAMED if named else CONTINUED
    values = {"owner": asked.owner, "root": root, "session_key": None if root else asked.session_key}
    place = None
    # A known path is known from its root on: mostly one of the newest replies is, and the older ones need no look.
    for wanted in (replies[-4:], replies) if len(replies) > 4 else (replies,):
        found = execute(sql, values | {"hashes": [path[i] for i in wanted]}).fetchall()
        if not found:
            continue
        if place is None or place.conversation != found[0][0]:
            place = Place(found[0][0], threading.ids(key, found[0][0], threading.TURNS, turns))
        here = [row for row in found if row[0] == place.conversation and row[1]]
        if here:
            place.preamble = here[0][5]
        place.relayed = {bytes(path_hash): echo_of or id for _, id, path_hash, origin, echo_of, _ in here if origin == Message.Origin.RELAYED}
        rows = {id for _, id, *_ in here}
        place.known = next((i + 1 for i in reversed(wanted) if place.ids[i] in rows), 0)
        if place.known:
            break
    if place is None and root:
        raise UnknownConversation
    return place


def _retried(asked: Asked, now: datetime) -> tuple[UUID | None, UUID | None]:
    """The snapshot that this call repeats byte for byte, and its conversation."""
    recent = Snapshot.objects.filter(owner_id=asked.owner, kind=asked.kind, model=asked.model, id__gte=uuid7(now - RETRIED_WITHIN, first=True))
    recent = recent.exclude(salt=None).order_by("-id")
    for id, conversation, salt, commitment in recent.values_list("id", "conversation_id", "salt", "commitment")[:20]:
        if salt and sha256(bytes(salt) + asked.sent).digest() == bytes(commitment):
            return id, conversation
    return None, None


def thread_key(owner: int, end_user: str = "") -> bytes:
    """The key of an owner's path hashes; of one end user's, where an owner speaks for many."""
    seed = _seeds.get(owner)
    return hmac.digest(seed, end_user.encode(), "sha256") if end_user else seed


def _read_seed(owner: int) -> bytes:
    row, _ = ThreadSeed.objects.get_or_create(owner_id=owner, defaults={"seed": secrets.token_bytes(32)})
    return bytes(row.seed)


# A seed never changes, but it is destroyed on erasure: no process may go on with it for long.
# The connection is kept: what asks for a seed goes on to write with it.
_seeds = AgedCache(_read_seed, fresh=8.0, oldest=10.0)


def title(messages: list[Json]) -> str:
    """The beginning of the first thing that the user says."""
    said = next((text for message in messages if message.get("role") == "user" and (text := threading.plain_text(message).strip())), "")
    return " ".join(said[: 4 * TITLE].split())[:TITLE]


# What was sent, and what came back ------------------------------------------------------------------------------


def rebuild(snapshot: Snapshot) -> Json:
    """The request as it was sent: equal as JSON, every field and spelling."""
    params = attachments.restore(orjson.loads(snapshot.params))
    if (snapshot.head_id is None and snapshot.preamble_id is None) or snapshot.kind != Snapshot.Kind.CHAT:
        return params
    return params | {"messages": attachments.restore(messages_to(snapshot.preamble_id) + messages_to(snapshot.head_id))}


def rebuild_response(snapshot: Snapshot) -> Json | None:
    """The upstream's reply (a stream's: the completion that it amounts to). None where there was none."""
    if not snapshot.response:
        return None
    response = orjson.loads(snapshot.response)
    for choice in (response.get("choices") or []) if snapshot.conversation_id else []:
        message = choice.get("message") if isinstance(choice, dict) else None
        if isinstance(message, dict) and MESSAGE in message:
            row = Message.objects.get(id=message.pop(MESSAGE))
            choice["message"] = threading.put_together(row.role, row.text, row.raw) | message
    return attachments.restore(response)


def messages_to(head: UUID | None) -> list[Json]:
    """The messages from a root to this one, their files still taken out."""
    if head is None:
        return []
    rows = execute(PATH, {"head": head}).fetchall()
    return [threading.put_together(role, echoed.strip() if echoed is not None else text, raw) for role, text, raw, echoed in rows]


# Calls that nobody will close -----------------------------------------------------------------------------------

PROCESS: UUID | None = None  # this process's id, once it has begun


def begin() -> None:
    """Register this process as one that opens calls, and close what dead ones left behind."""
    beat()
    sweep()


def beat(role: str = Process.Role.WEB) -> None:
    """A sign of life, due every few seconds; by the database's clock."""
    global PROCESS
    PROCESS = PROCESS or uuid7(datetime.now(UTC))
    execute(BEAT, {"id": PROCESS, "host": socket.gethostname(), "pid": os.getpid(), "role": role})


def beaten() -> timedelta | None:
    """How long ago a worker last beat. None: never, or it ended as it should."""
    return Process.objects.filter(role=Process.Role.WORKER).aggregate(silent=Now() - Max("seen"))["silent"]


def end() -> None:
    if PROCESS:
        Process.objects.filter(id=PROCESS).delete()


def sweep() -> int:
    """Close what dead processes left open, with the text that was saved; a late close by one that was only slow finds nothing pending."""
    host = socket.gethostname()
    running = Process.objects.annotate(silent=ExpressionWrapper(Now() - F("seen"), output_field=DurationField()))
    dead = [process.id for process in running if process.silent > SILENT or (process.host == host and not _alive(process.pid))]
    Process.objects.filter(id__in=dead).delete()
    left = Snapshot.objects.filter(status=Snapshot.Status.PENDING).filter(
        Q(process__isnull=False) & ~Exists(Process.objects.filter(id=OuterRef("process"))) | Q(process=None, opened__lt=Now() - timedelta(hours=1))
    )
    return sum(interrupt(snapshot) for snapshot in left.order_by("id")[:1000])


def interrupt(snapshot: Snapshot) -> bool:
    text = grown(snapshot.id)
    replies = [{"role": "assistant", "content": text}] if text else []
    said = "".join(threading.plain_text(message) for message in messages_to(snapshot.preamble_id) + messages_to(snapshot.head_id))
    outcome = Outcome(
        status=Snapshot.Status.INTERRUPTED, replies=replies, prompt_tokens=estimate(said), completion_tokens=estimate(text), estimated=True,
        error_code="gateway_stopped", error="The gateway stopped while the answer was on its way.",
    )  # fmt: skip
    return close(resume(snapshot), outcome)


def resume(snapshot: Snapshot) -> Call:
    """A pending snapshot read from its row, made fit to be closed."""
    key = thread_key(snapshot.owner_id, snapshot.end_user)
    call = Call(snapshot.id, snapshot.conversation_id, snapshot.owner_id, snapshot.model, snapshot.kind, snapshot.opened, key)
    if snapshot.head:
        call.head, call.head_hash, call.head_depth = snapshot.head.id, bytes(snapshot.head.path_hash), snapshot.head.depth
    return call


def grow(snapshot: UUID, at: int, text: str) -> None:
    """Save a piece of an answer that is still on its way; `at` counts the characters before it."""
    execute(GROW, {"snapshot": snapshot, "at": at, "text": text.replace("\0", "\ufffd")})


def grown(snapshot: UUID, after: int = 0) -> str:
    """What was saved of a growing answer; `after`: the characters of an earlier answer of this function."""
    return "".join(Partial.objects.filter(snapshot=snapshot, at__gte=after).order_by("at").values_list("text", flat=True))


def stop(snapshot: UUID) -> None:
    """Whoever runs the call sees it within a second."""
    Snapshot.objects.filter(id=snapshot, status=Snapshot.Status.PENDING).update(stop=True)


def stopped(snapshots: list[UUID]) -> list[UUID]:
    return [row[0] for row in execute(STOPPED, {"ids": snapshots}).fetchall()] if snapshots else []


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # one that nobody has buried yet runs nothing
    except psutil.NoSuchProcess:
        return False


# Plain SQL ------------------------------------------------------------------------------------------------------


def execute(sql: str, values: dict[str, Any]) -> psycopg.Cursor:
    """Bound and prepared by the server: half the CPU of a Django cursor. On Django's connection, where this thread holds one; else on one
    that is borrowed for this statement, without what Django does each time that it opens one."""
    pool = connection.pool  # type: ignore[attr-defined]
    if connection.connection is not None or pool is None or pool.closed:
        connection.ensure_connection()
        with connection.wrap_database_errors:
            return psycopg.Cursor(connection.connection).execute(sql, values, prepare=True)
    with connection.wrap_database_errors:
        borrowed = pool.getconn()
        try:
            return psycopg.Cursor(borrowed).execute(sql, values, prepare=True)
        finally:
            pool.putconn(borrowed)


def release() -> None:
    """Give the connection back to the pool: none is held while an upstream thinks."""
    if not connection.in_atomic_block:
        connection.close()


def uuid7(at: datetime, *, first: bool = False) -> UUID:
    """An id in the order of time; with `first`, the smallest of that moment."""
    if first:
        return UUID(int=int(at.timestamp() * 1000) << 80)
    return UUID(int=uuid_utils.uuid7(nanoseconds=int(at.timestamp() * 1_000_000) * 1000).int)


def estimate(text: str) -> int:
    """Tokens, where nobody counted them: a token for four bytes, which is near for English and high for code."""
    return -(-len(text.encode(errors="replace")) // 4)


def _clean(text: str, longest: int = 500) -> str:
    """What PostgreSQL's text can hold, and a log line may show: no NUL, no control characters, no half of a pair."""
    return "".join(c if c >= " " or c == "\n" else "\ufffd" for c in text[:longest].encode(errors="replace").decode())


def _brought(rows: list[threading.Row], blobs: list[attachments.Blob]) -> dict[str, str]:
    """Messages and files, each as one parameter: an array a column takes twice the CPU to bind."""
    messages = [row._asdict() | {"path_hash": row.path_hash.hex()} for row in rows]
    files = [{"sha256": b.sha256.hex(), "size": len(b.data), "media_type": _clean(b.media_type, 100)} for b in {b.sha256: b for b in blobs}.values()]
    return {"messages": orjson.dumps(messages).decode(), "files": orjson.dumps(files).decode()}


MESSAGE = "$message"  # in a kept response, where a message's row is named

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

MESSAGES = """
        INSERT INTO conversations_message
            (conversation_id, snapshot_id, id, parent_id, depth, role, text, raw, origin, echo_of_id, path_hash)
        SELECT %(conversation)s::uuid, %(id)s::uuid, m.id, m.parent, m.depth, m.role, m.text, m.raw, m.origin, m.echo_of, decode(m.path_hash, 'hex')
        FROM json_to_recordset(%(messages)s::json)
            AS m (id uuid, parent uuid, depth int, role text, text text, raw text, origin text, echo_of uuid, path_hash text)"""

FILES = """
        INSERT INTO conversations_attachment (conversation_id, sha256, size, media_type)
        SELECT %(conversation)s::uuid, decode(f.sha256, 'hex'), f.size, f.media_type
        FROM json_to_recordset(%(files)s::json) AS f (sha256 text, size bigint, media_type text)"""

OPEN = f"""
    WITH conversation AS (
        INSERT INTO conversations_conversation (id, owner_id, session_key, classic_root, title, started, last)
        SELECT %(conversation)s::uuid, %(owner)s, %(session_key)s::text, %(classic_root)s::text, %(title)s, %(opened)s, %(opened)s WHERE %(fresh)s
    ), messages AS ({MESSAGES}
        ON CONFLICT (id) DO NOTHING
    ), files AS ({FILES}
        ON CONFLICT DO NOTHING
    )
    INSERT INTO conversations_snapshot (id, conversation_id, owner_id, key, end_user, use_case, kind, status, process, retry_of_id, model,
        upstream, params, preamble_id, head_id, salt, commitment, address, user_agent, opened, classic_id, classic, about_id)
    VALUES (%(id)s, %(conversation)s, %(owner)s, %(key)s, %(end_user)s, %(use_case)s, %(kind)s, 'pending', %(process)s, %(retry_of)s, %(model)s,
        %(upstream)s, %(params)s, %(preamble)s, %(head)s, %(salt)s, %(commitment)s, %(address)s::inet, %(user_agent)s, %(opened)s,
        %(classic_id)s, %(classic)s, %(about)s::uuid)"""

CLOSE = f"""
    WITH pending AS (
        SELECT id FROM conversations_snapshot WHERE id = %(id)s AND status = 'pending' FOR UPDATE
    ), conversation AS (
        UPDATE conversations_conversation c
        SET last = greatest(last, %(closed)s), turns = turns + %(turn)s::int, cost = cost + coalesce(%(cost)s, 0),
            prompt_tokens = prompt_tokens + coalesce(%(prompt_tokens)s::int, 0),
            completion_tokens = completion_tokens + coalesce(%(completion_tokens)s::int, 0)
        FROM pending WHERE c.id = %(conversation)s
    ), messages AS ({MESSAGES}, pending
        ON CONFLICT (id) DO NOTHING
    ), files AS ({FILES}, pending
        ON CONFLICT DO NOTHING
    ), usage AS (
        INSERT INTO conversations_usage AS u (day, owner_id, model, calls, failures, prompt_tokens, completion_tokens, cost)
        SELECT %(day)s, %(owner)s, %(model)s, 1, %(failure)s::int, coalesce(%(prompt_tokens)s::int, 0),
            coalesce(%(completion_tokens)s::int, 0), coalesce(%(cost)s, 0) FROM pending
        ON CONFLICT (day, owner_id, model) DO UPDATE
        SET calls = u.calls + 1, failures = u.failures + excluded.failures, cost = u.cost + excluded.cost,
            prompt_tokens = u.prompt_tokens + excluded.prompt_tokens,
            completion_tokens = u.completion_tokens + excluded.completion_tokens
    ), partial AS (
        DELETE FROM conversations_partial p USING pending WHERE p.snapshot = pending.id
    ), unsealed AS (
        INSERT INTO conversations_unsealed (subject, closed) SELECT id, %(closed)s FROM pending
    )
    UPDATE conversations_snapshot s
    SET status = %(status)s, reply_id = %(reply)s, response = %(response)s, served_model = %(served_model)s,
        finish_reason = %(finish_reason)s, upstream_id = %(upstream_id)s, upstream_request_id = %(upstream_request_id)s,
        prompt_tokens = %(prompt_tokens)s, completion_tokens = %(completion_tokens)s, estimated = %(estimated)s, cost = %(cost)s,
        upstream = coalesce(nullif(%(upstream)s, ''), s.upstream), attempts = %(attempts)s,
        error_code = %(error_code)s, error = %(error)s, first_byte = %(first_byte)s, closed = %(closed)s
    FROM pending WHERE s.id = pending.id"""

PATH = """
    WITH RECURSIVE walk AS (
        SELECT id, parent_id, depth, role, text, raw, echo_of_id FROM conversations_message WHERE id = %(head)s
        UNION ALL
        SELECT m.id, m.parent_id, m.depth, m.role, m.text, m.raw, m.echo_of_id
        FROM walk JOIN conversations_message m ON m.id = walk.parent_id)
    SELECT walk.role, walk.text, walk.raw, echoed.text
    FROM walk LEFT JOIN conversations_message echoed ON echoed.id = walk.echo_of_id
    ORDER BY walk.depth"""

BEAT = """
    INSERT INTO conversations_process (id, host, pid, role, started, seen) VALUES (%(id)s, %(host)s, %(pid)s, %(role)s, now(), now())
    ON CONFLICT (id) DO UPDATE SET seen = now()"""

GROW = """
    INSERT INTO conversations_partial (snapshot, at, text) VALUES (%(snapshot)s, %(at)s, %(text)s) ON CONFLICT DO NOTHING"""

STOPPED = "SELECT id FROM conversations_snapshot WHERE id = ANY(%(ids)s::uuid[]) AND stop"
