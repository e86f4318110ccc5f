"""A message split for the review desk: each of its fields shows, also unknown ones. Pure."""

from dataclasses import dataclass
from typing import Any

import orjson
from django.utils.translation import gettext as _

from .. import exact_json
from ..record import attachments, threads
from ..shape import Json
from ..visible import Find
from .layout import Block, Stretch, cut_stretches, lay_out, split_code

FOLDED = 6000  # characters that are shown before the rest is folded away


@dataclass(slots=True)
class Piece:
    kind: str  # reasoning, text, file, address, refusal, field (a short one), code
    text: str = ""
    label: str = ""
    file: str = ""  # sha256 (hex)
    place: int | None = None  # number of that file among the conversation's
    find: Find | None = None  # finds the words of a search

    @property
    def begins(self) -> list[Stretch]:
        return cut_stretches(self._stretches, 0, FOLDED)

    @property
    def rest(self) -> list[Stretch]:
        return cut_stretches(self._stretches, FOLDED, len(self.text))

    @property
    def folded(self) -> int:
        """The number of characters that are folded away."""
        return len(self.text[FOLDED:])

    @property
    def blocks(self) -> list[Block]:
        """The text with its tables and lists laid out."""
        return lay_out(self.text)

    @property
    def has_mark_in_fold(self) -> bool:
        folded = self.text if self.kind == "reasoning" else self.text[FOLDED:]
        return bool(self.find and self.find(folded))

    @property
    def _stretches(self) -> list[Stretch]:
        return split_code(self.text) if self.kind == "text" else [Stretch(self.text)]


def pieces(message: Json) -> list[Piece]:
    """Split a message whose files were taken out."""
    message = dict(message)
    split: list[Piece] = []
    split += _take_reasoning(message)
    content = message.pop("content", None)
    if isinstance(content, str):
        split += [Piece("text", content)] if content else []
    elif isinstance(content, list):
        for part in content:
            split += _part(part)
    elif content is not None:
        split.append(Piece("code", _json(content), "content"))
    if isinstance(refusal := message.get("refusal"), str):
        split.append(Piece("refusal", refusal, "refusal"))
        del message["refusal"]
    if isinstance(calls := message.get("tool_calls"), list):
        split += [_tool_call(call) for call in calls]
        del message["tool_calls"]
    if isinstance(message.get("role"), str):
        del message["role"]
    return split + [show_field(key, value) for key, value in message.items() if value is not None]


def _take_reasoning(message: Json) -> list[Piece]:
    """Take what a model thought out of a message."""
    thoughts = threads.extract_reasoning(message)
    for name in threads.THOUGHTS:
        if isinstance(message.get(name), str):
            del message[name]
    return [Piece("reasoning", thoughts, _("reasoning"))] if thoughts else []


def show_field(key: str, value: Any) -> Piece:
    text = value if isinstance(value, str) else _json(value)
    return Piece("field" if len(text) <= 80 and "\n" not in text else "code", text, key)


def _part(part: Any) -> list[Piece]:
    if not isinstance(part, dict):
        return [Piece("code", _json(part), "part")]
    if threads.is_thought(part):
        part = {name: value for name, value in part.items() if not _is_shown(name, value)}
        if part.keys() <= {"type"}:
            return []
    if (
        part.keys() <= {"type", "text", "annotations"}
        and isinstance(part.get("text"), str)
        and not part.get("annotations")
    ):
        return [Piece("text", part["text"])]
    files = [Piece("file", file=digest) for digest in attachments.list_references(part)]
    image = part.get("image_url")
    if part.keys() == {"type", "image_url"} and isinstance(image, dict) and image.keys() == {"url"}:
        return files or [
            Piece("address", str(image["url"]), _("image at a web address, not loaded"))
        ]
    return [*files, Piece("code", _json(part), str(part.get("type", "part")))]


def _is_shown(name: str, value: Any) -> bool:
    """Tell whether a field of a part of thoughts is nothing but words, shown as reasoning."""
    return name in threads.OF_THOUGHTS and all(
        isinstance(item.get("text"), str) and item.keys() <= {"type", "text"}
        if isinstance(item, dict)
        else isinstance(item, str)
        for item in (value if isinstance(value, list) else [value])
    )


def _tool_call(call: Any) -> Piece:
    function = call.get("function") if isinstance(call, dict) else None
    if (
        not isinstance(function, dict)
        or function.keys() - {"name", "arguments"}
        or call.keys() - {"id", "type", "function", "index"}
    ):
        return Piece("code", _json(call), _("tool call"))
    arguments = function.get("arguments")
    # The text as it came: parsing would hide a repeated key.
    text = arguments if isinstance(arguments, str) else _json(arguments)
    label = _("tool call: %(name)s (%(id)s)")
    return Piece("code", text, label % {"name": function.get("name"), "id": call.get("id")})


def _json(value: Any) -> str:
    return exact_json.dumps(
        attachments.restore(value, attachments.describe_file), option=orjson.OPT_INDENT_2
    ).decode()
