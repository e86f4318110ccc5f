"""JSON lines, one a call: every field, and request and reply as record.rebuild gives them, files in their places.

A file that storage has lost is named by its sha256 where it was, and listed as `lost`. Where people have aliases it is no faithful copy.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from ..models import Seal, Snapshot
from ..people.identity import Names
from ..record import attachments
from ..record.rebuild import Messages
from ..shape import Json
from .format import Format
from .selection import Stretch

# Not here: the parts that request and reply are made of, and what is of the running call.
LEFT_OUT = ("conversation", "owner", "params", "response", "stop", "process", "classic", "attempts")
CLUES = (
    "key",
    "address",
    "user_agent",
    "salt",
)  # what leads to a person, or proves a guess about what they sent
FIELDS = [field for field in Snapshot._meta.concrete_fields if field.name not in LEFT_OUT]


class LinesFormat(Format):
    name, label, suffix = "jsonl", "JSONL, the faithful copy", "jsonl"
    says = "One line a call: every field, the request and the reply exactly as they were. It can be held against the seals."
    at_once, whole = 200, True

    def __init__(self, names: Names, folder: Path | None = None) -> None:
        super().__init__(names, folder)
        self.whole = not names.hidden

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        calls = Snapshot.objects.select_related("owner", "conversation").in_bulk(
            list(stretch.seals)
        )
        digests = {
            subject: bytes(digest).hex()
            for subject, digest in Seal.objects.filter(
                number__in=stretch.seals.values()
            ).values_list("subject", "digest")
        }
        files = Files()
        messages = Messages(
            (call.conversation_id for call in calls.values() if call.conversation_id),
            self.names,
            file=files,
        )
        for id, number in stretch.seals.items():
            files.lost = {}
            yield orjson.dumps(
                self.said(calls[id], number, digests[id], messages, files),
                option=orjson.OPT_APPEND_NEWLINE,
            )

    def said(
        self, call: Snapshot, number: int, digest: str, messages: Messages, files: "Files"
    ) -> Json:
        names, owner, conversation = self.names, call.owner, call.conversation
        response = messages.response(call)
        said = {
            "seal": number,
            "digest": digest,
            **{
                field.attname.removesuffix("_id") if field.is_relation else field.name: _plain(
                    getattr(call, field.attname)
                )
                for field in FIELDS
            },
            "owner": {
                "user_name": names.name(owner),
                "job_title": names.job_title(owner),
                "department": names.department(owner),
            },
            "conversation": None
            if conversation is None
            else {"id": conversation.id, "title": conversation.title, "shown": conversation.shown},
            "attempts": orjson.loads(call.attempts or "[]"),
            "request": orjson.Fragment(messages.request(call)),
            "response": orjson.Fragment(response) if response else None,
        }
        if names.hidden:
            said |= {"end_user": names.end_user(call), "classic": None} | dict.fromkeys(CLUES)
        else:
            said["owner"]["id"] = owner.pk
            said["classic"] = (
                None
                if call.classic is None
                else attachments.restore(orjson.loads(call.classic), files)
            )
        return said | ({"lost": list(files.lost)} if files.lost else {})


class Files:
    """Puts a file back in its place; or its name, where storage lost it."""

    def __init__(self) -> None:
        self.lost: dict[str, None] = {}

    def __call__(self, digest: str, prefix: str) -> str:
        try:
            return attachments.encode_file(digest, prefix)
        except FileNotFoundError:
            self.lost[digest] = None
            return attachments.describe_file(digest, prefix)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value
