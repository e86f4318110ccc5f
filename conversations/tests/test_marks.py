"""Marks add tags to a text and nothing else, and cost little in long texts."""

import re

from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from conversations.search import query
from conversations.search.hits import MOST, Finder
from conversations.visible import show_hidden

TEXTS = st.text(alphabet="ab É\u200b\u202e\ufe0f\u0301<>&\r\n_1日本\0\\", max_size=40)


@effort(deadline=None)
@given(TEXTS, TEXTS)
def test_marks_add_tags_and_nothing_else(words, text):
    shown = show_hidden(text, Finder(words).find)
    assert re.sub("</?mark>", "", shown) == show_hidden(text)


def test_what_is_marked_is_what_is_read():
    text = "a <se\u200bcret> and \u202esecret, a secretary"
    assert show_hidden(text, Finder("secret").find) == (
        'a &lt;<mark>se<span class="gw-hidden">‹U+200B›</span>cret</mark>&gt; and '
        '<span class="gw-hidden">‹U+202E›</span><mark>secret</mark>, a secretary'
    )


@effort(deadline=None)
@given(st.sampled_from(["ab", "a b", '"a b"', "-a b", "a or b", "1b", "É", "日本", "11"]), TEXTS)
def test_what_is_passed_over_has_none_of_the_words(words, text):
    """The short cut finds what all of a text gives, and nothing else."""
    parsed = query.parse(words)
    phrases = list(query._list_phrases(parsed.node))
    assert parsed.find(text) == query._find(phrases, text)


def test_a_long_text_is_marked_to_its_end():
    text = "plain words, one after the other. " * 1000 + "Näedle and a\u0301. " + "needle " * 3
    assert [text[first:last] for first, last in Finder("needle").find(text)] == ["needle"] * 3


def test_marks_are_bounded():
    assert show_hidden("a " * 10_000, Finder("a").find).count("<mark>") == MOST
