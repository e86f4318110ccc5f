"""The two writes of one call: open(asked) → call; close(call, outcome). Evidence is written only here.

Each is one statement, atomic by itself; no connection is held between them. `open` only inserts. `close` changes the
snapshot once: whoever closes second changes nothing. Locks are taken in one order: snapshot, conversation, usage.
Plain SQL, prepared: through the ORM the same two writes cost seven times the CPU.
"""

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import orjson
from django.db import IntegrityError, transaction

from ..database import execute
from ..ids import make_id
from ..models import Message, Snapshot
from ..shape import Json
from . import attachments, processes, threads
from .calls import Call, CallRequest, Outcome, make_title
from .place import Place, locate, read_thread_key, retried
from .rebuild import MESSAGE
from .rows import build_rows


def open(asked: CallRequest) -> Call:
    """Make the call durable before it leaves. Raises UnknownConversation, having written nothing; any other error, likewise."""
    try:
        return _open(asked)
    except IntegrityError:
        if not asked.session_key:
            raise
        return _open(asked)  # somebody made this session's conversation meanwhile: it is found now


def _open(asked: CallRequest) -> Call:
    opened = asked.at or datetime.now(UTC)
    key = read_thread_key(asked.owner, asked.end_user)
    preamble, turns = threads.split(asked.messages)
    path = threads.path_hashes(key, threads.TURNS, turns)
    retry_of, retried_in = retried(asked, opened) if asked.retried else (None, None)
    place = locate(asked, key, turns, path, asked.root or retried_in)
    fresh = place is None and bool(asked.messages)
    if place is None:
        conversation = make_id(opened) if fresh else None
        place = Place(
            conversation,
            threads.message_ids(key, conversation, threads.TURNS, turns) if conversation else [],
        )
    call = Call(
        make_id(opened), place.conversation, asked.owner, asked.model, asked.kind, opened, key
    )

    blobs: list[attachments.Blob] = []
    rows: list[threads.MessageRow] = []
    preamble_id = None
    if turns and place.conversation:
        rows = build_rows(turns, place.ids, path, place.known, place.relayed, blobs)
        call.head, call.head_hash, call.head_depth = place.ids[-1], path[-1], len(turns) - 1
    if preamble and place.conversation:
        ids = threads.message_ids(key, place.conversation, threads.PREAMBLE, preamble)
        preamble_id = ids[-1]
        if place.preamble != preamble_id:
            rows += build_rows(
                preamble, ids, threads.path_hashes(key, threads.PREAMBLE, preamble), 0, {}, blobs
            )
    in_rows = asked.kind == Snapshot.Kind.CHAT and bool(rows or place.known)
    rest = {k: v for k, v in asked.body.items() if k != "messages"} if in_rows else asked.body
    params = orjson.dumps(attachments.lighten(rest, blobs)).decode()
    classic = (
        None
        if asked.classic is None
        else orjson.dumps(attachments.lighten(asked.classic, blobs)).decode()
    )
    attachments.store(blobs)
    salt = secrets.token_bytes(16)
    values = {
        "id": call.id,
        "conversation": place.conversation,
        "fresh": fresh,
        "owner": asked.owner,
        "session_key": asked.session_key,
        "title": clean(asked.title or make_title(asked.messages)),
        "key": asked.key,
        "end_user": clean(asked.end_user),
        "use_case": clean(asked.use_case),
        "kind": asked.kind,
        "process": processes.PROCESS,
        "retry_of": retry_of,
        "model": clean(asked.model),
        "upstream": asked.upstream,
        "params": params,
        "preamble": preamble_id,
        "head": call.head,
        "salt": salt,
        "commitment": sha256(salt + asked.sent).digest(),
        "address": asked.address,
        "user_agent": clean(asked.user_agent),
        "opened": opened,
        "classic_id": asked.classic_id,
        "classic": classic,
        "classic_root": asked.classic_root,
        "about": asked.about,
    }
    execute(OPEN, values | _brought(rows, blobs))
    return call


def close(call: Call, outcome: Outcome) -> bool:
    """Say how the call ended. False, and nothing changes, if that was said before."""
    blobs: list[attachments.Blob] = []
    rows: list[threads.MessageRow] = []
    extras: list[Json] = []  # what a reply carried besides the message that its row is
    if call.conversation:
        for reply in outcome.replies:
            message = threads.fold_reply(reply)
            [id] = threads.message_ids(
                call.key, call.conversation, call.head or threads.TURNS, [message]
            )
            path_hash = threads.next_hash(call.key, call.head_hash, message)
            role, text, raw = threads.take_apart(attachments.lighten(message, blobs))
            rows.append(
                threads.MessageRow(
                    id,
                    call.head,
                    call.head_depth + 1,
                    role,
                    text,
                    raw,
                    Message.Origin.RELAYED,
                    None,
                    path_hash,
                )
            )
            extras.append({k: v for k, v in reply.items() if k not in message} | {MESSAGE: str(id)})
    response = outcome.response
    if response and rows:
        choices = [
            choice | {"message": extra}
            for choice, extra in zip(response.get("choices") or [], extras, strict=False)
        ]
        response = response | {"choices": choices} if choices else response
    response_text = (
        orjson.dumps(attachments.lighten(response, blobs)).decode() if response is not None else ""
    )
    attachments.store(blobs)
    values = {
        "id": call.id,
        "conversation": call.conversation,
        "owner": call.owner,
        "model": clean(call.model),
        "day": call.opened.date(),
        "status": outcome.status,
        "reply": rows[0].id if rows else None,
        "response": response_text,
        "turn": bool(rows),
        "failure": outcome.status != Snapshot.Status.OK,
        "served_model": clean(outcome.served_model),
        "finish_reason": clean(outcome.finish_reason),
        "upstream_id": clean(outcome.upstream_id),
        "upstream_request_id": clean(outcome.upstream_request_id),
        "prompt_tokens": outcome.prompt_tokens,
        "completion_tokens": outcome.completion_tokens,
        "estimated": outcome.estimated,
        "cost": None if outcome.cost is None else round(outcome.cost, 8),
        "error_code": clean(outcome.error_code),
        "upstream": outcome.upstream,
        "attempts": orjson.dumps(outcome.attempts).decode() if outcome.attempts else "",
        "error": clean(outcome.error, 2000),
        "first_byte": outcome.first_byte,
        "closed": outcome.closed or datetime.now(UTC),
    }
    return execute(CLOSE, values | _brought(rows, blobs)).rowcount == 1


def refuse(asked: CallRequest, code: str, error: str) -> UUID:
    """A call that did not pass: one closed snapshot of the caller's, in no conversation, with all that was asked. Its id."""
    asked = replace(asked, messages=[], root=None, session_key=None, retried=False)
    with transaction.atomic():
        call = open(asked)
        close(call, Outcome(status=Snapshot.Status.REFUSED, error_code=code, error=error))
    return call.id


def clean(text: str, longest: int = 500) -> str:
    """What PostgreSQL's text can hold, and a log line may show: no NUL, no control characters, no half of a pair."""
    return "".join(
        c if c >= " " or c == "\n" else "\ufffd"
        for c in text[:longest].encode(errors="replace").decode()
    )


def _brought(rows: list[threads.MessageRow], blobs: list[attachments.Blob]) -> dict[str, str]:
    """Messages and files, each as one parameter: an array a column takes twice the CPU to bind."""
    messages = [row._asdict() | {"path_hash": row.path_hash.hex()} for row in rows]
    files = [
        {"sha256": b.sha256.hex(), "size": len(b.data), "media_type": clean(b.media_type, 100)}
        for b in {b.sha256: b for b in blobs}.values()
    ]
    return {"messages": orjson.dumps(messages).decode(), "files": orjson.dumps(files).decode()}


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
