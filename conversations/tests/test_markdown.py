"""A model's text cannot act on a page, whatever it is; and well-written Markdown looks well."""

import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from conversations.reading import markdown

TAGS = markdown.BLOCKS | {"a", "strong", "em", "s", "br", "span"}
ATTRIBUTES = {"href", "rel", "class", "start", "tabindex"}
BARE = {"br", "hr"}


class Reader(HTMLParser):
    """Every tag with its attributes; unbalanced ones fail."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in BARE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def harmless(html: str, *, is_sanitised: bool = True) -> Reader:
    reader = Reader(html)
    for tag, attributes in reader.tags:
        assert tag in TAGS
        assert set(attributes) <= (ATTRIBUTES if is_sanitised else ATTRIBUTES | {"title"})
        if tag == "a":
            assert not is_sanitised or attributes["rel"] == "noopener noreferrer nofollow"
            assert re.match(r"(https?|mailto):", attributes.get("href") or "mailto:", re.I)
        else:
            assert "href" not in attributes
    return reader


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<iframe src=https://evil.example></iframe>",
    "<svg/onload=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<style>body{display:none}</style>",
    "<b style='position:fixed'>x</b>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](vbscript:x)",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](//evil.example)",
    "[x](/sign-out/)",
    "[x](https://a.example 'onmouseover=alert(1)')",
    '[x](https://a.example/"onmouseover="alert(1))',
    "![x](https://evil.example/pixel.png)",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "![x](javascript:alert(1))",
    "[![x](https://evil.example/p.png)](https://a.example)",
    "[r]: javascript:alert(1)\n\n[r] ![r]",
    '<https://a.example/"onclick=alert(1)>',
    "<javascript:alert(1)>",
    '``` "><script>alert(1)</script>\nx\n```',
    "```html\n<script>alert(1)</script>\n```",
    '```"onload="x\ny\n```',
    "| <script> |\n|:-:|\n| <img src=x onerror=alert(1)> |",
    "<!-- --><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "</div></main><script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u202e\u200b\0<script\0>alert(1)</script>",
]
PIECES = st.one_of(
    st.sampled_from(
        [
            *HOSTILE,
            "\n\n",
            "    ",
            "```",
            "~~~",
            "|-|",
            "**",
            "](",
            "![",
            "~~",
            "http://",
            "://",
            *"\n >-1|_`[)<>&#\\",
        ]
    ),
    st.text(max_size=12),
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(text):
    reader = harmless(markdown.html(text))
    assert not {"script", "img", "iframe", "svg", "style"} & {tag for tag, _ in reader.tags}


@pytest.mark.parametrize("text", HOSTILE)
def test_the_parser_is_enough_by_itself(text):
    harmless(markdown._render(text, {}), is_sanitised=False)


@pytest.mark.parametrize("text", HOSTILE)
def test_the_allow_list_is_enough_by_itself(text, monkeypatch):
    monkeypatch.setitem(markdown.PARSER.options, "html", True)
    monkeypatch.setattr(markdown.PARSER, "validateLink", lambda url: True)
    reader = harmless(markdown.html(text))
    assert not {"script", "img", "iframe", "svg", "style"} & {tag for tag, _ in reader.tags}


@effort(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_any_text_is_harmless(text):
    harmless(markdown.html(text))


def test_a_picture_is_a_link_that_loads_nothing():
    assert markdown.html("![a cat](https://a.example/cat.png)") == (
        '<p><a href="https://a.example/cat.png" rel="noopener noreferrer nofollow">'
        "[image not loaded: a cat]</a></p>\n"
    )
    assert "[image not loaded: no description]" in markdown.html("![](https://a.example/cat.png)")
    inside = markdown.html("[![a cat](https://a.example/cat.png)](https://b.example)")
    assert inside.count("<a ") == 1
    assert 'href="https://b.example"' in inside


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ([1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 6, 6]),
        ([2, 3, 2, 1, 2], [3, 4, 3, 3, 4]),
        ([3, 3, 6, 4, 1, 4], [3, 3, 4, 4, 3, 4]),
    ],
)
def test_headings_begin_at_the_third_level_and_skip_none(written, shown):
    levels = [
        tag for tag, _ in harmless(markdown.html("\n\n".join(f"{'#' * n} t" for n in written))).tags
    ]
    assert levels == [f"h{level}" for level in shown]


def test_a_table_is_aligned_by_class():
    html = markdown.html("| a | b | c |\n|:--|--:|:-:|\n| 1 | 2 | 3 |")
    assert "style" not in html
    assert '<th class="left">a</th>' in html
    assert '<td class="right">2</td>' in html
    assert '<td class="center">3</td>' in html


def test_code_has_its_language_and_colours():
    html = markdown.html("```python title=x\ndef f(): pass\n```")
    assert '<span class="language">python</span>' in html
    assert '<span class="k">def</span>' in html
    assert harmless(html).text.endswith("def f(): pass\n\n")
    assert "<code>1 &lt; 2\n</code>" in markdown.html("```nonesuch\n1 < 2\n```")


def test_addresses_are_links_and_file_names_are_not():
    assert 'href="https://a.example/?b=1&amp;c=2"' in markdown.html(
        "see https://a.example/?b=1&c=2."
    )
    assert "<a" not in markdown.html("main.py, README.md, www.a.example and me@a.example")


def test_single_line_breaks_and_lists_and_quotes():
    html = markdown.html("1. a\n   - b\n\n> c\n\n~~d~~ **e** _f_")
    for expected in (
        "<ol>",
        "<ul>",
        "<blockquote>",
        "<s>d</s>",
        "<strong>e</strong>",
        "<em>f</em>",
    ):
        assert expected in html


def test_long_text_is_shown_as_it_is():
    text = "**b** <i>\n" * 20_001
    assert (
        markdown.html(text)
        == f'<pre tabindex="0">{text.replace("<", "&lt;").replace(">", "&gt;")}</pre>'
    )
    assert "<strong>" in markdown.html("**b**" + "é" * 99_000)
    assert "<strong>" not in markdown.html("**b**" + "é" * 100_000)  # counted in bytes


@pytest.mark.parametrize(
    "text",
    [
        "[" * 190_000,
        "[a](" * 49_000,
        "*a **b " * 28_000,
        "> " * 90_000,
        "- " * 90_000,
        "|a" * 4000 + "\n" + "|-" * 4000 + "\n" + "|\n" * 20_000,
    ],
)
def test_costly_text_ends_in_time(text):
    began = time.thread_time()
    harmless(markdown.html(text))
    assert time.thread_time() - began < 5 * markdown.SLOWEST


def test_what_takes_too_long_is_shown_as_it_is(monkeypatch):
    monkeypatch.setattr(markdown, "SLOWEST", -1)
    assert markdown.html("**b** <i>") == '<pre tabindex="0">**b** &lt;i&gt;</pre>'


def test_half_of_a_pair_does_not_break_it():
    harmless(markdown.html("**a** \ud800 b"))


def test_the_colours_are_those_of_the_file():
    assert (Path(settings.BASE_DIR) / "static" / "code.css").read_text() == markdown.css()


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_code_can_be_read_in_light_and_dark():
    pairs = re.findall(r"light-dark\((#\w{6}), (#\w{6})\)", markdown.css())
    assert len(pairs) > 20
    assert [light for light, _ in pairs if contrast(light, "#ffffff") < 4.5] == []
    assert [dark for _, dark in pairs if contrast(dark, "#0f1214") < 4.5] == []
