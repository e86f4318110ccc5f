"""A text as reviewers may read it: code by itself, and on demand tables and lists laid out. Pure.

Nothing else of Markdown is read: links, emphasis and references stay as they were written. Every
character but blanks and the signs of tables and lists is there, in its order; where one would not
be, the text stays as it is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore, block
from markdown_it.token import Token

from .markdown import SLOWEST, TooSlow, stop_in_time

LONGEST = 100_000  # characters that are laid out
MOST_BLOCKS = 5000
SIGNS = str.maketrans("", "", " \t\n|-:`~*+.)")  # of tables, lists and fences
# As CommonMark has it: a fence ends with as many signs as it began with, or more, or never.
FENCE = re.compile(
    r"^ {0,3}(?P<signs>`{3,}(?=[^`\n]*$)|~{3,})[^\n]*\n?"
    r"(?:.*?^ {0,3}(?P=signs)[`~]*[ \t]*$\n?|.*)",
    re.MULTILINE | re.DOTALL,
)


class Stretch(NamedTuple):
    text: str
    is_code: bool = False


@dataclass(slots=True)
class Block:
    kind: str  # text, code, table, bullets, numbers, item
    text: str = ""
    label: str = ""  # the language of code, the number of an item
    rows: list[list[str]] = field(default_factory=list)  # of a table, its head first
    blocks: list[Block] = field(default_factory=list)  # items of a list, and what is in an item


def split_code(text: str) -> list[Stretch]:
    """Split a text at its fences; joined, the stretches are the text."""
    stretches, end = list[Stretch](), 0
    for fence in FENCE.finditer(text):
        if fence.start() > end:
            stretches.append(Stretch(text[end : fence.start()]))
        stretches.append(Stretch(fence[0], is_code=True))
        end = fence.end()
    if end < len(text):
        stretches.append(Stretch(text[end:]))
    return stretches


def cut_stretches(stretches: list[Stretch], first: int, last: int) -> list[Stretch]:
    """Return the stretches of a text from one of its characters up to another."""
    kept, place = list[Stretch](), 0
    for text, is_code in stretches:
        part = text[max(0, first - place) : max(0, last - place)]
        if part:
            kept.append(Stretch(part, is_code))
        place += len(text)
    return kept


def lay_out(text: str) -> list[Block]:
    """Return the blocks of a text; one, as it is, where that would cost or lose too much."""
    text = text.replace("\r\n", "\n")
    if len(text) <= LONGEST:
        try:
            blocks = _Reader(text).read()
        except TooSlow:
            blocks = []
        if "".join(_list_texts(blocks)).translate(SIGNS) == text.translate(SIGNS):
            return blocks
    return [Block("text", text)]


def _list_texts(blocks: list[Block]) -> Iterator[str]:
    for each in blocks:
        yield each.label + each.text
        yield from (cell for row in each.rows for cell in row)
        yield from _list_texts(each.blocks)


class _Reader:
    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        state = StateCore(text, PARSER, {"deadline": time.thread_time() + SLOWEST})
        block(state)
        self.tokens = iter(state.tokens)
        if len(state.tokens) > MOST_BLOCKS:
            raise TooSlow

    def read(self, end: str = "") -> list[Block]:
        """Read blocks up to a closing token."""
        blocks: list[Block] = []
        for token in self.tokens:
            if token.type == end:
                break
            blocks += self._read_block(token)
        return blocks

    def _read_block(self, token: Token) -> Iterator[Block]:
        match token.type:
            case "inline":
                yield Block("text", token.content)
            case "fence" | "code_block":
                yield Block("code", token.content, token.info)
            case "bullet_list_open":
                yield Block("bullets", blocks=self.read("bullet_list_close"))
            case "ordered_list_open":
                yield Block("numbers", blocks=self.read("ordered_list_close"))
            case "list_item_open":
                yield Block("item", label=token.info, blocks=self.read("list_item_close"))
            case "table_open":
                self.read("table_close")
                yield self._read_table(token)

    def _read_table(self, token: Token) -> Block:
        """Split the lines of a table by themselves: the parser drops cells that are too many."""
        assert token.map
        lines = self.lines[slice(*token.map)]
        del lines[1]  # the signs below the head
        return Block("table", rows=[split_cells(line) for line in lines])


def split_cells(line: str) -> list[str]:
    """Split a row at its signs, but for escaped ones."""
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|"))
    if len(cells) > 1 and not cells[-1].strip():
        cells.pop()
    return [cell.strip() for cell in cells]


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("zero").enable(["table", "list", "fence", "code"])
    stop_in_time(parser)
    return parser


PARSER = _make_parser()
