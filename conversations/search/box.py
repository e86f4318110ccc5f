"""What is typed into the search box: words, and fields by their prefixes (user:, model:, id:). Pure."""

import re
from dataclasses import dataclass, field

# A phrase hides what is in it; a value of several words is quoted; a blank may follow the colon.
PREFIX = "(?:user|model|id):"
TOKEN = re.compile(
    rf'(?P<minus>-?)(?P<prefix>{PREFIX})\s*(?P<value>"[^"]*"?|(?!{PREFIX})\S+|)|-?"[^"]*"?|\S+',
    re.IGNORECASE,
)


@dataclass(slots=True)
class Typed:
    words: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)  # fit to show


def read(text: str) -> Typed:
    typed, words = Typed(), []
    for token in TOKEN.finditer(text):
        if not token["prefix"]:
            words.append(token[0])
            continue
        prefix, value = token["prefix"].lower().removesuffix(":"), token["value"].strip('"').strip()
        if token["minus"]:
            typed.problems.append(f"Only words are left out with a minus, not {prefix}:.")
        elif not value:
            typed.problems.append(f"After {prefix}: a value is missing.")
        elif typed.fields.setdefault(prefix, value) != value:
            typed.problems.append(f"{prefix}: is there twice.")
    typed.words = " ".join(words)
    if "id" in typed.fields and words:
        typed.problems.append("An id is looked for by itself, without words beside it.")
    return typed
