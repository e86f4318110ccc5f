"""One row a call, in the classic columns: for reporting, in a spreadsheet too.

JSONL is the faithful copy.
RFC 4180, everything quoted, UTF-8 with a byte order mark. A cell that a spreadsheet would take for
a formula gets an apostrophe in front. A longer text than a cell holds is cut, and the sha256 of the
whole stands beside it. Files are named by their sha256.
"""

from collections.abc import Generator, Iterable, Iterator
from datetime import UTC
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from .. import database
from ..models import Snapshot
from ..models.snapshot import CallSize
from ..people.identity import Names
from ..record.rebuild import rebuild_many

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
LARGEST = 512 << 20  # bytes of requests and replies, whole, that the rows of one file stand for
LONGEST = 32_000  # characters; a spreadsheet's cell ends at 32,767
BOM = b"\xef\xbb\xbf"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
AT_ONCE = 200  # rows of a stretch; of calls, as many of these as memory holds (rebuild_many)


class Line(NamedTuple):
    """A row of the file: its id, its cells, and the bytes that it stands for."""

    row: UUID
    cells: tuple[str, ...]
    weight: int


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

    Each stretch is read by itself, and no line waits for its reader with a connection or a
    transaction in hand. Evidence does not change between them, except that a pending call closes.
    Once the rows stand for LARGEST bytes, a last line says so, and where older ones are.
    """

    def __init__(self, rows: QuerySet, columns: tuple[str, ...]) -> None:
        self.rows = rows.order_by("-id")
        self.columns = columns
        self.last: UUID | None = None
        self.address = ""  # of this file, ready for another parameter
        self.lines = self._write()

    def below(self, before: UUID | None, address: str) -> "CsvStream":
        """Begin below this row, and name the address at which the file goes on."""
        self.last, self.address = before, address
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self.lines)
        finally:
            database.release()

    def close(self) -> None:
        """End with the response: a reader that has gone costs no more rows."""
        self.lines.close()

    def _write(self) -> Generator[bytes, None, None]:
        yield BOM + csv_line(self.columns)
        size = 0
        while stretch := self.read(self.rows.filter(id__lt=self.last) if self.last else self.rows):
            for row, values, weight in self.values(stretch):
                if size > LARGEST:
                    yield self._say_where_it_goes_on()
                    return
                yield csv_line(values)
                self.last = row
                size += weight
            self.last = stretch[-1].id

    def read(self, rows: QuerySet) -> list[Any]:
        """Read the next stretch; its last row ends it."""
        return list(rows[:AT_ONCE])

    def values(self, rows: list[Any]) -> Iterable[Line]:
        raise NotImplementedError

    def _say_where_it_goes_on(self) -> bytes:
        text = _(
            "This file ends here: its rows stand for %(size)d MB. The older rows are at"
            " %(address)s. An export has all rows."
        )
        address = f"{self.address}before={self.last}"
        words = text % {"size": LARGEST >> 20, "address": address}
        return csv_line((words, *[""] * (len(self.columns) - 1)))


class CallTable(CsvStream):
    def __init__(self, calls: QuerySet[Snapshot], names: Names) -> None:
        self.names = names
        super().__init__(calls, COLUMNS)

    def read(self, rows: QuerySet) -> list[CallSize]:
        return rows.sizes(AT_ONCE)  # type: ignore[attr-defined, no-any-return]

    def values(self, rows: list[CallSize]) -> Iterable[Line]:
        for call, messages in rebuild_many(rows, self.names):
            request, response = messages.request(call), messages.response(call)
            weight = len(request) + len(response)
            yield Line(call.id, classic_row(call, self.names, request, response), weight)
