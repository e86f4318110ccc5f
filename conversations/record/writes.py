"""The two writes of one call: open(request) → call, and close(call, outcome).

The record is complete because of their order. `open` commits before anything leaves, so a call that
reached a model has a row, whatever dies afterwards; if it fails, nothing leaves. `close` commits
before the last byte reaches the caller, so a caller that saw the end of an answer has it on record.
`refuse` does both at once, for a call that may not leave.

Evidence is written here only, and changes once. `open` inserts: the messages that the conversation
lacks, and a pending snapshot. `close` fills in that snapshot, and only while it is pending; the
second of two closers changes nothing. Message ids are computed from what the messages say, so
inserting one again does nothing either, and no write has to look first.

Each write is one statement, atomic by itself. No transaction and no connection is held between
them, however long the model thinks. Locks are taken in one order: snapshot, conversation, usage.
Files go to storage before any row names them: a crash between the two leaves a file too many, never
a row without its file.

An account's writes need permits (permits.py): where its rows are locked, or change slowly, it has
a share of the connections, and no other account's calls wait.

The statements are plain SQL, prepared by the server. Through the ORM the same two writes cost
seven times the CPU.
"""

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from django.db import IntegrityError, transaction

from ..database import execute
from ..ids import make_id
from ..models import Snapshot
from ..shape import Json
from ..speech.recorded import TOOLS
from . import attachments, processes
from .calls import Call, CallRequest, Outcome, make_title, shorten_refused
from .permits import permits
from .place import Place, locate, read_thread_key
from .rows import Rows, build_reply_rows, build_rows, clean, refer_to_rows

# Seconds that a write waits for a permit of its account.
OPEN_PATIENCE = 5.0  # nothing was sent: its caller can ask again
CLOSE_PATIENCE = 30.0  # an answer came
LOCK_PATIENCE = 1  # seconds that a close which other accounts' wait behind waits for a row


def open(request: CallRequest) -> Call:
    """Make a call durable before it leaves.

    Raises UnknownConversation, having written nothing; so does any other error.
    """
    try:
        return _open(request)
    except IntegrityError:
        if not request.session_key:
            raise
        return _open(request)  # another call began this session's conversation: now it is there


def _open(request: CallRequest) -> Call:
    opened = request.opened or datetime.now(UTC)
    recorded = request.split()
    place = locate(request, recorded.turns, opened)
    rows = build_rows(recorded, place)
    call = Call(
        make_id(opened),
        place.conversation,
        request.owner,
        request.model,
        request.kind,
        opened,
        place.key,
    )
    if rows.head:
        call.head, call.head_hash = rows.head.id, rows.head.path_hash
        call.head_words, call.head_depth = place.word_hashes[-1], rows.head.depth
    processes.CURRENT.held.add(call.id)
    try:
        _insert(request, recorded.params, call, place, rows)
    except BaseException:
        let_go(call)  # it may have committed unheard: orphans.close_unheard
        raise
    return call


def let_go(call: Call) -> None:
    """Hold this call no longer: where its row is pending, this process closes it."""
    processes.CURRENT.held.discard(call.id)


def _insert(request: CallRequest, params: Json, call: Call, place: Place, rows: Rows) -> None:
    """Insert the call with `params`, what is left of its request beside the rows."""
    classic = None if request.classic is None else rows.encode(request.classic)
    salt = secrets.token_bytes(16)
    values = {
        "id": call.id,
        "conversation": place.conversation,
        "fresh": place.is_new,
        "owner": request.owner,
        "session_key": request.session_key,
        "title": (title := clean(request.title or make_title(request.messages))),
        "begins_work": bool(title) and _begins_work(request, place, rows),
        "key": request.key,
        "end_user": clean(request.end_user),
        "use_case": clean(request.use_case),
        "kind": request.kind,
        "process": processes.CURRENT.id,
        "retry_of": place.retry_of,
        "model": clean(request.model),
        "upstream": request.upstream,
        "params": rows.encode(params),
        "preamble": rows.preamble,
        "head": call.head,
        "salt": salt,
        "commitment": sha256(salt + request.sent).digest(),
        "address": request.address,
        "user_agent": clean(request.user_agent),
        "opened": call.opened,
        "classic_id": request.classic_id,
        "classic": classic,
        "classic_root": request.classic_root,
        "about": request.about,
        "covers": request.covers,
    }
    attachments.store(rows.files)
    with permits.hold(request.owner, OPEN_PATIENCE):
        execute(OPEN, values | rows.bind())


def _begins_work(request: CallRequest, place: Place, rows: Rows) -> bool:
    """Tell whether a call may be the first of an agent's work in a session that is there already.

    What an agent asks by itself, such as a title, may come before it, and has no tools.
    """
    is_beside = bool(request.session_key) and not place.is_new and not place.known
    return is_beside and any(row.role == TOOLS for row in rows.messages)


def close(call: Call, outcome: Outcome, *, in_passing: bool = False) -> bool:
    """Record how a call ended. False, and nothing changes, if that was recorded before.

    Sets `outcome.closed`, by which `is_closed_by` knows this close again. `in_passing`: others wait
    behind it, so it needs no permit of its account, and raises RowsBusy where a row stays locked.
    """
    outcome.closed = outcome.closed or datetime.now(UTC)
    rows = build_reply_rows(outcome.replies, call)
    response = outcome.response
    if response and rows.messages:
        response = refer_to_rows(response, outcome.replies, rows)
    values: dict[str, Any] = {
        "id": call.id,
        "conversation": call.conversation,
        "owner": call.owner,
        "model": clean(call.model),
        "day": call.opened.date(),
        "status": outcome.status,
        "reply": rows.messages[0].id if rows.messages else None,
        "response": "" if response is None else rows.encode(response),
        "turn": bool(rows.messages),
        "failure": outcome.status != Snapshot.Status.OK,
        "served_model": clean(outcome.served_model),
        "finish_reason": clean(outcome.finish_reason),
        "upstream_id": clean(outcome.upstream_id),
        "upstream_request_id": clean(outcome.upstream_request_id),
        "prompt_tokens": outcome.prompt_tokens,
        "completion_tokens": outcome.completion_tokens,
        "estimated": outcome.estimated,
        "cost": None if outcome.cost is None else round(outcome.cost, 8),
        "cost_source": "" if outcome.cost is None else outcome.cost_source,
        "error_code": clean(outcome.error_code),
        "upstream": outcome.upstream,
        "attempts": orjson.dumps(outcome.attempts).decode() if outcome.attempts else "",
        "error": clean(outcome.error, 2000),
        "first_byte": outcome.first_byte,
        "closed": outcome.closed,
    }
    attachments.store(rows.files)
    values |= rows.bind()
    if in_passing:
        is_first = execute(CLOSE, values, lock_patience=LOCK_PATIENCE).rowcount == 1
    else:
        with permits.hold(call.owner, CLOSE_PATIENCE):
            is_first = execute(CLOSE, values).rowcount == 1
    let_go(call)
    return is_first


def is_closed_by(call: Call, outcome: Outcome) -> bool:
    """Whether the record says of the call what this outcome does: its close was not heard."""
    return Snapshot.objects.filter(
        id=call.id, closed=outcome.closed, status=outcome.status
    ).exists()


def refuse(request: CallRequest, code: str, error: str) -> UUID:
    """Record a call that did not pass, and return its id.

    It is one closed snapshot of the caller's, in no conversation, with the request in it: whole
    where it is small and could be read, else its beginning, its length and its sha256.
    """
    request = replace(
        request,
        body=shorten_refused(request),
        messages=[],
        root=None,
        session_key=None,
        is_retry=False,
    )
    # Looked up here: a transaction that fails takes a new seed back, and would leave its copy.
    read_thread_key(request.owner)
    with permits.hold(request.owner, OPEN_PATIENCE), transaction.atomic():
        call = open(request)
        let_go(call)  # whatever fails from here on, no pending row is left
        close(call, Outcome(status=Snapshot.Status.REFUSED, error_code=code, error=error))
    return call.id


MESSAGES = """
        INSERT INTO conversations_message
            (conversation_id, snapshot_id, id, parent_id, depth, role, text, raw, origin,
            echo_of_id, path_hash)
        SELECT %(conversation)s::uuid, %(id)s::uuid, m.id, m.parent, m.depth, m.role, m.text, m.raw,
            m.origin, m.echo_of, decode(m.path_hash, 'hex')
        FROM json_to_recordset(%(messages)s::json)
            AS m (id uuid, parent uuid, depth int, role text, text text, raw text, origin text,
                echo_of uuid, path_hash text)"""
FILES = """
        INSERT INTO conversations_attachment (conversation_id, sha256, size, media_type)
        SELECT %(conversation)s::uuid, decode(f.sha256, 'hex'), f.size, f.media_type
        FROM json_to_recordset(%(files)s::json)
            AS f (sha256 text, size bigint, media_type text)"""
WORD_HASHES = """
        INSERT INTO conversations_wordhash (message_id, hash)
        SELECT w.id, decode(w.hash, 'hex')
        FROM json_to_recordset(%(word_hashes)s::json) AS w (id uuid, hash text)"""
OPEN = f"""
    WITH conversation AS (
        INSERT INTO conversations_conversation
            (id, owner_id, session_key, end_user, classic_root, title, started, last)
        SELECT %(conversation)s::uuid, %(owner)s, %(session_key)s::text, %(end_user)s,
            %(classic_root)s::text, %(title)s, %(opened)s, %(opened)s
        WHERE %(fresh)s
    ), titled AS (
        UPDATE conversations_conversation c SET title = %(title)s
        WHERE %(begins_work)s AND c.id = %(conversation)s::uuid AND c.titled_by = ''
            AND NOT EXISTS (
                SELECT FROM conversations_message m
                WHERE m.conversation_id = c.id AND m.role = '$tools')
    ), messages AS ({MESSAGES}
        ON CONFLICT (id) DO NOTHING
    ), files AS ({FILES}
        ON CONFLICT DO NOTHING
    )
    INSERT INTO conversations_snapshot
        (id, conversation_id, owner_id, key, end_user, use_case, kind, status, process, retry_of_id,
        model, upstream, params, preamble_id, head_id, salt, commitment, address, user_agent,
        opened, classic_id, classic, about_id, covers)
    VALUES (%(id)s, %(conversation)s, %(owner)s, %(key)s, %(end_user)s, %(use_case)s, %(kind)s,
        'pending', %(process)s, %(retry_of)s, %(model)s, %(upstream)s, %(params)s, %(preamble)s,
        %(head)s, %(salt)s, %(commitment)s, %(address)s::inet, %(user_agent)s, %(opened)s,
        %(classic_id)s, %(classic)s, %(about)s::uuid, %(covers)s::int)"""
CLOSE = f"""
    WITH pending AS (
        SELECT id FROM conversations_snapshot WHERE id = %(id)s AND status = 'pending' FOR UPDATE
    ), conversation AS (
        UPDATE conversations_conversation c
        SET last = greatest(last, %(closed)s), turns = turns + %(turn)s::int,
            cost = cost + coalesce(%(cost)s, 0),
            prompt_tokens = prompt_tokens + coalesce(%(prompt_tokens)s::int, 0),
            completion_tokens = completion_tokens + coalesce(%(completion_tokens)s::int, 0)
        FROM pending WHERE c.id = %(conversation)s
    ), messages AS ({MESSAGES}, pending
        ON CONFLICT (id) DO NOTHING
    ), word_hashes AS ({WORD_HASHES}, pending
        ON CONFLICT DO NOTHING
    ), files AS ({FILES}, pending
        ON CONFLICT DO NOTHING
    ), usage AS (
        INSERT INTO conversations_usage AS u
            (day, owner_id, model, calls, failures, prompt_tokens, completion_tokens, cost)
        SELECT %(day)s, %(owner)s, %(model)s, 1, %(failure)s::int,
            coalesce(%(prompt_tokens)s::int, 0), coalesce(%(completion_tokens)s::int, 0),
            coalesce(%(cost)s, 0)
        FROM pending
        ON CONFLICT (day, owner_id, model) DO UPDATE
        SET calls = u.calls + 1, failures = u.failures + excluded.failures,
            cost = u.cost + excluded.cost,
            prompt_tokens = u.prompt_tokens + excluded.prompt_tokens,
            completion_tokens = u.completion_tokens + excluded.completion_tokens
    ), partial AS (
        DELETE FROM conversations_partial p USING pending WHERE p.snapshot = pending.id
    ), unsealed AS (
        INSERT INTO conversations_unsealed (subject, closed) SELECT id, %(closed)s FROM pending
    )
    UPDATE conversations_snapshot s
    SET status = %(status)s, reply_id = %(reply)s, response = %(response)s,
        served_model = %(served_model)s, finish_reason = %(finish_reason)s,
        upstream_id = %(upstream_id)s, upstream_request_id = %(upstream_request_id)s,
        prompt_tokens = %(prompt_tokens)s, completion_tokens = %(completion_tokens)s,
        estimated = %(estimated)s, cost = %(cost)s, cost_source = %(cost_source)s,
        upstream = coalesce(nullif(%(upstream)s, ''), s.upstream), attempts = %(attempts)s,
        error_code = %(error_code)s, error = %(error)s, first_byte = %(first_byte)s,
        closed = %(closed)s
    FROM pending WHERE s.id = pending.id"""
