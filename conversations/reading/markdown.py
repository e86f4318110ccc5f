"""A model's Markdown → HTML that cannot act: no script, no style, no image, no fetch. Pure.

Three nets, each enough by itself: the parser knows no raw HTML, the links it makes are of three
kinds only, and the result passes an allow-list. Text that is too long, or costs more than a second,
is shown as it is.
"""

import re
import time
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.ruler import StateBase
from markdown_it.rules_core import StateCore, block, normalize
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.style import StyleMeta
from pygments.styles import get_style_by_name
from pygments.token import STANDARD_TYPES, _TokenType
from pygments.token import Token as Kind
from pygments.util import ClassNotFound

LONGEST = 200_000  # bytes of text that are rendered
LONGEST_CODE = 20_000  # characters of a code block that are coloured
SLOWEST = 1.0  # seconds of the CPU: a busy machine must not make text of it
DEEPEST = 20  # levels of quotes and lists
LINK = re.compile(r"(?:https?://|mailto:)", re.I)
Context = dict[str, Any]  # markdown-it's env: "references", "headings" and the "deadline"
ALIGN = {"text-align:left": "left", "text-align:center": "center", "text-align:right": "right"}

BLOCKS = {
    "p",
    "h3",
    "h4",
    "h5",
    "h6",
    "ul",
    "ol",
    "li",
    "blockquote",
    "hr",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "pre",
    "code",
    "div",
}
SANITISE = nh3.Cleaner(
    tags=BLOCKS | {"a", "strong", "em", "s", "br", "span"},
    attributes={"*": set(), "a": {"href"}, "ol": {"start"}},
    tag_attribute_values={"pre": {"tabindex": {"0"}}, "div": {"tabindex": {"0"}}},
    allowed_classes={
        "span": {*STANDARD_TYPES.values(), "language"} - {""},
        "div": {"code", "table"},
        "th": {*ALIGN.values()},
        "td": {*ALIGN.values()},
    },
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
)


class TooSlow(Exception):
    pass


def html(text: str, context: Context | None = None) -> SafeString:
    """Render a text. Headings begin at the third level, as a page has its own first two.

    They skip no level. `context` holds the link definitions and the headings of the text before
    this one, and takes those of this text.
    """
    data = text.encode(errors="replace")
    text = data.decode()  # without halves of surrogate pairs
    if len(data) <= LONGEST:
        try:
            # The sanitiser's output is safe.
            return mark_safe(SANITISE.clean(_render(text, {} if context is None else context)))  # noqa: S308
        except TooSlow:
            pass
    return mark_safe(f'<pre tabindex="0">{escape(text)}</pre>')  # noqa: S308


def _render(text: str, context: Context) -> str:
    context["deadline"] = time.thread_time() + SLOWEST
    return PARSER.render(text, context)


def outline(text: str) -> list[Token]:
    """List the first token of each top-level block; nothing of a text that costs too much."""
    state = StateCore(
        text.encode(errors="replace").decode(), PARSER, {"deadline": time.thread_time() + SLOWEST}
    )
    try:
        for rule in (normalize, block):
            rule(state)
    except TooSlow:
        return []
    return [token for token in state.tokens if token.level == 0 and token.nesting >= 0]


def stop_in_time(parser: MarkdownIt) -> None:
    """Let a parser raise TooSlow at its deadline, which is in the env of what it parses."""
    parser.inline.ruler.before("text", "in_time", _in_time)
    parser.block.ruler.before("table", "in_time", _in_time)


def _in_time(state: StateBase, *args: Any) -> bool:
    """Match nothing: a rule that the parser tries at every step."""
    _check_deadline(state.env)
    return False


def _check_deadline(context: MutableMapping[str, Any]) -> None:
    if time.thread_time() > context["deadline"]:
        raise TooSlow


def _quieten(state: StateCore) -> None:
    """Nest headings, make images links and a column's alignment a class."""
    _check_deadline(state.env)
    for token in state.tokens:
        if token.type == "heading_open":
            state.env["headings"] = nest(state.env.get("headings", ()), int(token.tag[1]))
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(len(state.env['headings']) + 2, 6)}"
        elif token.type in ("th_open", "td_open") and "style" in token.attrs:
            token.attrs = {"class": ALIGN[str(token.attrs["style"])]}
        elif token.type == "inline" and token.children:
            token.children = list(_without_images(token.children))


def nest(above: tuple[int, ...], level: int) -> tuple[int, ...]:
    """List the levels of the headings above one of this level, and its own."""
    return (*(other for other in above if other < level), level)


def _without_images(tokens: list[Token]) -> Iterator[Token]:
    inside = 0  # a link
    for token in tokens:
        inside += (token.type == "link_open") - (token.type == "link_close")
        if token.type != "image":
            yield token
            continue
        label = Token("text", "", 0, content=_image_label(token.content))
        if inside:
            yield label
        else:
            yield from (
                Token("link_open", "a", 1, attrs={"href": token.attrs["src"]}),
                label,
                Token("link_close", "a", -1),
            )


def _image_label(description: str) -> str:
    text = _("image not loaded: %(description)s")
    return f"[{text % {'description': description or _('no description')}}]"


def _code(
    renderer: RendererProtocol,
    tokens: Sequence[Token],
    at: int,
    options: OptionsDict,
    context: MutableMapping[str, Any],
) -> str:
    """Render a block of code under the name of its language."""
    token = tokens[at]
    name = token.info.split()[0][:30] if token.info.split() else ""
    label = f'<span class="language">{escape(name)}</span>' if name else ""
    code = "".join(_colour_code(token.content, name, context))
    return f'<div class="code">{label}<pre tabindex="0"><code>{code}</code></pre></div>\n'


def _colour_code(code: str, language: str, context: MutableMapping[str, Any]) -> Iterator[str]:
    lexer = _lexer(language) if len(code) <= LONGEST_CODE else None
    if lexer is None:
        yield str(escape(code))
        return
    for kind, value in lexer.get_tokens(code):
        _check_deadline(context)
        name = next(
            STANDARD_TYPES[general]
            for general in reversed(kind.split())
            if general in STANDARD_TYPES
        )
        yield (
            f'<span class="{name}">{escape(value)}</span>'
            if name and not value.isspace()
            else str(escape(value))
        )


def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False) if language else None
    except ClassNotFound:
        return None


def _parser() -> MarkdownIt:
    parser = MarkdownIt(
        "commonmark", {"html": False, "linkify": True, "maxNesting": DEEPEST}
    ).enable(["table", "strikethrough", "linkify"])
    parser.validateLink = lambda url: LINK.match(url) is not None  # type: ignore[method-assign]
    assert parser.linkify
    # main.py is a file, not a site in Paraguay.
    parser.linkify.set({"fuzzy_link": False, "fuzzy_email": False})
    stop_in_time(parser)
    parser.core.ruler.push("quieten", _quieten)
    parser.add_render_rule("fence", _code)
    parser.add_render_rule("code_block", _code)
    parser.add_render_rule("table_open", lambda *_: '<div class="table" tabindex="0"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return parser


PARSER = _parser()


def css() -> str:
    """Write static/code.css, the colours of code: light is Pygments' xcode, dark its one-dark."""
    light, dark = get_style_by_name("xcode"), get_style_by_name("one-dark")
    plain = _colour(dark, Kind)
    rules = [f".code pre {{ color: light-dark(#000000, {plain}); }}"]
    for kind, name in STANDARD_TYPES.items():
        if not name or name == "err":  # half of a program is no error
            continue
        colours = (_colour(light, kind, "#000000"), _colour(dark, kind, plain))
        styles = (light.style_for_token(kind), dark.style_for_token(kind))
        look = []
        if colours != ("#000000", plain):
            look.append(f"color: light-dark({', '.join(colours)});")
        if any(style["bold"] for style in styles):
            look.append("font-weight: 600;")
        if any(style["italic"] for style in styles):
            look.append("font-style: italic;")
        if look:
            rules.append(f".code .{name} {{ {' '.join(look)} }}")
    return "\n".join(["/* Made by conversations.reading.markdown.css(). */", *rules, ""])


def _colour(style: StyleMeta, kind: _TokenType, default: str = "") -> str:
    colour = style.style_for_token(kind)["color"]
    return f"#{colour.lower()}" if colour else default
