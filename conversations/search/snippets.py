"""Cuts the words around a hit: between words, or in a long one between characters.

What a reader sees as one character may be several code points: no cut goes through them.
"""

import unicodedata
from collections.abc import Iterable, Iterator

from .query import Query, Span

BEFORE, LENGTH = 60, 240  # characters ahead of the first mark, and in all
WORD = 40  # characters that are looked through for the end of a word
JOINER = "\u200d"
VIRAMA = 9  # the combining class of what binds the next consonant
# No marks, and yet no beginning of a character: the vowel AM, and skin tones.
EXTENDING = {"\u0e33", "\u0eb3", *map(chr, range(0x1F3FB, 0x1F400))}
REGIONAL = range(0x1F1E6, 0x1F200)  # two are a flag
JAMO = range(0x1160, 0x1200)  # vowels and finals of a Hangul syllable
TAGS = range(0xE0020, 0xE0080)


def cut_snippet(texts: Iterable[str], query: Query) -> list[tuple[str, bool]]:
    """Cut the words around the first mark, as runs; the beginning where there is none."""
    shown = ""
    for text in texts:
        shown = shown or text
        if spans := query.find(text):
            return list(_cut_runs(text, spans))
    return list(_cut_runs(shown, []))


def _cut_runs(text: str, spans: list[Span]) -> Iterator[tuple[str, bool]]:
    first = spans[0][0] if spans else 0
    begin = _find_begin(text, max(0, first - BEFORE), first)
    marks = [span for span in spans if span[1] <= begin + LENGTH]
    end = _find_end(text, marks[-1][1] if marks else begin, begin + LENGTH)
    if begin:
        yield "… ", False
    for start, stop in marks:
        if begin < start:
            yield text[begin:start], False
        yield text[start:stop], True
        begin = stop
    if begin < end:
        yield text[begin:end], False
    if end < len(text.rstrip()):
        yield " …", False


def _find_begin(text: str, place: int, last: int) -> int:
    """Find where a word begins, or else a character, from a place on."""
    if place == 0 or text[place - 1].isspace():
        return place
    for begin in range(place, min(place + WORD, last)):
        if text[begin].isspace():
            return begin + 1
    while place < last and _is_inside(text, place):
        place += 1
    return place


def _find_end(text: str, first: int, place: int) -> int:
    """Find where a word ends, or else a character, from a place back."""
    if place >= len(text) or text[place].isspace():
        return min(place, len(text))
    for end in range(place - 1, max(place - WORD, first) - 1, -1):
        if text[end].isspace():
            return end
    while place > first and _is_inside(text, place):
        place -= 1
    return place


def _is_inside(text: str, place: int) -> bool:
    """Tell whether a cut here would go through what people see as one character."""
    before, after = text[place - 1], text[place]
    if unicodedata.category(after).startswith("M") or after == JOINER or after in EXTENDING:
        return True
    if ord(after) in JAMO or ord(after) in TAGS or before == JOINER or before + after == "\r\n":
        return True
    if unicodedata.combining(before) == VIRAMA:
        return after.isalpha()
    return ord(after) in REGIONAL and _count_regional(text, place) % 2 == 1


def _count_regional(text: str, place: int) -> int:
    """Count the letters of flags that end here."""
    begin = place
    while begin and ord(text[begin - 1]) in REGIONAL:
        begin -= 1
    return place - begin
