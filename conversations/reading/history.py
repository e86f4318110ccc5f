"""A person's calls as clients read them: classic rows, and one complete conversation."""

from datetime import UTC, datetime
from uuid import UUID

import orjson
from django.db.models import QuerySet

from .. import ids
from ..models import Conversation, Snapshot
from ..record import CallRequest, attachments, place, threads
from ..record.rebuild import Rebuilder
from ..shape import Json
from .tree import Node, Tree, build_tree

LARGEST = 20 * 1024 * 1024  # bytes of one page of rows
AT_ONCE = 50  # calls whose conversations are read in one go


def call_names(call: UUID, conversation: UUID | None) -> Json:
    """Name a call and its conversation, as a classic reply carries them besides the upstream's."""
    return {"uuid": str(call), "root_uuid": str(conversation) if conversation else None}


def read_page(calls: QuerySet[Snapshot], limit: int) -> tuple[list[Json], str | None]:
    """Read rows of these calls, newest first, up to `limit` or LARGEST bytes.

    Beside them the id that the next page begins before, if there are more.
    """
    rows: list[Json] = []
    size, last = 0, None
    calls = calls.select_related("owner", "conversation").order_by("-id")
    while len(rows) < limit:
        stretch = list((calls.filter(id__lt=last) if last else calls)[:AT_ONCE])
        messages = Rebuilder(
            (call.conversation_id for call in stretch if call.conversation_id), for_owner=True
        )
        newest = _newest_imported(stretch)
        for call in stretch:
            request, response = messages.request(call), messages.response(call)
            size += len(request) + len(response)
            if rows and (size > LARGEST or len(rows) == limit):
                return rows, str(last)
            row = make_row(call, request, response)
            if call.classic is not None:
                row = _as_imported(call, row, newest.get(call.conversation_id, {}))
            rows.append(row)
            last = call.id
        if len(stretch) < AT_ONCE:
            return rows, None
    return rows, str(last) if calls.filter(id__lt=last).exists() else None


def make_row(call: Snapshot, request: str, response: str) -> Json:
    """Make a classic row; `call` has its owner and its conversation at hand.

    The request and the response are JSON texts.
    """
    conversation = call.conversation
    answer: Json | None = None
    if response:
        names = {} if call.classic else call_names(call.id, call.conversation_id)
        answer = orjson.loads(response) | names
    usage = {
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": call.completion_tokens,
        "total_tokens": call.total_tokens,
    }
    closed = call.closed.astimezone(UTC).replace(tzinfo=None) if call.closed else None
    title = conversation.title if conversation else ""
    return {
        "id": str(call.classic_id or call.id),
        "request": orjson.Fragment(request),
        "response": answer,
        "usage_info": None if call.prompt_tokens is None else usage,
        "user_name": call.owner.get_username(),
        "title": call.owner.job_title,
        "response_time": closed.isoformat(" ") if closed else None,
        "convo_title": "summarizer" if call.kind == Snapshot.Kind.TITLE else title,
        "convo_show": bool(conversation and conversation.shown),
        "root_gpt_id": (conversation.classic_root or str(conversation.id))
        if conversation
        else None,
    }


IMPORTED_FIELDS = (
    "title",
    "convo_title",
    "convo_show",
    "root_gpt_id",
    "request",
    "response",
    "usage_info",
)


def _as_imported(call: Snapshot, row: Json, newest: Json) -> Json:
    """Give an imported row the fields that it came with (conversations.imports.classic).

    A title or a removal of later stays, later than `newest`: its conversation's newest import.
    """
    imported = attachments.restore(orjson.loads(call.classic or "{}"), attachments.describe_file)
    kept = {name: imported[name] for name in IMPORTED_FIELDS if name in imported}
    conversation = call.conversation
    last_title = newest.get("conversation_title") or newest.get("convo_title")
    if conversation and conversation.title != last_title:
        kept.pop("convo_title", None)
    if conversation and not conversation.shown and newest.get("convo_show") is not False:
        kept["convo_show"] = False
    if fields := imported.get("fields"):
        kept["request"] = orjson.loads(orjson.dumps(row["request"])) | fields
    return row | kept


def _newest_imported(calls: list[Snapshot]) -> dict[UUID | None, Json]:
    """Read each conversation's newest imported row; no query where no call is imported."""
    conversations = {
        call.conversation_id for call in calls if call.classic is not None and call.conversation_id
    }
    if not conversations:
        return {}
    newest = (
        Snapshot.objects.filter(conversation__in=conversations, classic__isnull=False)
        .order_by("conversation", "-id")
        .distinct("conversation")
    )
    return {
        conversation: orjson.loads(classic or "{}")
        for conversation, classic in newest.values_list("conversation_id", "classic")
    }


def newest_equal(asked: CallRequest, since: datetime) -> Snapshot | None:
    """Find the newest call of the same owner, end user and model with these very messages.

    Its other parameters may differ.
    """
    owner = asked.owner
    preamble, turns = threads.split_preamble(asked.messages)
    recent = Snapshot.objects.filter(
        owner=owner,
        end_user=asked.end_user,
        kind=Snapshot.Kind.CHAT,
        model=asked.model,
        id__gte=ids.make_id(since, first=True),
    )
    for call in recent.exclude(conversation=None).order_by("-id")[:200]:
        key = place.read_thread_key(owner, call.end_user)
        if (call.preamble_id, call.head_id) == (
            _last_id(key, call, threads.PREAMBLE, preamble),
            _last_id(key, call, threads.TURNS, turns),
        ):
            return call
    return None


def _last_id(key: bytes, call: Snapshot, root: bytes, messages: list[Json]) -> UUID | None:
    """Compute the id that the last of these messages has in the call's conversation."""
    assert call.conversation_id
    return (
        threads.make_message_ids(key, call.conversation_id, root, messages)[-1]
        if messages
        else None
    )


def read_conversation(conversation: Conversation) -> Json:
    """Read its messages, each once with its parent, and its calls.

    A parent's other children are branches.
    """
    calls = list(conversation.snapshots.order_by("id"))
    tree = build_tree(conversation.messages.for_owner(), calls)
    nodes = list(dict.fromkeys(tree.nodes.values()))
    return {
        "messages": [_message(node) for node in nodes],
        "snapshots": [_call(call, tree) for call in calls],
    }


def _message(node: Node) -> Json:
    row = node.message
    message = threads.put_together(row.role, row.text, row.raw)
    return {
        "id": str(row.id),
        "parent": str(node.parent.message.id) if node.parent else None,
        "origin": row.origin,
        "message": attachments.restore(message, attachments.describe_file),
    }


def _call(call: Snapshot, tree: Tree) -> Json:
    def node_id(message: UUID | None) -> str | None:
        return str(tree.nodes[message].message.id) if message in tree.nodes else None

    return {
        "id": str(call.id),
        "kind": call.kind,
        "status": call.status,
        "model": call.model,
        "served_model": call.served_model,
        "use_case": call.use_case,
        "head": node_id(call.head_id),
        "reply": node_id(call.reply_id),
        "finish_reason": call.finish_reason,
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": call.completion_tokens,
        "estimated": call.estimated,
        "cost_usd": None if call.cost is None else float(call.cost),
        "cost_source": call.cost_source,
        "error": {"code": call.error_code, "message": call.error} if call.error_code else None,
        "opened": call.opened.astimezone(UTC).isoformat(),
        "closed": call.closed.astimezone(UTC).isoformat() if call.closed else None,
    }
