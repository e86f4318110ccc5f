"""A message split for the review desk: each of its fields shows, also unknown ones. Pure."""

from dataclasses import dataclass
from typing import Any

import orjson
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import exact_json
from ..record import attachments
from ..shape import Json
from ..speech.reading import read_message
from ..speech.segments import Segment, SegmentKind
from ..visible import Find
from .layout import Block, Stretch, cut_stretches, lay_out, split_code

FOLDED = 6000  # characters that are shown before the rest is folded away
# The look of a text; that of other kinds is a field's.
LOOKS = {
    SegmentKind.REFUSAL: "refusal",
    SegmentKind.RESULT: "text",
    SegmentKind.SERVER_RESULT: "text",
    SegmentKind.DOCUMENT: "text",
    SegmentKind.SUMMARY: "text",
}
LABELS = {
    SegmentKind.THINKING: gettext_lazy("reasoning"),
    SegmentKind.REFUSAL: gettext_lazy("refusal"),
    SegmentKind.RESULT: gettext_lazy("result of the tool call"),
    SegmentKind.SERVER_RESULT: gettext_lazy("result of the provider’s tool call"),
    SegmentKind.CITATION: gettext_lazy("citation"),
    SegmentKind.PICTURE: gettext_lazy("image"),
    SegmentKind.AUDIO: gettext_lazy("audio"),
    SegmentKind.VIDEO: gettext_lazy("video"),
    SegmentKind.DOCUMENT: gettext_lazy("document"),
    SegmentKind.TOOL: gettext_lazy("tool"),
    SegmentKind.SUMMARY: gettext_lazy("summary of what came before"),
}
USUAL_TYPES = ("", "function", "image_url")
CALLS = {
    SegmentKind.CALL: gettext_lazy("tool call: %(name)s (%(id)s)"),
    SegmentKind.SERVER_CALL: gettext_lazy("the provider’s tool call: %(name)s (%(id)s)"),
}


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
    split: list[Piece] = []
    for piece in (piece for segment in read_message(message) for piece in _show(segment)):
        if split and piece.kind == split[-1].kind == "reasoning":
            thoughts = filter(None, (split[-1].text, piece.text))
            split[-1].text = "\n".join(thoughts)
        else:
            split.append(piece)
    return [piece for piece in split if piece.text or piece.kind != "reasoning"]


def show_field(key: str, value: Any) -> Piece:
    text = value if isinstance(value, str) else _json(value)
    return Piece("field" if len(text) <= 80 and "\n" not in text else "code", text, key)


def _show(segment: Segment) -> list[Piece]:
    """Show a segment, and what is inside it."""
    references = attachments.list_references([segment.file, segment.value])
    shown = [Piece("file", file=digest) for digest in references]
    if segment.kind in CALLS:
        label = _add_type(CALLS[segment.kind], segment)
        label %= {"name": segment.name, "id": segment.call}
        # A text as it came: parsing would hide a repeated key.
        said = segment.text or ("" if segment.value is None else _json(segment.value))
        shown.append(Piece("code", said, label))
        if segment.text and segment.value is not None:
            shown.append(show_field(label, segment.value))
    elif segment.kind == SegmentKind.UNSEEN:
        shown.append(show_field(segment.name, segment.value))
    else:
        shown += _show_parts(segment)
    return shown + [piece for inner in segment.inner for piece in _show(inner)]


def _show_parts(segment: Segment) -> list[Piece]:
    if segment.kind == SegmentKind.TEXT:
        return [Piece("text", segment.text)] if segment.text else []
    label = _add_type(LABELS[segment.kind], segment)
    if segment.kind == SegmentKind.THINKING:
        return [Piece("reasoning", segment.text, label)]
    shown = [show_field(label, name) for name in (segment.name, segment.call) if name]
    if segment.address:
        is_picture = segment.kind == SegmentKind.PICTURE
        where = _("image at a web address, not loaded") if is_picture else label
        shown.append(Piece("address", segment.address, where))
    if segment.text and segment.kind in LOOKS:
        shown.append(Piece(LOOKS[segment.kind], segment.text, label))
    else:
        shown += [show_field(label, segment.text)] if segment.text else []
    if isinstance(segment.file, str) or (segment.file and segment.kind != SegmentKind.PICTURE):
        shown.append(show_field(label, segment.file))
    return shown + ([] if segment.value is None else [show_field(label, segment.value)])


def _add_type(label: object, segment: Segment) -> str:
    """Add what the dialect calls it, as a reviewer finds it in the record."""
    is_told = segment.type in USUAL_TYPES or segment.type in str(label)
    return str(label) if is_told else f"{label} · {segment.type}"


def _json(value: Any) -> str:
    return exact_json.dumps(
        attachments.restore(value, attachments.describe_file), option=orjson.OPT_INDENT_2
    ).decode()
