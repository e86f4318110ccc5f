"""One row a call, in the classic columns: for reporting, in a spreadsheet too.

JSONL is the faithful copy.
RFC 4180, everything quoted, UTF-8 with a byte order mark. A cell that a spreadsheet would take for
a formula gets an apostrophe in front. A longer text than a cell holds is cut, and the sha256 of the
whole stands beside it. Files are named by their sha256.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from django.db.models import QuerySet

from .. import database
from ..models import Snapshot
from ..people.identity import Names
from ..record.rebuild import Rebuilder

SCHEMA_VERSION = "1"
COLUMNS = (
    "id",
    "request",
    "response",
    "usage_info",
    "user_name",
    "title",
    "response_time",
    "convo_title",
    "convo_show",
    "root_gpt_id",
    "model",
    "status",
    "kind",
    "text_truncated",
    "text_sha256",
    "schema_version",
)
LONGEST = 32_000  # characters; a spreadsheet's cell ends at 32,767
BOM = b"\xef\xbb\xbf"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Calls that are read, with their conversations' messages, in one go: what memory holds.
AT_ONCE = 200


def cell(text: str) -> str:
    if text.startswith(FORMULA):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"'


def csv_line(values: tuple[str, ...]) -> bytes:
    return (",".join(map(cell, values)) + "\r\n").encode()


def classic_row(call: Snapshot, names: Names, request: str, response: str) -> tuple[str, ...]:
    """The columns of a call that has its owner and its conversation at hand."""
    # To the classic gateway a title call is of no conversation.
    is_title = call.kind == Snapshot.Kind.TITLE
    conversation = None if is_title else call.conversation
    title = conversation.title if conversation else ""
    usage = {
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": call.completion_tokens,
        "total_tokens": call.total_tokens,
    }
    return (
        str(call.classic_id or call.id),
        request[:LONGEST],
        response[:LONGEST],
        "" if call.prompt_tokens is None else orjson.dumps(usage).decode(),
        names.name(call.owner),
        names.job_title(call.owner),
        call.closed.astimezone(UTC).replace(tzinfo=None).isoformat(" ") if call.closed else "",
        "summarizer" if is_title else title,
        "true" if conversation and conversation.shown else "false",
        conversation.classic_root or str(conversation.id) if conversation else "",
        call.model,
        call.status,
        call.kind,
        *cut_columns(request=request, response=response),
        SCHEMA_VERSION,
    )


def cut_columns(**texts: str) -> tuple[str, str]:
    """The names of the texts that are longer than a cell, and their sha256."""
    longer = {name: text for name, text in texts.items() if len(text) > LONGEST}
    return " ".join(longer), " ".join(sha256(text.encode()).hexdigest() for text in longer.values())


class CsvStream:
    """The lines of a CSV, as a response streams them: newest row first, none later than the first.

    Each stretch is read by itself and its connection given back: a slow reader holds neither a
    connection nor a transaction. Evidence does not change between them, except that a pending call
    closes.
    """

    def __init__(self, rows: QuerySet, columns: tuple[str, ...]) -> None:
        self.rows = rows.order_by("-id")
        self.last: UUID | None = None
        self.waiting: Iterator[bytes] = iter([BOM + csv_line(columns)])

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self.waiting)
        except StopIteration:
            try:
                self.waiting = iter(self.stretch())
            finally:
                database.release()
            return next(self.waiting)

    def stretch(self) -> list[bytes]:
        older = self.rows.filter(id__lt=self.last) if self.last else self.rows
        rows = list(older[:AT_ONCE])
        if not rows:
            return []
        self.last = rows[-1].id
        return [csv_line(values) for values in self.values(rows)]

    def values(self, rows: list[Any]) -> Iterable[tuple[str, ...]]:
        raise NotImplementedError


class CallTable(CsvStream):
    def __init__(self, calls: QuerySet[Snapshot], names: Names) -> None:
        self.names = names
        super().__init__(calls.select_related("owner", "conversation"), COLUMNS)

    def values(self, calls: list[Snapshot]) -> Iterable[tuple[str, ...]]:
        messages = Rebuilder(
            (call.conversation_id for call in calls if call.conversation_id), self.names
        )
        return (
            classic_row(call, self.names, messages.request(call), messages.response(call))
            for call in calls
        )
