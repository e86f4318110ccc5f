"""A page as a test reads it, and what must hold on every one of them."""

import re
from html.parser import HTMLParser


class Html(HTMLParser):
    """A page as its parts, and as what it must not hold."""

    VOID = {"meta", "link", "input", "img", "br", "hr", "path"}

    def __init__(self, response) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(response.content.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag, **attributes):
        return [
            found
            for name, found in self.tags
            if name == tag and attributes.items() <= found.items()
        ]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def list_inline(html: Html) -> list[str]:
    """What a strict policy would not run or show: it comes from no file of ours."""
    found = [tag for tag, _ in html.tags if tag in ("style", "iframe", "base")]
    for tag, attributes in html.tags:
        is_ours = (attributes.get("src") or "").startswith(("/static/", "/admin/jsi18n/"))
        if tag == "script" and attributes.get("type") != "application/json" and not is_ours:
            found.append(tag)
        found += [name for name in attributes if name.startswith("on") or name == "style"]
    return found


def check(html: Html) -> None:
    """What holds on every page.

    Nothing inline, one h1, a main landmark, a skip link, labels, no id twice, headings in order.
    """
    assert list_inline(html) == []
    assert len(html.all("h1")) == 1
    assert len(html.all("main", id="main")) == 1
    assert html.all("a", href="#main")
    ids = [attributes["id"] for _, attributes in html.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {attributes.get("for") for attributes in html.all("label")}
    for tag in ("input", "select", "textarea"):
        for attributes in html.all(tag):
            assert attributes.get("type") == "hidden" or attributes.get("id") in labelled
    for attributes in html.all("img"):
        assert attributes.get("alt")
        assert attributes["src"].startswith("/")
    levels = [int(tag[1]) for tag, _ in html.tags if re.fullmatch("h[1-6]", tag)]
    inside = [level for level in levels if level > 1]
    assert not inside or inside[0] == 2
