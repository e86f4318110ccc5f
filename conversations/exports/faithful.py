"""JSON lines, one a call: every field, and request and reply as record.rebuild gives them, files in
their places.

A file that storage has lost is named by its sha256 where it was, and listed as `lost`. Where people
have aliases it is no faithful copy.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from django.utils.translation import gettext_lazy as _

from .. import exact_json
from ..base64_text import Spelling
from ..models import Seal, Snapshot
from ..people.identity import Names
from ..record import attachments
from ..record.rebuild import rebuild_many
from ..shape import Json
from .format import Format
from .selection import Stretch

# Not here: the parts that request and reply are made of, and what is of the running call.
LEFT_OUT = ("conversation", "owner", "params", "response", "stop", "process", "classic", "attempts")
# What leads to a person, or proves a guess about what they sent.
CLUES = ("key", "address", "user_agent", "salt")
FIELDS = [field for field in Snapshot._meta.concrete_fields if field.name not in LEFT_OUT]


class LinesFormat(Format):
    name, suffix = "jsonl", "jsonl"
    label = _("JSONL, the faithful copy")
    description = _(
        "One line per call: every field, the request and the reply exactly as they were. It can be"
        " verified against the seals."
    )
    at_once, whole = 200, True

    def __init__(self, names: Names, folder: Path | None = None) -> None:
        super().__init__(names, folder)
        self.whole = not names.hidden

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        seals = Seal.objects.filter(number__in=stretch.seals.values())
        digests = {
            subject: bytes(digest).hex()
            for subject, digest in seals.values_list("subject", "digest")
        }
        files = FileRestorer()
        for call, messages in rebuild_many(stretch.measure_calls(), self.names, file=files):
            files.lost = {}
            response = messages.response(call)
            line = {
                "seal": stretch.seals[call.id],
                "digest": digests[call.id],
                **self.fields(call),
                "request": orjson.Fragment(messages.request(call)),
                "response": orjson.Fragment(response) if response else None,
                **self.identifying(call, files),
            }
            if files.lost:
                line["lost"] = list(files.lost)
            yield exact_json.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

    def fields(self, call: Snapshot) -> Json:
        names, owner = self.names, call.owner
        conversation = call.conversation
        fields: Json = {
            field.attname.removesuffix("_id") if field.is_relation else field.name: _plain(
                getattr(call, field.attname)
            )
            for field in FIELDS
        }
        fields["owner"] = {
            "user_name": names.name(owner),
            "job_title": names.job_title(owner),
            "department": names.department(owner),
        }
        if not names.hidden:
            fields["owner"]["id"] = owner.pk
        fields["conversation"] = conversation and {
            "id": conversation.id,
            "title": conversation.title,
            "shown": conversation.shown,
        }
        fields["attempts"] = orjson.loads(call.attempts or "[]")
        return fields

    def identifying(self, call: Snapshot, files: "FileRestorer") -> Json:
        """The fields that are others, or empty, where people have aliases."""
        if self.names.hidden:
            return {"end_user": self.names.end_user(call), "classic": None} | dict.fromkeys(CLUES)
        if call.classic is None:
            return {"classic": None}
        return {"classic": attachments.restore(exact_json.loads(call.classic), files)}


class FileRestorer:
    """Puts files back in their places, or their names where storage has lost them."""

    def __init__(self) -> None:
        self.lost: dict[str, None] = {}

    def __call__(self, digest: str, prefix: str, spelling: Spelling | None = None) -> str:
        try:
            return attachments.encode_file(digest, prefix, spelling)
        except FileNotFoundError:
            self.lost[digest] = None
            return attachments.describe_file(digest, prefix)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value
