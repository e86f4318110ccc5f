"""Requests and replies as they were, made again from their rows.

A request is its params, the path of its preamble and the path of its head; a response names the
rows of its replies. What comes out is equal as JSON to what left and what came: every field, every
spelling, every file, checked against the snapshot's commitment by tests.

`rebuild_request` and `rebuild_response` read the rows of one call. A `Rebuilder` reads the messages
on the paths of some calls once, for the many calls that share them: a call at turn 100 repeats the
99 turns before it, and each message is made JSON only once. `rebuild_many` takes calls as many at a
time as their texts allow: memory holds a few MB of them, or one call.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import orjson
from django.db.models import Case, OuterRef, QuerySet, Subquery, TextField, Value, When

from .. import exact_json
from ..database import execute
from ..models import Message, Snapshot
from ..models.snapshot import CallSize
from ..packs import pack
from ..shape import Json
from ..speech import dialects
from ..speech.recorded import FIELDS, Recorded
from . import attachments, threads
from .paths import read_path
from .rows import MESSAGE


def rebuild_request(snapshot: Snapshot) -> Json:
    """Make the request again as it was sent."""
    params: Json = attachments.restore(exact_json.loads(snapshot.params))
    if not _has_message_rows(snapshot):
        return params
    preamble = attachments.restore(read_path(snapshot.preamble_id))
    turns = attachments.restore(read_path(snapshot.head_id))
    return dialects.join_request(Recorded(params, preamble, turns))


def rebuild_response(snapshot: Snapshot) -> Json | None:
    """Make the upstream's reply again; of a stream, the completion that it amounts to.

    None where there was no reply.
    """
    if not snapshot.response:
        return None
    response: Json = exact_json.loads(snapshot.response)
    for choice, message in _list_kept_replies(snapshot, response):
        row = Message.objects.get(id=message.pop(MESSAGE))
        choice["message"] = threads.put_together(row.role, row.text, row.raw) | message
    restored: Json = attachments.restore(response)
    return restored


def with_responses(messages: QuerySet[Message], calls: Collection[UUID]) -> QuerySet[Message]:
    """Load with each reply of these calls, as `response`, what find_reasoning reads, or None."""
    if not calls:
        return messages.annotate(response=Value(None, TextField()))
    responses = Snapshot.objects.with_reasoning().filter(id=OuterRef("snapshot_id"))
    of_reply = When(
        origin=Message.Origin.RELAYED,
        snapshot_id__in=calls,
        then=Subquery(responses.values("response")),
    )
    return messages.annotate(response=Case(of_reply, default=None))


def read_reasoning(messages: Iterable[Message]) -> dict[UUID, str]:
    """Return by row what models thought before these replies: their rows leave it out."""
    calls = {row.snapshot_id for row in messages if row.origin == Message.Origin.RELAYED}
    if not calls:
        return {}
    responses = Snapshot.objects.with_reasoning().filter(id__in=calls)
    found: dict[UUID, str] = {}
    for response in responses.values_list("response", flat=True):
        found |= find_reasoning(response)
    return found


def find_reasoning(response: str) -> dict[UUID, str]:
    """Return by row what a kept response says that the model thought."""
    choices = exact_json.loads(response).get("choices")
    messages = [
        choice.get("message")
        for choice in (choices if isinstance(choices, list) else [])
        if isinstance(choice, dict)
    ]
    found = {
        UUID(message[MESSAGE]): threads.extract_reasoning(message)
        for message in messages
        if isinstance(message, dict) and isinstance(message.get(MESSAGE), str)
    }
    return {row: text for row, text in found.items() if text}


class Naming(Protocol):
    """How people are named to one reader: conversations.people.identity.Names."""

    def request(self, body: Json) -> Json: ...

    def message(self, message: Json) -> Json: ...


class StoredMessage(NamedTuple):
    """What a request is made of; an echo has the text that it repeats."""

    parent: UUID | None
    role: str
    text: str | None
    raw: str | None


class Rebuilder:
    """All messages on the paths of some calls, read once; each is made JSON once.

    `names` names the people in them to a reader; without it they keep their own names. `file` puts
    something in the place of each file. `for_owner` leaves out the prompts of use cases.
    """

    def __init__(
        self,
        calls: Iterable[Snapshot],
        names: Naming | None = None,
        *,
        for_owner: bool = False,
        file: Callable[..., str] = attachments.describe_file,
    ) -> None:
        self.names = names
        self.file = file
        ends = [end for call in calls for end in _list_ends(call)]
        self.rows: dict[UUID, StoredMessage] = {}
        if ends:
            for row, parent, role, text, raw, echoes in execute(
                TEXTS, {"ends": ends, "for_owner": for_owner}
            ):
                said = (text or "").strip() if echoes else text
                self.rows[row] = StoredMessage(parent, role, said, raw)
        self._fragments: dict[UUID, orjson.Fragment] = {}

    def request(self, snapshot: Snapshot) -> str:
        """Return the JSON text of what `rebuild_request` makes."""
        params = attachments.restore(exact_json.loads(snapshot.params), self.file)
        params = self.names.request(params) if self.names else params
        if _has_message_rows(snapshot):
            preamble = self._list_path(snapshot.preamble_id)
            beside = [row for row in preamble[:1] if self.rows[row].role in FIELDS]
            for row in beside:
                params |= self._encode_fields(row)
            path = preamble[len(beside) :] + self._list_path(snapshot.head_id)
            params["messages"] = [self._encode_message(message) for message in path]
        return exact_json.dumps(params).decode()

    def response(self, snapshot: Snapshot) -> str:
        """Return the JSON text of what `rebuild_response` makes; empty where nothing came."""
        if not snapshot.response:
            return ""
        response = exact_json.loads(snapshot.response)
        for choice, message in _list_kept_replies(snapshot, response):
            choice["message"] = self._build_message(UUID(message.pop(MESSAGE))) | message
        return exact_json.dumps(attachments.restore(response, self.file)).decode()

    def files(self, snapshot: Snapshot) -> list[str]:
        """Return the sha256 (hex) of each file of the request and of the reply, in order."""
        path = [
            *self._list_path(snapshot.preamble_id),
            *self._list_path(snapshot.head_id),
            *self._list_path(snapshot.reply_id)[-1:],
        ]
        texts = [snapshot.params, *(self.rows[message].raw for message in path), snapshot.response]
        references = (attachments.list_references(exact_json.loads(text)) for text in texts if text)
        return list(dict.fromkeys(digest for each in references for digest in each))

    def _encode_fields(self, row: UUID) -> Json:
        """Make the field of a request that is a row: its tools."""
        name, field = FIELDS[self.rows[row].role]
        return {name: self._encode(row, lambda body: body[field])}

    def _encode_message(self, message: UUID) -> orjson.Fragment:
        return self._encode(message, lambda body: body)

    def _encode(self, message: UUID, choose: Callable[[Json], Any]) -> orjson.Fragment:
        """Return the JSON of what is chosen of a row: of one row, always the same."""
        if message in self._fragments:
            return self._fragments[message]
        body = attachments.restore(self._build_message(message), self.file)
        fragment = orjson.Fragment(exact_json.dumps(choose(body)))
        has_files = attachments.MARK in (self.rows[message].raw or "")
        if self.file is attachments.describe_file or not has_files:  # no file is kept in memory
            self._fragments[message] = fragment
        return fragment

    def _list_path(self, head: UUID | None) -> list[UUID]:
        """List the messages from a root to this one.

        A prompt that is not its owner's to read is not there.
        """
        path = []
        while head and head in self.rows:
            path.append(head)
            head = self.rows[head].parent
        return path[::-1]

    def _build_message(self, message: UUID) -> Json:
        row = self.rows[message]
        body = threads.put_together(row.role, row.text, row.raw)
        return self.names.message(body) if self.names else body


WALK = """
    WITH RECURSIVE walk AS (
        SELECT id, parent_id FROM conversations_message WHERE id = ANY(%(ends)s)
        UNION
        SELECT m.id, m.parent_id FROM walk JOIN conversations_message m ON m.id = walk.parent_id)
    SELECT m.id, m.parent_id, {columns}
    FROM walk JOIN conversations_message m ON m.id = walk.id
    LEFT JOIN conversations_message echoed ON echoed.id = m.echo_of_id
    WHERE {condition}"""
SIZES = WALK.format(
    columns="""coalesce(octet_length(m.text), 0) + coalesce(octet_length(m.raw), 0)
        + coalesce(octet_length(echoed.text), 0)""",
    condition="true",
)
# Without the system prompts of use cases for an owner, as MessageQuerySet.for_owner.
TEXTS = WALK.format(
    columns="m.role, coalesce(echoed.text, m.text), m.raw, m.echo_of_id IS NOT NULL",
    condition="""NOT (%(for_owner)s AND EXISTS (
        SELECT FROM conversations_snapshot s
        WHERE s.id = m.snapshot_id AND s.preamble_id = m.id AND s.use_case > ''))""",
)
MOST_BYTES = 8 << 20  # of texts that are read in one go, unless one call has more
MOST_STEPS = 100_000  # messages on the paths of the calls that are read in one go


def rebuild_many(
    sizes: Iterable[CallSize],
    names: Naming | None = None,
    *,
    for_owner: bool = False,
    file: Callable[[str, str], str] = attachments.describe_file,
) -> Iterator[tuple[Snapshot, Rebuilder]]:
    """Yield calls, with their owners and conversations, in the order of their sizes.

    With each what makes its request and reply again. Calls that are gone are left out.
    """
    rows = Snapshot.objects.select_related("owner", "conversation")
    for measured in pack(sizes, lambda call: call.bytes, MOST_BYTES):
        for part in pack(measured, lambda call: call.steps, MOST_STEPS):
            found = rows.in_bulk([call.id for call in part])
            calls = [found[call.id] for call in part if call.id in found]
            for group in _share_out(calls):
                rebuilder = Rebuilder(group, names, for_owner=for_owner, file=file)
                yield from ((call, rebuilder) for call in group)


def _share_out(calls: list[Snapshot]) -> Iterator[list[Snapshot]]:
    """Yield the calls in groups: the messages of the first, and at most MOST_BYTES of others."""
    ends = [end for call in calls for end in _list_ends(call)]
    rows = execute(SIZES, {"ends": ends}).fetchall() if ends else []
    places = {row: MeasuredMessage(parent, size) for row, parent, size in rows}
    group: list[Snapshot] = []
    held: set[UUID] = set()
    size = 0  # of all but the first
    for call in calls:
        more = _hold_path(call, places, held)
        if group and size + more > MOST_BYTES:
            yield group
            group, held = [], set()
            size = 0
            _hold_path(call, places, held)
        elif group:
            size += more
        group.append(call)
    if group:
        yield group


class MeasuredMessage(NamedTuple):
    parent: UUID | None
    size: int  # bytes


def _hold_path(call: Snapshot, places: Mapping[UUID, MeasuredMessage], held: set[UUID]) -> int:
    """Add the messages of a call to those that are held. Return the bytes of the new ones."""
    size = 0
    for end in _list_ends(call):
        step: UUID | None = end
        while step and step in places and step not in held:
            held.add(step)
            step, more = places[step]
            size += more
    return size


def _list_ends(call: Snapshot) -> list[UUID]:
    """List the messages from which the paths of a call lead up: the last ones, and its replies."""
    ends = [call.preamble_id, call.head_id, call.reply_id]
    if call.response.count(f'"{MESSAGE}"') > 1:  # more choices than the first
        kept = _list_kept_replies(call, exact_json.loads(call.response))
        ends += [UUID(message[MESSAGE]) for _choice, message in kept]
    return [end for end in ends if end]


def _has_message_rows(snapshot: Snapshot) -> bool:
    """Tell whether the messages of a request are rows, and not part of its params."""
    return snapshot.kind == Snapshot.Kind.CHAT and bool(snapshot.head_id or snapshot.preamble_id)


def _list_kept_replies(snapshot: Snapshot, response: Any) -> Iterator[tuple[Json, Json]]:
    """Yield each choice of a kept response whose message names a row, and that message."""
    if snapshot.conversation_id is None:
        return
    for choice in response.get("choices") or []:
        message = choice.get("message") if isinstance(choice, dict) else None
        if isinstance(message, dict) and MESSAGE in message:
            yield choice, message
