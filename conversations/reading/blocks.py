"""A growing answer in blocks: those that cannot change any more, and the open rest. Pure.

As soon as a complete line opens a new block at the top level, the blocks before it are closed:
each is rendered once. Only a link's definition reaches back; the page at the end shows it.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from markdown_it.token import Token

from . import markdown

LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)")
# A growing line that may yet become something else: marks alone, or a code block's first line.
UNCLEAR = re.compile(r"[\s\-=*_#>`~+|:.\d)]*|\s*(?:```|~~~).*", re.S)
TABLE_HEAD = re.compile(r"(?:^|(?<=\n)) {0,3}\|[^\n]*\n?(?:[ |:-]*\n?)?\Z")


class Blocks:
    def __init__(self) -> None:
        self.text = ""
        self.closed = 0  # characters of `text` that are in closed blocks
        self._context: dict[str, Any] = {"references": {}}
        self._tail = ""
        self._code: str | None = None  # the part of an open code block that was handed out

    def feed(self, text: str) -> None:
        self.text += text

    def close(self, *, to_end: bool = False) -> Iterator[tuple[int, str]]:
        """Close blocks: yield the end of each in the text, and its HTML.

        With `to_end`, none stays open.
        """
        rest = self.text[self.closed :]
        complete = rest if to_end else rest[: rest.rfind("\n") + 1]
        tokens = markdown.outline(complete)
        lines = LINE.findall(complete)
        # A code block ends with its last line, whether blank lines follow or not: it may have
        # been closed before they came.
        ends = [
            _lines(token)[1] if _has_last_line(token, lines) else _lines(following)[0]
            for token, following in pairwise(tokens)
        ]
        if tokens and not to_end and _has_last_line(tokens[-1], lines):
            ends.append(_lines(tokens[-1])[1])
        start = 0
        for end in ends:
            yield self._close("".join(lines[start:end]))
            start = end
        if to_end:
            yield self._close(self.text[self.closed :])

    def _close(self, source: str) -> tuple[int, str]:
        self.closed += len(source)
        self._tail, self._code = "", None
        return self.closed, markdown.html(source, self._context)

    def tail(self) -> Iterator[tuple[str, str]]:
        """Render the open block anew: ("tail", its HTML), or ("text", the growth of its code)."""
        rest = self.text[self.closed :]
        line_start = rest.rfind("\n") + 1
        if UNCLEAR.fullmatch(rest[line_start:]):
            rest = rest[:line_start]
        tokens = markdown.outline(rest)
        if len(tokens) == 1 and tokens[0].type == "fence":
            yield from self._open_code(rest, tokens[0])
            return
        if tokens and tokens[-1].type == "paragraph_open":
            rest = TABLE_HEAD.sub("", rest)
        context = self._context | {"references": dict(self._context["references"])}
        html = markdown.html(rest, context)
        if html != self._tail:
            self._tail = html
            yield "tail", html

    def _open_code(self, rest: str, fence: Token) -> Iterator[tuple[str, str]]:
        if self._code is None or not fence.content.startswith(self._code):
            self._tail, self._code = "", ""
            first_line = LINE.findall(rest)[_lines(fence)[0]]
            yield "tail", markdown.html(first_line + " " * 3 + fence.markup)
        if growth := fence.content[len(self._code) :]:
            self._code += growth
            yield "text", growth


def _lines(token: Token) -> list[int]:
    assert token.map is not None
    return token.map


def _has_last_line(token: Token, lines: list[str]) -> bool:
    """Whether the token is a code block with its closing fence."""
    if token.type != "fence":
        return False
    first, end = _lines(token)
    mark = re.escape(token.markup[0])
    return (
        end > first + 1
        and re.fullmatch(rf" {{0,3}}{mark}{{{len(token.markup)},}}\s*", lines[end - 1]) is not None
    )
