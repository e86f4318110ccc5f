"""A person's calls as clients read them: the classic gateway's rows, and one conversation whole."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from .. import ids
from ..models import Conversation, Snapshot
from ..record import attachments, place, threads
from ..record.rebuild import Messages
from ..shape import Json
from . import tree

LARGEST = 20 * 1024 * 1024  # bytes of one page of rows
AT_ONCE = 50  # calls whose conversations are read in one go


def call_names(call: UUID, conversation: UUID | None) -> Json:
    """What a classic reply carries besides the upstream's."""
    return {"uuid": str(call), "root_uuid": str(conversation) if conversation else None}


def read_page(calls, limit: int) -> tuple[list[Json], str | None]:
    """Rows of these calls, newest first, up to `limit` or LARGEST bytes; and the id to go on before, if there are more."""
    rows: list[Json] = []
    size, last = 0, None
    calls = calls.select_related("owner", "conversation").order_by("-id")
    while len(rows) < limit:
        stretch = list((calls.filter(id__lt=last) if last else calls)[:AT_ONCE])
        messages = Messages(
            (call.conversation_id for call in stretch if call.conversation_id), for_owner=True
        )
        newest = _newest_imported(stretch)
        for call in stretch:
            request, response = messages.request(call), messages.response(call)
            size += len(request) + len(response)
            if rows and (size > LARGEST or len(rows) == limit):
                return rows, str(last)
            shown = row(call, request, response)
            rows.append(
                shown
                if call.classic is None
                else _as_imported(call, shown, newest.get(call.conversation_id, {}))
            )
            last = call.id
        if len(stretch) < AT_ONCE:
            return rows, None
    return rows, str(last) if calls.filter(id__lt=last).exists() else None


def row(call: Snapshot, request: str, response: str) -> Json:
    """`call` with its owner and its conversation at hand; its request and response as JSON texts."""
    conversation = call.conversation
    usage = {
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": call.completion_tokens,
        "total_tokens": call.total_tokens,
    }
    answer: Any = (
        orjson.loads(response) | ({} if call.classic else call_names(call.id, call.conversation_id))
        if response
        else None
    )
    return {
        "id": str(call.classic_id or call.id),
        "request": orjson.Fragment(request),
        "response": answer,
        "usage_info": None if call.prompt_tokens is None else usage,
        "user_name": call.owner.get_username(),
        "title": call.owner.job_title,
        "response_time": call.closed.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
        if call.closed
        else None,
        "convo_title": "summarizer"
        if call.kind == Snapshot.Kind.TITLE
        else conversation.title
        if conversation
        else "",
        "convo_show": bool(conversation and conversation.shown),
        "root_gpt_id": (conversation.classic_root or str(conversation.id))
        if conversation
        else None,
    }


def _as_imported(call: Snapshot, row: Json, newest: Json) -> Json:
    """An imported row says what it said (conversations.imports.classic), but for a title or a removal that came here, after `newest`, its conversation's
    newest imported row."""
    said = attachments.restore(orjson.loads(call.classic or "{}"), attachments.describe_file)
    kept = {
        name: said[name]
        for name in (
            "title",
            "convo_title",
            "convo_show",
            "root_gpt_id",
            "request",
            "response",
            "usage_info",
        )
        if name in said
    }
    if call.conversation and call.conversation.title != (
        newest.get("conversation_title") or newest.get("convo_title")
    ):
        kept.pop("convo_title", None)
    if call.conversation and not call.conversation.shown and newest.get("convo_show") is not False:
        kept["convo_show"] = False
    if fields := said.get("fields"):
        kept["request"] = orjson.loads(orjson.dumps(row["request"])) | fields
    return row | kept


def _newest_imported(calls: list[Snapshot]) -> dict[UUID | None, Json]:
    """By conversation; costs a query only where one of these calls is imported."""
    conversations = {
        call.conversation_id for call in calls if call.classic is not None and call.conversation_id
    }
    if not conversations:
        return {}
    found = (
        Snapshot.objects.filter(conversation__in=conversations, classic__isnull=False)
        .order_by("conversation", "-id")
        .distinct("conversation")
    )
    return {
        conversation: orjson.loads(classic or "{}")
        for conversation, classic in found.values_list("conversation_id", "classic")
    }


def newest_equal(owner: int, model: str, messages: list[Json], since: datetime) -> Snapshot | None:
    """The owner's newest call that asked this model these very messages; its other parameters may differ."""
    preamble, turns = threads.split(messages)
    recent = Snapshot.objects.filter(
        owner=owner, kind=Snapshot.Kind.CHAT, model=model, id__gte=ids.make_id(since, first=True)
    )
    for call in recent.exclude(conversation=None).order_by("-id")[:200]:
        key = place.read_thread_key(owner, call.end_user)
        if (call.preamble_id, call.head_id) == (
            _last(key, call, threads.PREAMBLE, preamble),
            _last(key, call, threads.TURNS, turns),
        ):
            return call
    return None


def _last(key: bytes, call: Snapshot, root: bytes, messages: list[Json]) -> UUID | None:
    """The id that the last of these messages has in the call's conversation."""
    assert call.conversation_id
    return threads.message_ids(key, call.conversation_id, root, messages)[-1] if messages else None


def read_conversation(conversation: Conversation) -> Json:
    """Its messages, each once with its parent, and its calls; a parent's other children are branches."""
    calls = list(conversation.snapshots.order_by("id"))
    grove = tree.build_tree(conversation.messages.for_owner(), calls)
    nodes = list(dict.fromkeys(grove.nodes.values()))
    return {
        "messages": [_message(node) for node in nodes],
        "snapshots": [_call(call, grove) for call in calls],
    }


def _message(node: tree.Node) -> Json:
    row = node.message
    told = attachments.restore(
        threads.put_together(row.role, row.text, row.raw), attachments.describe_file
    )
    return {
        "id": str(row.id),
        "parent": str(node.parent.message.id) if node.parent else None,
        "origin": row.origin,
        "message": told,
    }


def _call(call: Snapshot, grove: tree.Tree) -> Json:
    def shown(id: UUID | None) -> str | None:
        return str(grove.nodes[id].message.id) if id in grove.nodes else None

    return {
        "id": str(call.id),
        "kind": call.kind,
        "status": call.status,
        "model": call.model,
        "served_model": call.served_model,
        "use_case": call.use_case,
        "head": shown(call.head_id),
        "reply": shown(call.reply_id),
        "finish_reason": call.finish_reason,
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": call.completion_tokens,
        "estimated": call.estimated,
        "cost_usd": None if call.cost is None else float(call.cost),
        "error": {"code": call.error_code, "message": call.error} if call.error_code else None,
        "opened": call.opened.astimezone(UTC).isoformat(),
        "closed": call.closed.astimezone(UTC).isoformat() if call.closed else None,
    }
