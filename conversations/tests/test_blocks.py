"""However an answer is cut into pieces, its blocks equal the page of the complete answer."""

import pytest
from hypothesis import example, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from conversations.reading import markdown
from conversations.reading.blocks import Blocks

PARTS = [
    "# Heading\n",
    "### Deep\n",
    "## Between\n",
    "words of a paragraph",
    " and **strong** ones",
    "\n",
    "\n\n",
    "- item\n",
    "  more of it\n",
    "    deep\n",
    "1. one\n",
    "2) two\n",
    "> quote\n",
    "lazy\n",
    "```python\n",
    "```\n",
    "~~~\n",
    "````\n",
    "def f(): ...\n",
    "   ```\n",
    "| a | b |\n",
    "|---|:-:|\n",
    "| 1 | 2 |\n",
    "---\n",
    "===\n",
    "***\n",
    "\t",
    " ",
    "`",
    "|",
    "-",
    "\r\n",
    "\r",
    "* star\n",
    "<b>html</b>\n",
    "![x](https://evil.example/a.png)\n",
    "https://example.com/ ",
    "\ud83d",
    "&amp;",
    "\\",
]
SAID = st.lists(st.sampled_from(PARTS), max_size=30).map("".join)


def told(text: str, sizes: list[int]) -> tuple[str, list[tuple[str, str]]]:
    """The HTML of the closed blocks, and every event on the way, with a tail after each piece."""
    blocks, seen, at = Blocks(), [], 0
    for size in [*sizes, len(text)]:
        blocks.feed(text[at : at + size])
        at += size
        seen += [("block", html) for _, html in blocks.close()]
        seen += blocks.tail()
    seen += [("block", html) for _, html in blocks.close(to_end=True)]
    assert blocks.closed == len(text)
    return "".join(html for name, html in seen if name == "block"), seen


@effort(max_examples=600, deadline=None)
@given(SAID, st.lists(st.integers(1, 12), max_size=60))
def test_any_pieces_amount_to_the_whole(text, sizes):
    html, _ = told(text, sizes)
    assert html == markdown.html(text)


@effort(max_examples=100, deadline=None)
@given(SAID, st.lists(st.integers(1, 40), max_size=20))
@example("```\nx\n```\n\nNext\n", [10])
def test_where_a_block_ends_does_not_depend_on_the_pieces(text, sizes):
    blocks, at, ends = Blocks(), 0, []
    for size in [*sizes, len(text)]:
        blocks.feed(text[at : at + size])
        at += size
        ends += [end for end, _ in blocks.close()]
    once = Blocks()
    once.feed(text)
    assert [end for end, _ in once.close()] == ends


def test_code_is_told_once_and_coloured_when_it_is_whole():
    text = "Look:\n\n```python\nx = 1\nif x:\n    print('``')\n```\nDone."
    _, seen = told(text, [1] * len(text))
    assert (
        "".join(code for name, code in seen if name == "text") == "x = 1\nif x:\n    print('``')\n"
    )
    shells = [html for name, html in seen if name == "tail" and 'class="code"' in html]
    assert shells == [
        '<div class="code"><span class="language">python</span>'
        '<pre tabindex="0"><code></code></pre></div>\n'
    ]
    coloured = [html for name, html in seen if name == "block" and 'class="code"' in html]
    assert len(coloured) == 1
    assert '<span class="n">x</span>' in coloured[0]


@pytest.mark.parametrize(
    "text", ["para\n-", "para\n===", "text\n\n| a | b |\n|--", "``", "```pyth", "1.", "text\n\n#"]
)
def test_what_may_become_something_else_is_held_back(text):
    _, seen = told(text, [1] * len(text))
    tails = [html for name, html in seen if name == "tail"]
    assert not any(mark in html for html in tails for mark in ("<h", "|", "=", "`", "<li", "<pre"))


def test_a_link_may_be_named_before_and_after_it_is_used():
    text = (
        "[a]: https://one.example/\n\nSee [a] and [b].\n\nMore.\n\n"
        "[b]: https://two.example/\n\nSee [b].\n"
    )
    html, _ = told(text, [3] * 40)
    assert html.count("https://one.example/") == 1
    assert (
        html.count("https://two.example/") == 1
    )  # of two: the page that is rendered at the end has both
    assert markdown.html(text).count("https://two.example/") == 2
