"""A form of a page as a browser would send it, for tests."""

from html.parser import HTMLParser
from typing import Any


class Form(HTMLParser):
    """The values that the buttons' form would send now; also of fields that stand elsewhere.

    `action` chooses it; of several alike, `holding` is a value that it sends.
    """

    def __init__(self, page: Any, action: str, holding: str = "") -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self.action, self.holding = action, holding
        self.found: list[dict[str, list[str]]] = []
        self.is_inside = False
        self.name = ""  # of the field that is open
        self.form_id = ""
        self.elsewhere: list[tuple[str, str, str]] = []
        self.feed(page.content.decode())
        chosen = [each for each in self.found if not holding or [holding] in each.values()]
        assert len(chosen) == 1, (action, len(chosen))
        self.values = chosen[0]
        for form_id, name, value in self.elsewhere:
            if form_id == self.form_id:
                self.values.setdefault(name, []).append(value)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        field = {name: value or "" for name, value in attrs}
        name = field.get("name", "")
        value = field.get("value", "on" if field.get("type") == "checkbox" else "")
        if tag == "form":
            self.is_inside = field.get("action", "").partition("?")[0] == self.action
            if self.is_inside:
                self.form_id = field.get("id", "")
                self.found.append({})
        is_sent = field.get("type") not in ("checkbox", "radio", "file") or "checked" in field
        if tag == "input" and is_sent and "form" in field:
            self.elsewhere.append((field["form"], name, value))
        elif not self.is_inside:
            return
        elif tag in ("select", "textarea"):
            self.name, self.found[-1][name] = name, [""]
        elif tag == "option" and "selected" in field:
            self.found[-1][self.name] = [value]
        elif tag == "input" and is_sent:
            self.found[-1].setdefault(name, []).append(value)

    def handle_data(self, data: str) -> None:
        if self.is_inside and self.name and self.lasttag == "textarea":
            self.found[-1][self.name][0] += data

    def handle_endtag(self, tag: str) -> None:
        if not self.is_inside:
            return
        if tag == "textarea":  # a browser leaves out the line break that it begins with
            said = self.found[-1][self.name][0]
            self.found[-1][self.name] = [said.removeprefix("\n")]
        if tag in ("select", "textarea"):
            self.name = ""
        if tag == "form":
            self.is_inside = False
