"""A snippet begins and ends between words; in a long one, between characters as people see them."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.search import snippets
from conversations.search.query import parse

HIT = "zephyr"
# What is one character to a reader; each of several code points but the last two.
CHARACTERS = [
    "e\u0301",
    "a\u0323\u0302",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\U0001f44d\U0001f3fd",
    "\U0001f1e9\U0001f1ea",
    "❤\ufe0f",
    "ก็",
    "น\u0e33",
    "\u1112\u1161\u11ab",
    "क\u094dष\u093f",
    "\U0001f3f4\U000e0067\U000e0062\U000e007f",
    "検",
    "x",
]
WORDS = st.lists(st.sampled_from(CHARACTERS), min_size=1, max_size=9).map("".join)
PROSE = st.lists(WORDS, min_size=20, max_size=90)


def cut(text: str) -> tuple[int, int]:
    """Where the snippet of a text begins and ends in it."""
    runs = snippets.cut_snippet([text], parse(HIT))
    shown = [run for run, _is_marked in runs if run not in ("… ", " …")]
    [(marked, _)] = [run for run in runs if run[1]]
    assert marked == HIT
    kept = "".join(shown)
    begin = text.index(kept)
    assert text.count(HIT) == 1
    assert (runs[0] == ("… ", False)) == (begin > 0)
    end = begin + len(kept)
    assert (runs[-1] == (" …", False)) == (end < len(text.rstrip()))
    assert len(kept) <= snippets.LENGTH
    return begin, end


def ends_of(characters: list[str]) -> Iterator[int]:
    place = 0
    for each in characters:
        yield place
        place += len(each)
    yield place


@given(before=PROSE, after=PROSE)
def test_it_is_cut_between_words(before, after):
    text = " ".join([*before, HIT, *after])
    begin, end = cut(text)
    assert begin == 0 or text[begin - 1].isspace()
    assert end == len(text) or text[end].isspace()
    assert text.index(HIT) - begin <= snippets.BEFORE


@given(
    before=st.lists(st.sampled_from(CHARACTERS), min_size=80, max_size=150),
    after=st.lists(st.sampled_from(CHARACTERS), min_size=200, max_size=300),
)
def test_without_blanks_it_is_cut_between_characters(before, after):
    text = "".join([*before, " ", HIT, " ", *after])
    begin, end = cut(text)
    places = {*ends_of([*before, " ", HIT, " ", *after])}
    assert {begin, end} <= places
    assert text.index(HIT) - begin > snippets.BEFORE // 3
    assert end - begin > snippets.LENGTH // 2


@pytest.mark.parametrize("text", ["", "short", "x" * 500, "word " * 200, "検" * 500])
def test_without_a_hit_it_is_the_beginning(text):
    runs = snippets.cut_snippet([text], parse(HIT))
    shown = "".join(run for run, _is_marked in runs).removesuffix(" …")
    assert text.startswith(shown)
    assert len(shown) > snippets.LENGTH // 2 or shown == text
    assert not shown.endswith(" wor")
