"""A growing answer in blocks: those that cannot change any more, and what is still open. Pure.

As soon as a complete line opens a new block at the top level, the blocks before it are closed: each is rendered once.
The one thing that reaches back is a link's definition; the page that is rendered at the end has it.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from markdown_it.token import Token

from . import markdown

LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)")
# A line under way that may yet become something else: marks alone, or the first line of a code block.
UNCLEAR = re.compile(r"[\s\-=*_#>`~+|:.\d)]*|\s*(?:```|~~~).*", re.S)
TABLE_HEAD = re.compile(r"(?:^|(?<=\n)) {0,3}\|[^\n]*\n?(?:[ |:-]*\n?)?\Z")


class Blocks:
    def __init__(self) -> None:
        self.text = ""
        self.closed = 0  # characters of it
        self._before: dict[str, Any] = {"references": {}}
        self._tail = ""
        self._code: str | None = None  # what was told of the code block that is open

    def feed(self, text: str) -> None:
        self.text += text

    def close(self, *, all: bool = False) -> Iterator[tuple[int, str]]:
        """Blocks that have closed since the last time: where each ends in the text, and its HTML. With `all`, nothing stays open."""
        rest = self.text[self.closed :]
        whole = rest if all else rest[: rest.rfind("\n") + 1]
        tokens = markdown.outline(whole)
        lines = LINE.findall(whole)
        # A code block ends with its last line, what blank ones follow or not: it may have been closed before they came.
        ends = [
            _lines(token)[1] if _is_whole(token, lines) else _lines(after)[0]
            for token, after in pairwise(tokens)
        ]
        if tokens and not all and _is_whole(tokens[-1], lines):
            ends.append(_lines(tokens[-1])[1])
        at = 0
        for end in ends:
            yield self._close("".join(lines[at:end]))
            at = end
        if all:
            yield self._close(self.text[self.closed :])

    def _close(self, source: str) -> tuple[int, str]:
        self.closed += len(source)
        self._tail, self._code = "", None
        return self.closed, markdown.html(source, self._before)

    def tail(self) -> Iterator[tuple[str, str]]:
        """What has become of the open block: ("tail", its HTML), or ("text", what its code has grown by)."""
        rest = self.text[self.closed :]
        head, newline, line = rest.rpartition("\n")
        if UNCLEAR.fullmatch(line):
            rest = head + newline
        tokens = markdown.outline(rest)
        if len(tokens) == 1 and tokens[0].type == "fence":
            yield from self._open_code(rest, tokens[0])
            return
        if tokens and tokens[-1].type == "paragraph_open":
            rest = TABLE_HEAD.sub("", rest)
        html = markdown.html(rest, self._before | {"references": dict(self._before["references"])})
        if html != self._tail:
            self._tail = html
            yield "tail", html

    def _open_code(self, rest: str, fence: Token) -> Iterator[tuple[str, str]]:
        if self._code is None or not fence.content.startswith(self._code):
            self._tail, self._code = "", ""
            yield (
                "tail",
                markdown.html(LINE.findall(rest)[_lines(fence)[0]] + " " * 3 + fence.markup),
            )
        if more := fence.content[len(self._code) :]:
            self._code += more
            yield "text", more


def _lines(token: Token) -> list[int]:
    assert token.map is not None
    return token.map


def _is_whole(token: Token, lines: list[str]) -> bool:
    """A code block that has its last line."""
    if token.type != "fence":
        return False
    first, end = _lines(token)
    mark = re.escape(token.markup[0])
    return (
        end > first + 1
        and re.fullmatch(rf" {{0,3}}{mark}{{{len(token.markup)},}}\s*", lines[end - 1]) is not None
    )
