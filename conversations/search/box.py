"""Parses the search box: words, and fields by their prefixes (user:, model:, id:). Pure."""

import re
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from .query import straighten

# A phrase hides what is in it; a value of several words is quoted; a blank may follow the colon.
PREFIX = "(?:user|model|id):"
TOKEN = re.compile(
    rf'(?P<minus>-?)(?P<prefix>{PREFIX})\s*(?P<value>"[^"]*"?|(?!{PREFIX})\S+|)|-?"[^"]*"?|\S+',
    re.IGNORECASE,
)


@dataclass(slots=True)
class SearchBox:
    words: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)  # fit to show


def parse_box(text: str) -> SearchBox:
    box, words = SearchBox(), []
    for token in TOKEN.finditer(straighten(text)):
        if not token["prefix"]:
            words.append(token[0])
            continue
        prefix, value = token["prefix"].lower().removesuffix(":"), token["value"].strip('"').strip()
        if token["minus"]:
            box.problems.append(
                _("A minus leaves out words. It cannot stand before %(prefix)s:.")
                % {"prefix": prefix}
            )
        elif not value:
            box.problems.append(_("Type a value after %(prefix)s:.") % {"prefix": prefix})
        elif box.fields.setdefault(prefix, value) != value:
            box.problems.append(_("Use %(prefix)s: only once.") % {"prefix": prefix})
    box.words = " ".join(words)
    if "id" in box.fields and words:
        box.problems.append(_("Search for an id by itself, without other words."))
    return box
