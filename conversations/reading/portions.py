"""How much of what was said stands on one page: by its bytes, not by its messages. Pure.

A line of messages is cut into portions, always at the same places. A message that is larger than a
portion is one by itself, and its texts are cut, in words, on the page.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol, TypeVar

from django.utils.safestring import SafeString

from ..packs import pack

BYTES = 2 << 20  # of one portion: of its texts, and AROUND each message
AROUND = 2000  # bytes of a page that a message costs besides its text
SHOWN = 500_000  # characters of one message
EACH = 200  # characters that a piece of a message costs a page besides its text
CALLS = 50  # calls that are listed at one place
PROMPT = 50  # system messages that stand before one message
MANY = 1 << 62


class Portion(NamedTuple):
    """The messages from `first` up to `end`, and where the portions beside them begin."""

    first: int
    end: int
    earlier: int | None
    later: int | None


class Text(Protocol):
    text: str


Piece = TypeVar("Piece", bound=Text)


def find_portion(sizes: Sequence[int], place: int, most: int = MANY) -> Portion:
    """Return the portion of a line that holds the message at this place.

    A portion has at most BYTES, and `most` messages.
    """
    weights = [size + AROUND for size in sizes]
    lengths = [len(part) for part in pack(weights, lambda weight: weight, BYTES, most)]
    starts = [0, *accumulate(lengths)]
    number = max(0, bisect_right(starts[:-1], place) - 1)
    later = starts[number + 1] if number + 2 < len(starts) else None
    return Portion(
        first=starts[number],
        end=starts[-1] if later is None else later,
        earlier=starts[number - 1] if number else None,
        later=later,
    )


def find_tail(sizes: Sequence[int], first: int, target: int | None) -> Portion:
    """Return the messages from `first` to the end, or as many of the last as a portion holds.

    The last two are among them, whatever their size. Where the message at `target` would not be,
    the portion that holds it.
    """
    begin, size = len(sizes), 0
    while begin > first:
        size += sizes[begin - 1] + AROUND
        if size > BYTES and begin <= len(sizes) - 2:
            break
        begin -= 1
    if target is not None and target < begin:
        return find_portion(sizes, target)
    earlier = find_portion(sizes, begin - 1).first if begin > first else None
    return Portion(begin, len(sizes), earlier, None)


def cut_pieces(pieces: list[Piece], most: int = SHOWN) -> tuple[list[Piece], int]:
    """Return the pieces of a message up to `most` characters, and how many are left out.

    HTML is not cut: it was made of a text that is short enough.
    """
    shown, left_out = list[Piece](), 0
    for piece in pieces:
        length = len(piece.text)
        if most > 0:
            if not isinstance(piece.text, SafeString):
                piece.text = piece.text[:most]
            shown.append(piece)
            most -= len(piece.text) + EACH
            length -= len(piece.text)
        left_out += length
    return shown, left_out
