"""A person's calls as clients read them: classic rows, and one complete conversation."""

from datetime import UTC, datetime
from uuid import UUID

import orjson

from .. import exact_json, ids
from ..models import Conversation, Snapshot
from ..models.snapshot import SnapshotQuerySet
from ..packs import pack
from ..record import CallRequest, attachments, place, threads
from ..record.paths import read_rows
from ..record.rebuild import rebuild_many
from ..shape import Json
from ..speech.recorded import TOOLS
from . import download
from .tree import Node, Tree, build_tree

LARGEST = 20 * 1024 * 1024  # bytes of one page of rows
MOST = 20_000  # messages and calls of one page of a conversation
EACH = 500  # bytes of a message or call besides its texts
AT_ONCE = 50  # calls whose conversations are read in one go


def call_names(call: UUID, conversation: UUID | None) -> Json:
    """Name a call and its conversation, as a classic reply carries them besides the upstream's."""
    return {"uuid": str(call), "root_uuid": str(conversation) if conversation else None}


def read_page(calls: SnapshotQuerySet, limit: int) -> tuple[list[Json], str | None]:
    """Read rows of these calls, newest first, up to `limit` or LARGEST bytes.

    Beside them the id that the next page begins before, if there are more.
    """
    rows: list[Json] = []
    size, last = 0, None
    calls = calls.order_by("-id")
    while len(rows) < limit:
        stretch = (calls.filter(id__lt=last) if last else calls).sizes(AT_ONCE)
        newest = _newest_imported([call.id for call in stretch])
        for call, messages in rebuild_many(stretch, for_owner=True):
            request, response = messages.request(call), messages.response(call)
            size += len(request) + len(response) + len(call.classic or "")
            if rows and (size > LARGEST or len(rows) == limit):
                return rows, str(last)
            row = make_row(call, request, response)
            if call.classic is not None:
                row = _as_imported(call, row, newest.get(call.conversation_id, {}))
            rows.append(row)
            last = call.id
        last = stretch[-1].id if stretch else last
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
        answer = exact_json.loads(response) | names
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
    imported = attachments.restore(
        exact_json.loads(call.classic or "{}"), attachments.describe_file
    )
    kept = {name: imported[name] for name in IMPORTED_FIELDS if name in imported}
    conversation = call.conversation
    last_title = newest.get("conversation_title") or newest.get("convo_title")
    if conversation and conversation.title != last_title:
        kept.pop("convo_title", None)
    if conversation and not conversation.shown and newest.get("convo_show") is not False:
        kept["convo_show"] = False
    if fields := imported.get("fields"):
        kept["request"] = exact_json.loads(exact_json.dumps(row["request"])) | fields
    return row | kept


def _newest_imported(calls: list[UUID]) -> dict[UUID | None, Json]:
    """Read the newest imported row of each conversation that has one of these calls."""
    imported = Snapshot.objects.filter(classic__isnull=False)
    conversations = imported.filter(id__in=calls, conversation__isnull=False)
    newest = (
        imported.filter(conversation__in=conversations.values("conversation"))
        .order_by("conversation", "-id")
        .distinct("conversation")
    )
    return {
        conversation: exact_json.loads(classic or "{}")
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
    ends = ("id", "conversation", "end_user", "preamble", "head", "status", "error_code", "error")
    for call in recent.exclude(conversation=None).order_by("-id").only(*ends)[:200]:
        key = place.read_thread_key(owner, call.end_user)
        if call.head_id != _find_last_id(key, call, threads.TURNS, turns):
            continue
        if call.preamble_id == _find_last_id(key, call, threads.PREAMBLE, preamble):
            return call
        tools = [
            row.id for row in read_rows(call.preamble_id)[:1] if row.message.get("role") == TOOLS
        ]
        if tools and call.preamble_id == _find_last_id(key, call, tools[0], preamble):
            return call
    return None


def _find_last_id(
    key: bytes, call: Snapshot, above: UUID | bytes, messages: list[Json]
) -> UUID | None:
    """Compute the id that the last of these messages has in the call's conversation.

    Without messages, it is that of the row above them, if any.
    """
    assert call.conversation_id
    if not messages:
        return above if isinstance(above, UUID) else None
    return threads.make_message_ids(key, call.conversation_id, above, messages)[-1]


def read_conversation(conversation: Conversation, after: UUID | None = None) -> Json:
    """Read a page of its messages, each once with its parent, and of its calls behind them.

    A parent's other children are branches. A page ends at LARGEST bytes, or MOST messages and
    calls; its `next` is the `after` of the following one. Raises KeyError where there is no such
    message or call.
    """
    payload = ("params", "response", "salt", "commitment", "classic")
    calls = list(conversation.snapshots.defer(*payload).order_by("id"))
    tree = build_tree(conversation.messages.for_owner().without_texts(), calls)
    nodes = list(dict.fromkeys(tree.nodes.values()))
    entries: list[Node | Snapshot] = [*nodes, *calls]
    places = {_id_of(entry): place for place, entry in enumerate(entries)}
    begin = places[after] + 1 if after else 0
    page = next(pack(entries[begin:], _size_of, LARGEST, MOST), [])
    by_row = {node.message.id: node for node in nodes}
    shown = [entry.message for entry in page if isinstance(entry, Node)]
    end = begin + len(page)
    return {
        "messages": [
            _message(by_row[row.id], message) for row, message in download.read_texts(shown)
        ],
        "snapshots": [_call(entry, tree) for entry in page if isinstance(entry, Snapshot)],
        "next": str(_id_of(page[-1])) if end < len(entries) else None,
    }


def _id_of(entry: Node | Snapshot) -> UUID:
    return entry.message.id if isinstance(entry, Node) else entry.id


def _size_of(entry: Node | Snapshot) -> int:
    """Return the bytes that it has on a page, about."""
    size: int = entry.message.size if isinstance(entry, Node) else len(entry.error)  # type: ignore[attr-defined]
    return size + EACH


def _message(node: Node, message: Json) -> Json:
    return {
        "id": str(node.message.id),
        "parent": str(node.parent.message.id) if node.parent else None,
        "origin": node.message.origin,
        "message": message,
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
