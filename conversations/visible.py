"""Text that a reviewer can trust.

Characters that hide or reorder what stands beside them are named instead of obeyed.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

# Controls but tab and newline, formatting (bidi, zero width, tags), separators, blanks that are
# letters, and variation selectors, which can carry a message of their own (a single U+FE0F after a
# character is how emoji are written).
HIDDEN = re.compile(
    "([\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    "\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U00013440"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|(?<=\ufe0f)\ufe0f)"
)


Find = Callable[[str], list[tuple[int, int]]]  # spans of a text, in order


def show_hidden(text: str, find: Find | None = None) -> SafeString:
    """Escape text as HTML in which each hidden character reads ‹U+202E›.

    The mark is an element of its own, so that no text can imitate it. What `find` finds is in
    <mark>.
    """
    text = text.replace("\r\n", "\n")
    spans = find(text) if find else []
    if not spans:
        return _name_hidden(HIDDEN.split(text))
    return format_html_join("", "{}", ((piece,) for piece in _mark_spans(text, spans)))


def _mark_spans(text: str, spans: list[tuple[int, int]]) -> Iterator[SafeString]:
    """Name the hidden characters of the whole text: one may be known by what stands before it."""
    hidden = [match.start() for match in HIDDEN.finditer(text)]
    begin = 0
    for first, last in spans:
        yield _name_between(text, begin, first, hidden)
        yield format_html("<mark>{}</mark>", _name_between(text, first, last, hidden))
        begin = last
    yield _name_between(text, begin, len(text), hidden)


def _name_between(text: str, first: int, last: int, hidden: list[int]) -> SafeString:
    pieces, begin = list[str](), first
    for place in hidden[bisect_left(hidden, first) : bisect_left(hidden, last)]:
        pieces += [text[begin:place], text[place]]
        begin = place + 1
    return _name_hidden([*pieces, text[begin:last]])


def _name_hidden(pieces: list[str]) -> SafeString:
    """Join texts and the hidden characters between them, by turns."""
    return format_html_join(
        "", "{}", ((_mark(piece) if i % 2 else piece,) for i, piece in enumerate(pieces))
    )


def _mark(character: str) -> SafeString:
    return SafeString(f'<span class="gw-hidden">‹U+{ord(character):04X}›</span>')
