"""Requests and replies as they were, made again from their rows: one call's, or those of many from one read."""

from collections.abc import Callable, Iterable
from typing import Protocol
from uuid import UUID

import orjson

from ..database import execute
from ..models import Message, Snapshot
from ..shape import Json
from . import attachments, threads


def rebuild_request(snapshot: Snapshot) -> Json:
    """The request as it was sent: equal as JSON, every field and spelling."""
    params = attachments.restore(orjson.loads(snapshot.params))
    if (
        snapshot.head_id is None and snapshot.preamble_id is None
    ) or snapshot.kind != Snapshot.Kind.CHAT:
        return params
    return params | {
        "messages": attachments.restore(
            read_path(snapshot.preamble_id) + read_path(snapshot.head_id)
        )
    }


def rebuild_response(snapshot: Snapshot) -> Json | None:
    """The upstream's reply (a stream's: the completion that it amounts to). None where there was none."""
    if not snapshot.response:
        return None
    response = orjson.loads(snapshot.response)
    for choice in (response.get("choices") or []) if snapshot.conversation_id else []:
        message = choice.get("message") if isinstance(choice, dict) else None
        if isinstance(message, dict) and MESSAGE in message:
            row = Message.objects.get(id=message.pop(MESSAGE))
            choice["message"] = threads.put_together(row.role, row.text, row.raw) | message
    return attachments.restore(response)


def read_path(head: UUID | None) -> list[Json]:
    """The messages from a root to this one, their files still taken out."""
    if head is None:
        return []
    rows = execute(PATH, {"head": head}).fetchall()
    return [
        threads.put_together(role, echoed.strip() if echoed is not None else text, raw)
        for role, text, raw, echoed in rows
    ]


MESSAGE = "$message"  # in a kept response, where a message's row is named
PATH = """
    WITH RECURSIVE walk AS (
        SELECT id, parent_id, depth, role, text, raw, echo_of_id FROM conversations_message WHERE id = %(head)s
        UNION ALL
        SELECT m.id, m.parent_id, m.depth, m.role, m.text, m.raw, m.echo_of_id
        FROM walk JOIN conversations_message m ON m.id = walk.parent_id)
    SELECT walk.role, walk.text, walk.raw, echoed.text
    FROM walk LEFT JOIN conversations_message echoed ON echoed.id = walk.echo_of_id
    ORDER BY walk.depth"""
FIELDS = ("id", "parent_id", "role", "text", "raw", "echo_of_id")


class Naming(Protocol):
    """How one reader is told of people: conversations.people.identity.Names."""

    def request(self, body: Json) -> Json: ...

    def message(self, message: Json) -> Json: ...


class Messages:
    """All messages of some conversations, each made JSON once however many requests it is part of; of people as `names` names them, their own without it."""

    def __init__(
        self,
        conversations: Iterable[UUID],
        names: Naming | None = None,
        *,
        for_owner: bool = False,
        file: Callable[[str, str], str] = attachments.describe_file,
    ) -> None:
        self.names = names
        self.file = file
        rows = Message.objects.filter(conversation__in=set(conversations))
        rows = rows.for_owner() if for_owner else rows
        self.rows = {id: row for id, *row in rows.values_list(*FIELDS)}
        self.made: dict[UUID, orjson.Fragment] = {}

    def request(self, snapshot: Snapshot) -> str:
        """The JSON text of what record.rebuild gives."""
        params = attachments.restore(orjson.loads(snapshot.params), self.file)
        params = self.names.request(params) if self.names else params
        if snapshot.kind == Snapshot.Kind.CHAT and (snapshot.head_id or snapshot.preamble_id):
            params["messages"] = [
                self.fragment(id)
                for id in self.path(snapshot.preamble_id) + self.path(snapshot.head_id)
            ]
        return orjson.dumps(params).decode()

    def response(self, snapshot: Snapshot) -> str:
        """The JSON text of what record.rebuild_response gives; empty where nothing came."""
        if not snapshot.response:
            return ""
        response = orjson.loads(snapshot.response)
        for choice in (response.get("choices") or []) if snapshot.conversation_id else []:
            message = choice.get("message") if isinstance(choice, dict) else None
            if isinstance(message, dict) and MESSAGE in message:
                choice["message"] = self.message(UUID(message.pop(MESSAGE))) | message
        return orjson.dumps(attachments.restore(response, self.file)).decode()

    def files(self, snapshot: Snapshot) -> list[str]:
        """The sha256 (hex) of each file of the request and of the reply, in order."""
        ids = [
            *self.path(snapshot.preamble_id),
            *self.path(snapshot.head_id),
            *self.path(snapshot.reply_id)[-1:],
        ]
        texts = [snapshot.params, *(self.rows[id][3] for id in ids), snapshot.response]
        return list(
            dict.fromkeys(
                digest
                for text in texts
                if text
                for digest in attachments.list_references(orjson.loads(text))
            )
        )

    def fragment(self, id: UUID) -> orjson.Fragment:
        if id in self.made:
            return self.made[id]
        made = orjson.Fragment(orjson.dumps(attachments.restore(self.message(id), self.file)))
        if self.file is attachments.describe_file or attachments.MARK not in (
            self.rows[id][3] or ""
        ):  # whole files are not held
            self.made[id] = made
        return made

    def path(self, head: UUID | None) -> list[UUID]:
        """From a root to this message."""
        path = []
        while head and head in self.rows:  # a prompt that is not its owner's to read is not there
            path.append(head)
            head = self.rows[head][0]
        return path[::-1]

    def message(self, id: UUID) -> Json:
        _, role, text, raw, echo_of = self.rows[id]
        message = threads.put_together(
            role, self.rows[echo_of][2].strip() if echo_of else text, raw
        )
        return self.names.message(message) if self.names else message
