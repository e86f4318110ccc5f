"""A message split into pieces for its owner's pages: text, images, files, tool calls. Pure."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import exact_json
from ..bounded_json import has_more_values
from ..models import Attachment
from ..record import threads
from ..record.attachments import MARK
from ..shape import Json
from . import markdown, rendered
from .attachment_response import RASTER
from .call_words import format_size
from .portions import SHOWN, cut_pieces

Files = dict[str, Attachment]  # by their sha256 in hex
TEXT_TYPES = ("text", "input_text", "output_text", None)


class PieceKind(StrEnum):
    """The look of a piece; templates know these words."""

    TEXT = "text"
    HTML = "html"
    IMAGE = "image"
    FILE = "file"
    LINK = "link"
    CALL = "call"
    JSON = "json"
    NOTE = "note"


@dataclass(slots=True)
class TurnPiece:
    kind: PieceKind
    text: str | SafeString = ""
    name: str = ""
    attachment: Attachment | None = None
    alt: str = ""
    left_out: int = 0  # characters behind it, of a text that was cut before it was rendered


def split_message(message: Json, files: Files, *, as_markdown: bool) -> list[TurnPiece]:
    """Split it; with `as_markdown`, its text is rendered."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    pieces = []
    if thoughts := threads.extract_reasoning(message):
        pieces.append(TurnPiece(PieceKind.JSON, thoughts, _("Reasoning")))
    pieces += [
        piece for part in parts for piece in _split_part(part, files, as_markdown=as_markdown)
    ]
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        pieces.append(_refusal(refusal))
    calls = message.get("tool_calls")
    calls = calls if isinstance(calls, list) else []
    if message.get("function_call"):
        calls = [*calls, {"function": message["function_call"]}]
    return _cut(pieces + [tool_call(call) for call in calls])


def _cut(pieces: list[TurnPiece]) -> list[TurnPiece]:
    """Cut what is too long for a page, and say so behind it."""
    cut_before = sum(piece.left_out for piece in pieces)
    shown, left_out = cut_pieces(pieces)
    if number := cut_before + left_out:
        text = ngettext(
            "%(count)s more character is not shown here. The export has all of the message.",
            "%(count)s more characters are not shown here. The export has all of the message.",
            number,
        )
        shown.append(TurnPiece(PieceKind.NOTE, text % {"count": f"{number:,}"}, _("Too long")))
    return shown


def _split_part(part: Any, files: Files, *, as_markdown: bool) -> list[TurnPiece]:
    if threads.is_empty(part):
        return []
    if isinstance(part, str):
        if as_markdown:
            html = rendered.html(part[:SHOWN])
            return [TurnPiece(PieceKind.HTML, html, left_out=len(part[SHOWN:]))]
        return [TurnPiece(PieceKind.TEXT, part)]
    if not isinstance(part, dict):
        return [TurnPiece(PieceKind.JSON, indent(part), _("Content"))]
    if (file := _file(part, files)) is not None:
        return [file]
    kind = part.get("type")
    if kind == "thinking" or threads.extract_reasoning({"content": [part]}):
        return []  # shown as reasoning
    if kind in TEXT_TYPES and isinstance(text := part.get("text"), str):
        return _split_part(text, files, as_markdown=as_markdown)
    if kind == "refusal" and isinstance(text := part.get("refusal"), str):
        return [_refusal(text)]
    return [_media(part, files)]


def _refusal(text: str) -> TurnPiece:
    return TurnPiece(PieceKind.NOTE, text, _("The model declined"))


def _media(part: Json, files: Files) -> TurnPiece:
    """Show a part with a file, an address, or content that this page does not know."""
    value = part.get("image_url") or part.get("file") or part.get("input_audio") or part.get("text")
    inner = value if isinstance(value, dict) else {"url": value}
    for holder in (inner, *inner.values()):
        if isinstance(holder, dict) and (file := _file(holder, files)) is not None:
            file.name = str(inner.get("filename") or file.name)
            return file
    url = inner.get("url")
    if isinstance(url, str) and url.startswith("data:"):
        text = ngettext(
            "%(count)s character, stored in the message itself",
            "%(count)s characters, stored in the message itself",
            len(url),
        )
        return TurnPiece(PieceKind.NOTE, text % {"count": f"{len(url):,}"}, _("A small file"))
    if isinstance(url, str) and markdown.LINK.match(url):
        return TurnPiece(PieceKind.LINK, url, _("image not loaded"))
    return TurnPiece(PieceKind.JSON, indent(part), str(part.get("type") or _("Content")))


def _file(value: Json, files: Files) -> TurnPiece | None:
    """Show the file that was taken out of a message here, if any."""
    inner = value.get(MARK)
    row = files.get(inner[0]) if isinstance(inner, list) and inner else None
    if row is None:
        return None
    kind = PieceKind.IMAGE if row.media_type in RASTER else PieceKind.FILE
    return TurnPiece(kind, format_size(row.size), row.media_type, row)


def tool_call(call: Any) -> TurnPiece:
    function = call.get("function") or call.get("custom") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return TurnPiece(PieceKind.JSON, indent(call), _("Tool call"))
    arguments = function.get("arguments", function.get("input")) or ""
    if not isinstance(arguments, str):  # some servers send an object
        arguments = exact_json.dumps(arguments).decode()
    text = arguments
    if not has_more_values(arguments.encode(errors="replace")):
        with suppress(ValueError, TypeError):  # no JSON, or nested too deep for orjson
            text = indent(exact_json.loads(arguments))
    return TurnPiece(PieceKind.CALL, text, str(function.get("name") or _("a tool")))


def indent(value: Any) -> str:
    return exact_json.dumps(value, option=orjson.OPT_INDENT_2).decode()
