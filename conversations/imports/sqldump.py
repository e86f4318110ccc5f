"""Rows of chosen tables out of a plain SQL dump.

COPY blocks and INSERT statements are read, as pg_dump, psql and database tools write them.
Nothing in the file is executed. The file is mapped, not read: memory holds one row, and some 50
bytes for each row that the dump has. Two passes, so that rows come in the order of a column. What
cannot be read is reported with its place, in bytes.
"""

import mmap
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .sqlvalues import (
    BrokenDump,
    UnreadableDump,
    check_type,
    decode,
    split_fields,
    unescape_copied,
    unescape_text,
    write_number,
)

LONGEST = 64 * 1024 * 1024  # bytes of a row
PLACE = 1 << 48  # more than a file has bytes
UTF_16 = (
    "The file is UTF-16, as PowerShell redirects it. Make UTF-8 of it first:"
    " iconv -f UTF-16 -t UTF-8 THE_FILE > classic.sql"
)
NOT_SQL = {
    b"PGDMP": "This is pg_dump's custom format. `pg_restore --no-owner -f classic.sql THE_FILE`"
    " makes SQL of it.",
    b"toc.dat": "This is pg_dump's tar format. `pg_restore --no-owner -f classic.sql THE_FILE`"
    " makes SQL of it.",
    b"\x1f\x8b": "The file is compressed. Unpack it first: gunzip -k THE_FILE",
    b"BZh": "The file is compressed. Unpack it first: bunzip2 -k THE_FILE",
    b"\xfd7zXZ": "The file is compressed. Unpack it first: unxz -k THE_FILE",
    b"\x28\xb5\x2f\xfd": "The file is compressed. Unpack it first: unzstd THE_FILE",
    b"\x04\x22\x4d\x18": "The file is compressed. Unpack it first: unlz4 THE_FILE",
    b"PK\x03\x04": "The file is a ZIP archive. Unpack it first.",
    b"7z\xbc\xaf": "The file is a 7z archive. Unpack it first.",
    b"\xff\xfe": UTF_16,
    b"\xfe\xff": UTF_16,
}
SPACE = re.compile(rb"\s*")
WORD = re.compile(rb"[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*")
NUMBER = re.compile(rb"[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?")
DOLLARS = re.compile(rb"\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$")
COMMENT = re.compile(rb"/\*|\*/")
QUOTE, NAME_QUOTE = re.compile(rb"'"), re.compile(rb'"')
BACKSLASH = ord("\\")
QUOTE_OR_BACKSLASH = re.compile(rb"['\\]")
INCLUDES = {b"i", b"ir", b"include", b"include_relative", b"copy"}
BEFORE_TABLE = {b"UNLOGGED", b"TEMP", b"TEMPORARY", b"GLOBAL", b"LOCAL", b"FOREIGN"}
NO_COLUMN = {b"CONSTRAINT", b"PRIMARY", b"UNIQUE", b"CHECK", b"FOREIGN", b"EXCLUDE", b"LIKE"}
# '…', json '…', '…'::timestamp(6) without time zone: one letter for each token
TYPED = re.compile(r"(?P<before>w*)t(?:::(?P<behind>w+(?:\(n\))?w*))?")
SIMPLE = 12  # tokens of a value
MOST_COLUMNS = 1600  # of a table, in PostgreSQL


class Token(NamedTuple):
    # w word, q quoted name, t text, e text with backslashes, n number, "" the end; else the
    # character itself
    kind: str
    start: int
    end: int


@dataclass(slots=True)
class Block:
    """The rows that follow one COPY or one INSERT."""

    table: str
    columns: list[str]
    start: int
    copied: bool


class Dump:
    def __init__(
        self,
        path: str | Path,
        tables: Collection[str],
        order: Callable[[str | None], int],
        column: str,
    ) -> None:
        """Read the file once. `order` gives a row's place from its `column`."""
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise BrokenDump("The file is empty.")
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        for magic, advice in NOT_SQL.items():
            if self.data[: len(magic)] == magic:
                raise BrokenDump(advice)
        if b"\0" in self.data[:2]:  # of a letter: UTF-16 that does not say so
            raise BrokenDump(UTF_16)
        self.at = 3 if self.data[:3] == b"\xef\xbb\xbf" else 0
        self.tables = tables
        self.order, self.column = order, column
        self.blocks: list[Block] = []
        self.created: dict[str, list[str]] = {}  # the columns of tables that the dump creates
        self.parents: dict[str, str] = {}  # of partitions, and of tables that inherit
        self.others: set[str] = set()  # tables with rows that are not read
        self.index: dict[str, list[int]] = {table: [] for table in tables}
        self.problem = ""  # why the dump could not be read to its end
        try:
            while self.statement():
                pass
        except BrokenDump as why:
            self.problem = f"byte {self.at:,}: {why}"
        for places in self.index.values():
            places.sort()
        self.starts = [block.start for block in self.blocks]

    def count(self, table: str) -> int:
        return len(self.index[table])

    def rows(self, table: str) -> Iterator[tuple[str, dict[str, str | None] | UnreadableDump]]:
        """Yield the place of each row, and its columns or why it cannot be read."""
        for place in self.index[table]:
            self.at = place % PLACE
            where, block = f"byte {self.at:,}", self.blocks[bisect_right(self.starts, self.at) - 1]
            try:
                yield where, self.read_row(block)
            except UnreadableDump as why:
                yield where, why

    @property
    def unread(self) -> dict[str, str]:
        """Tables with rows that may be partitions of a wanted one, but the dump does not say so."""
        return {
            other: f"it may be a partition of {table}: make the dump with its tables, or with"
            " pg_dump --load-via-partition-root"
            for other in sorted(self.others)
            for table in self.tables
            if other.startswith(f"{table}_")
            and not (other in self.created or other in self.parents)
        }

    # Statements -------------------------------------------------------------------------------

    def statement(self) -> bool:
        """Pass one statement and note where its rows are. False at the end of the file."""
        first = self.token()
        if not first.kind:
            return False
        if first.kind == "\\":
            self.command()
        elif read := self.STATEMENTS.get(self.upper(first)):
            read(self)
        elif first.kind != ";":
            self.skip()
        return True

    def command(self) -> None:
        """Pass a command of psql: \\restrict, \\connect. Raises BrokenDump for one that matters."""
        end = self.line_end(self.at)
        name, *values = self.data[self.at : end].split() or [b""]
        if name == b"encoding":
            check_encoding(b" ".join(values))
        if name in INCLUDES:
            raise BrokenDump(f"\\{name.decode()} reads another file. Import that one too")
        self.at = end + 1

    def copy(self) -> None:
        name = self.name()
        if not name:
            return self.skip()
        columns = self.names() if self.peek().kind == "(" else self.created.get(name, [])
        if [self.upper(self.token()), self.upper(self.token())] != [b"FROM", b"STDIN"]:
            return self.skip()
        table, is_plain = self.wanted(name), self.peek().kind == ";"
        if table and not is_plain:
            raise BrokenDump(f"a COPY of {name} with options. Make it with pg_dump")
        self.skip()
        self.at = self.line_end(self.at) + 1
        if table:
            self.blocks.append(Block(table, columns, self.at, copied=True))
        while True:
            start = self.at
            end = self.copied_end(start) if is_plain else self.line_end(start)
            if self.data[start : min(end, start + 3)].rstrip(b"\r") == b"\\.":
                self.at = end + 1
                return None
            if end == len(self.data):
                raise BrokenDump("the file ends in the middle of a COPY")
            if table:
                self.note(self.blocks[-1], start)
            else:
                self.others.add(name)
            self.at = end + 1

    def insert(self) -> None:
        name = self.name() if self.upper(self.token()) == b"INTO" else ""
        table = self.wanted(name)
        if not table:
            self.others.add(name)
            return self.skip()
        columns = self.names() if self.peek().kind == "(" else self.created.get(name, [])
        while (token := self.token()).kind == "w" and self.upper(token) != b"VALUES":
            pass  # OVERRIDING SYSTEM VALUE
        if token.kind != "w" or self.peek().kind != "(":
            raise BrokenDump(f"an INSERT INTO {name} that is not a list of VALUES")
        self.blocks.append(Block(table, columns, self.peek().start, copied=False))
        while self.peek().kind == "(":
            self.note(self.blocks[-1], self.peek().start)
            if self.peek().kind == ",":
                self.token()
        return self.skip(end_of_file=True)

    def wanted(self, name: str) -> str:
        """The wanted table that this one is, or is a partition of; empty where it is neither."""
        seen = set[str]()
        while name in self.parents and name not in seen:
            seen.add(name)
            name = self.parents[name]
        return name if name in self.tables else ""

    def create(self) -> None:
        """Note the columns of a table, for statements that name none, and whose partition it is."""
        while (token := self.token()).kind == "w" and self.upper(token) in BEFORE_TABLE:
            pass
        if self.upper(token) != b"TABLE":
            return self.skip(token)
        while self.upper(self.peek()) in (b"IF", b"NOT", b"EXISTS"):
            self.token()
        table = self.name()
        if self.peek().kind == "(":
            self.token()
            self.created[table] = self.columns_of_table()
        token = self.token()
        if [self.upper(token), self.upper(self.peek())] == [b"PARTITION", b"OF"]:
            self.token()
            parent = self.name()
            self.created[table] = self.created.get(parent, [])
            self.adopt(table, parent)
            return self.skip()
        if self.upper(token) == b"INHERITS":
            self.token()
            self.created.pop(table, None)  # these are the ones of its own alone
            self.adopt(table, self.name())
            return self.skip()
        return self.skip(token)

    def alter(self) -> None:
        """Note a partition: ALTER TABLE [IF EXISTS] [ONLY] … ATTACH PARTITION …"""
        if (token := self.token()).kind != "w" or self.upper(token) != b"TABLE":
            return self.skip(token)
        while self.upper(self.peek()) in (b"IF", b"EXISTS", b"ONLY"):
            self.token()
        parent = self.name()
        token = self.token()
        if [self.upper(token), self.upper(self.peek())] == [b"ATTACH", b"PARTITION"]:
            self.token()
            self.adopt(self.name(), parent)
            return self.skip()
        return self.skip(token)

    def adopt(self, table: str, parent: str) -> None:
        self.parents[table] = parent
        if table in self.others and self.wanted(table):
            raise BrokenDump(f"rows of {table} stand before it is a partition of {parent}")

    def columns_of_table(self) -> list[str]:
        columns = []
        while True:
            token = self.token()
            is_word = token.kind == "w" and self.upper(token) not in NO_COLUMN
            if is_word or token.kind == "q":
                columns.append(self.identifier(token))
            if token.kind == ")" or self.rest_of_item().kind != ",":
                return columns

    def assign(self) -> None:
        while (name := self.upper(self.token())) in (b"SESSION", b"LOCAL"):
            pass
        value = self.token()  # TO, =, or what follows NAMES and TIME ZONE
        if self.upper(value) in (b"TO", b"ZONE") or value.kind == "=":
            value = self.token()
        text = self.data[value.start : value.end].strip(b"'\"")
        if name in (b"CLIENT_ENCODING", b"NAMES"):
            check_encoding(text)
        if name == b"STANDARD_CONFORMING_STRINGS" and text.lower() not in (b"on", b"true", b"1"):
            raise BrokenDump(
                "the dump was made with standard_conforming_strings off. Make it with that on"
            )
        if name in (b"TIMEZONE", b"TIME") and text.upper() not in (b"UTC", b"GMT", b"0"):
            raise BrokenDump("the dump sets a time zone. Make it with PGTZ=UTC")
        self.skip(value)

    def select(self) -> None:
        """Pass a query, which may set what SET would."""
        while (token := self.token()).kind != ";":
            if not token.kind:
                raise BrokenDump("the file ends in the middle of a statement")
            text = self.data[token.start : min(token.end, token.start + 40)].strip(b"'").lower()
            if text in (b"client_encoding", b"standard_conforming_strings", b"timezone"):
                raise BrokenDump(f"the dump sets {text.decode()} by a function. Make it with SET")

    def skip(self, token: Token | None = None, *, end_of_file: bool = False) -> None:
        """Pass the rest of the statement."""
        while token is None or token.kind != ";":
            token = self.token()
            if not token.kind:
                if end_of_file:
                    return
                raise BrokenDump("the file ends in the middle of a statement")

    STATEMENTS = {
        b"COPY": copy,
        b"INSERT": insert,
        b"CREATE": create,
        b"ALTER": alter,
        b"SET": assign,
        b"SELECT": select,
    }

    def note(self, block: Block, at: int) -> None:
        """Note the place of the row that begins here; afterwards `self.at` is behind it."""
        self.at = at
        try:
            columns = self.read_row(block, {self.column})
            place = self.order(columns.get(self.column))
        except BrokenDump:
            raise
        except UnreadableDump:
            place = 0  # the second pass says why
        self.index[block.table].append(place * PLACE + at)

    # Rows -------------------------------------------------------------------------------------

    def read_row(
        self, block: Block, wanted: Collection[str] | None = None
    ) -> dict[str, str | None]:
        """Read the wanted columns, or all, of the row at `self.at`."""
        return self.copied_row(block, wanted) if block.copied else self.inserted_row(block, wanted)

    def copied_row(
        self, block: Block, wanted: Collection[str] | None = None
    ) -> dict[str, str | None]:
        start, end = self.at, self.copied_end(self.at)
        self.at = end + 1
        check_length(start, end)
        fields = split_fields(self.data[start:end].removesuffix(b"\r"))
        check_columns(block, len(fields))
        return {
            name: None if field == b"\\N" else decode(unescape_copied(field))
            for name, field in zip(block.columns, fields, strict=True)
            if wanted is None or name in wanted
        }

    def inserted_row(
        self, block: Block, wanted: Collection[str] | None = None
    ) -> dict[str, str | None]:
        start, depth = self.token().start, 0
        values: list[list[Token]] = [[]]
        while (token := self.token()).kind != ")" or depth:
            if not token.kind:
                raise BrokenDump("the file ends in the middle of an INSERT")
            depth += (token.kind == "(") - (token.kind == ")")
            if token.kind == "," and not depth:
                values.append([])
            elif len(values[-1]) < SIMPLE:
                values[-1].append(token)
            if len(values) > MOST_COLUMNS:
                raise BrokenDump("a row of more values than a table has columns")
        check_length(start, token.end)
        check_columns(block, len(values))
        return {
            name: self.literal(name, value)
            for name, value in zip(block.columns, values, strict=True)
            if wanted is None or name in wanted
        }

    def literal(self, column: str, value: list[Token]) -> str | None:
        kinds = "".join("t" if token.kind == "e" else token.kind for token in value)
        raw = [self.data[token.start : token.end] for token in value]
        if kinds == "w" and raw[0].upper() in (b"NULL", b"TRUE", b"FALSE"):
            return None if raw[0].upper() == b"NULL" else raw[0].lower().decode()
        if kinds in ("n", "-n", "+n"):
            return write_number(column, b"".join(raw).decode())
        typed = TYPED.fullmatch(kinds)
        texts = [token for token in value if token.kind in ("t", "e")]
        if len(texts) != 1 or not typed:
            raise UnreadableDump(f"{column} is an expression, not a value")
        text = self.data[texts[0].start : texts[0].end]
        before, behind = raw[: typed.end("before")], raw[typed.end("before") + 2 :]
        for name in (before, behind):
            check_type(column, b" ".join(name).replace(b" ( ", b"(").replace(b" )", b")"), text)
        if text.startswith(b"$"):
            return decode(text[text.index(b"$", 1) + 1 :].rpartition(b"$")[0].rpartition(b"$")[0])
        text = text[text.index(b"'") + 1 : -1].replace(b"''", b"'")
        return decode(unescape_text(text) if texts[0].kind == "e" else text)

    # Tokens -----------------------------------------------------------------------------------

    def token(self) -> Token:
        data, start = self.data, self.space(self.at)
        if start >= len(data):
            self.at = start
            return Token("", start, start)
        first = data[start : start + 1]
        if first == b"'":
            token = Token("t", start, self.quote_end(start + 1, QUOTE))
        elif first == b'"':
            token = Token("q", start, self.quote_end(start + 1, NAME_QUOTE))
        elif first in b"eE" and data[start + 1 : start + 2] == b"'":
            token = Token("e", start, self.quote_end(start + 2, QUOTE_OR_BACKSLASH))
        elif first == b"$" and (tag := DOLLARS.match(data, start)):
            end = data.find(tag[0], tag.end())
            if end < 0:
                raise BrokenDump("the file ends inside a text")
            token = Token("t", start, end + len(tag[0]))
        elif word := WORD.match(data, start):
            token = Token("w", start, word.end())
        elif number := NUMBER.match(data, start):
            token = Token("n", start, number.end())
        elif data[start : start + 2] == b"::":
            token = Token("::", start, start + 2)
        else:
            token = Token(first.decode("latin-1"), start, start + 1)
        self.at = token.end
        return token

    def peek(self) -> Token:
        at = self.at
        token, self.at = self.token(), at
        return token

    def space(self, at: int) -> int:
        """The place behind space and comments."""
        while True:
            at = SPACE.match(self.data, at).end()  # type: ignore[union-attr]
            if self.data[at : at + 2] == b"--":
                at = self.line_end(at)
            elif self.data[at : at + 2] == b"/*":
                at = self.comment_end(at + 2)
            else:
                return at

    def comment_end(self, at: int) -> int:
        """The place behind a comment that may hold comments."""
        depth = 1
        while depth:
            if not (mark := COMMENT.search(self.data, at)):
                raise BrokenDump("the file ends inside a comment")
            depth += 1 if mark[0] == b"/*" else -1
            at = mark.end()
        return at

    def quote_end(self, at: int, marks: re.Pattern[bytes]) -> int:
        while mark := marks.search(self.data, at):
            if mark[0] != b"\\" and self.data[mark.end() : mark.end() + 1] != mark[0]:
                return mark.end()
            at = mark.end() + 1  # doubled, or behind a backslash
        raise BrokenDump("the file ends inside a text")

    def line_end(self, at: int) -> int:
        end = self.data.find(b"\n", at)
        return len(self.data) if end < 0 else end

    def copied_end(self, at: int) -> int:
        """The end of a copied row: of a line, unless a backslash makes it a part of a value."""
        while True:
            start, at = at, self.line_end(at)
            first = at
            while first > start and self.data[first - 1] == BACKSLASH:
                first -= 1
            if at == len(self.data) or not (at - first) % 2:
                return at
            at += 1

    def rest_of_item(self) -> Token:
        """The comma or the parenthesis that ends an item of a list."""
        depth = 0
        while True:
            token = self.token()
            if not token.kind:
                raise BrokenDump("the file ends in the middle of a statement")
            if token.kind in (",", ")") and not depth:
                return token
            depth += (token.kind == "(") - (token.kind == ")")

    def name(self) -> str:
        """The last part of a table's name; empty where there is none."""
        last = ""
        while self.peek().kind in ("w", "q"):
            last = self.identifier(self.token())
            if self.peek().kind != ".":
                return last
            self.token()
        return last

    def names(self) -> list[str]:
        self.token()
        names = []
        while (token := self.token()).kind in ("w", "q"):
            names.append(self.identifier(token))
            if (token := self.token()).kind != ",":
                break
        if token.kind != ")":
            raise BrokenDump("a list of columns that is none")
        return names

    def identifier(self, token: Token) -> str:
        text = self.data[token.start : min(token.end, token.start + 300)].decode(errors="replace")
        return text[1:-1].replace('""', '"') if token.kind == "q" else text.lower()

    def upper(self, token: Token) -> bytes:
        if token.kind != "w":
            return b""
        return self.data[token.start : min(token.end, token.start + 100)].upper()


def check_length(start: int, end: int) -> None:
    if end - start > LONGEST:
        raise UnreadableDump(f"the row is longer than {LONGEST >> 20} MB")


def check_columns(block: Block, count: int) -> None:
    if not block.columns:
        raise UnreadableDump(
            "the dump names no columns for it."
            " Make it with pg_dump --column-inserts, or without --inserts"
        )
    if count != len(block.columns):
        raise UnreadableDump(f"it has {count} values for {len(block.columns)} columns")


def check_encoding(name: bytes) -> None:
    if name.strip(b"'\" \r").upper().replace(b"-", b"") not in (b"UTF8", b"UNICODE"):
        raise BrokenDump("the dump is not in UTF-8. Make it with pg_dump --encoding=UTF8")
