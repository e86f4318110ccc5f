"""JSON from outside, parsed only where it has a bounded number of values.

Memory and time go with the values of a text, not with its bytes: 20 MB of `[],` come to 1.1 GB, 20
MB of one string to 20 MB. So commas and opening brackets outside strings are counted first; each
value but the first has one before it. All steps are C code of `bytes`, linear in the text.
"""

from collections.abc import Callable
from typing import Any

from . import exact_json

MOST_VALUES = 400_000  # of one request; 300,000 tokens are what an embeddings call may hold
MARKS = (b",", b"[", b"{")


class TooManyValues(ValueError):
    """The text was not parsed."""

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most:,} values: texts, numbers, lists and objects")


def parse(
    text: bytes | str,
    most: int = MOST_VALUES,
    load: Callable[[bytes | str], Any] = exact_json.loads,
) -> Any:
    """Parse a text of at most so many values. Raises TooManyValues, or ValueError of `load`."""
    data = text.encode(errors="replace") if isinstance(text, str) else text
    if has_more_values(data, most):
        raise TooManyValues(most)
    return load(text)


def has_more_values(data: bytes, most: int = MOST_VALUES) -> bool:
    """Tell whether a text has more than so many values, arrays and objects included.

    Keys are not counted, lists and objects twice. Of a text that is no JSON it is true of what
    stands before the first mistake, where a parser stops.
    """
    if _count_marks(data) <= most:
        return False  # whatever of it is inside strings
    # Backslashes stand in strings only; the first of a row begins an escape.
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') > 4 * (most + 1):
        return True  # more than a key and a string for each mark
    return _count_marks(b"".join(bare.split(b'"')[::2])) > most


def _count_marks(data: bytes) -> int:
    return sum(map(data.count, MARKS))
