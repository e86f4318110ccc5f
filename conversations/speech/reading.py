"""A message of any dialect, read as segments: what is known by its shape, all else by its name.

No dialect needs to be told: a part says its type, and no type means two things. Clients and servers
of chat send blocks of Messages and items of Responses, too.
"""

from collections.abc import Callable, Iterator
from typing import Any

from . import chat, messages, responses
from .recorded import TOOLS
from .segments import FILE, Json, Segment, SegmentKind, Shape

SHAPES: dict[str, Shape] = responses.SHAPES | messages.SHAPES | chat.SHAPES
TOLD = ("base64", "url", "text", "content", "file")  # types of an opened object, told by its fields
SILENT = (SegmentKind.THINKING, SegmentKind.SUMMARY)  # may be encrypted as a whole
Levels = dict[str, Json]  # a part's own fields, then by their names those of opened objects


def read_message(message: Json) -> list[Segment]:
    """Read a message in the order in which a person does: thoughts, words, files, calls, the rest.

    Its role is not among them where it is a text. Files may be taken out or not.
    """
    kind = _find_type(message)
    if kind in SHAPES and "content" not in message:
        return read_part(message)  # an item that is a row of its own
    rest = dict(message)
    role = rest.pop("role") if isinstance(rest.get("role"), str) else ""
    if kind == "message":
        del rest["type"]
    if role == "tool" and "items" not in rest:
        return [_read_shape(rest, chat.RESULT)]
    found = [*_take_thoughts(rest), *_take(rest, "content"), *_take(rest, "items")]
    if isinstance(rest.get("refusal"), str):
        found += read_part(rest.pop("refusal"), SegmentKind.REFUSAL)
    if isinstance(rest.get("audio"), dict):
        found.append(_read_shape(rest.pop("audio"), chat.AUDIO))
    for name, untyped in chat.BESIDE.items():
        found += _take(rest, name, text=SegmentKind.UNSEEN, untyped=untyped)
    if role == TOOLS:
        found += _read_tools(rest.pop("tools", None))
    return found + _list_unseen(rest)


def read_part(
    part: Any,
    text: SegmentKind = SegmentKind.TEXT,
    untyped: str = "text",
    name: str = "part",
) -> list[Segment]:
    """Read one part of a message: a text, a block, an item.

    Its texts are segments of the kind `text`; `untyped` is the type of a part that says none, and
    `name` the name of one that is not known.
    """
    if not _is_something(part):
        return []
    if isinstance(part, str) and text != SegmentKind.UNSEEN:
        return [Segment(text, part)]
    if not isinstance(part, dict):
        return [Segment(SegmentKind.UNSEEN, name=name, value=part)]
    if _is_reference(part):
        return [Segment(SegmentKind.DOCUMENT, file=part)]
    kind = _find_type(part)
    if kind == "message" or (not kind and "role" in part):
        role = part.get("role")
        return read_message(part) + _list_unseen({"role": role} if role != "assistant" else {})
    shape = _find_shape(kind or untyped)
    segment = _read_shape(part, shape) if shape else None
    if segment is None or _is_blank(segment):
        return [Segment(SegmentKind.UNSEEN, name=kind or name, value=part)]
    if segment.kind == SegmentKind.TEXT and text == SegmentKind.UNSEEN:
        return [Segment(SegmentKind.UNSEEN, name=kind or name, value=part)]
    return [segment._replace(kind=text) if segment.kind == SegmentKind.TEXT else segment]


def _take(rest: Json, name: str, **how: Any) -> list[Segment]:
    """Take a field with parts out of a message."""
    if name not in rest:
        return []
    value = rest.pop(name)
    parts = value if isinstance(value, list) else [value]
    return [segment for part in parts for segment in read_part(part, name=name, **how)]


def _take_thoughts(rest: Json) -> Iterator[Segment]:
    """Take what a model thought out of a message: once, though fields repeat each other."""
    said: list[str] = []
    for name in chat.THOUGHTS:
        thought = rest.get(name)
        if isinstance(thought, str):
            del rest[name]
            if thought and thought not in said:
                said.append(thought)
                yield Segment(SegmentKind.THINKING, thought)
    for name in chat.THOUGHT_PARTS:
        for segment in _take(rest, name, text=SegmentKind.THINKING, untyped="thinking"):
            if segment.kind == SegmentKind.THINKING:
                is_repeated = any(segment.text in thought for thought in said)
                said.append(segment.text)
                segment = segment._replace(text="") if is_repeated else segment
            yield segment


def _find_type(part: Json) -> str:
    kind = part.get("type")
    return kind if isinstance(kind, str) else ""


def _find_shape(kind: str) -> Shape | None:
    is_thought = kind.startswith(("thinking", "reasoning"))  # reasoning.summary, …
    return SHAPES.get(kind, chat.THOUGHT if is_thought else None)


def _is_blank(segment: Segment) -> bool:
    """Tell whether nothing of a part was where its shape has it."""
    says = segment.text or segment.name or segment.call or segment.address
    is_seen = any(inner.kind != SegmentKind.UNSEEN for inner in segment.inner)
    has_more = is_seen or segment.file is not None or segment.value is not None
    return not (says or has_more or segment.kind in SILENT)


def _read_shape(part: Json, shape: Shape) -> Segment:
    """Take what a shape names out of a part; what is left is unseen, inside the segment."""
    levels = _open(part, shape)
    own = levels[""]
    kind = own.pop("type") if SHAPES.get(_find_type(own)) is shape else ""
    texts = [_pop(levels, (name,), _is_text) for name in shape.text]
    name = _pop(levels, shape.name, _is_text) or shape.default_name
    call = _pop(levels, shape.call, _is_text) or ""
    address = _pop(levels, shape.address, _is_text) or ""
    file = _pop(levels, shape.file, _is_text)
    file = file or _pop(levels, shape.file + shape.address, _is_reference)
    value = _pop(levels, shape.value, _is_something)
    inner: list[Segment] = []
    for field in shape.inner:
        if parts := _pop(levels, (field,), _is_something):
            inner += _take({field: parts}, field, text=shape.inner_kind, untyped=shape.untyped)
    for field in shape.tools:
        inner += _read_tools(_pop(levels, (field,), _is_something))
    inner += [each for holder, rest in levels.items() for each in _list_unseen(rest, holder)]
    text = "\n".join(filter(None, texts))
    return Segment(shape.kind, text, name, call, address, file, value, tuple(inner), kind)


def _open(part: Json, shape: Shape) -> Levels:
    """Return the fields of a part, and of the objects in it that are as its own."""
    own = dict(part)
    levels = {"": own}
    for holder in shape.opened:
        inner = own.get(holder)
        if not isinstance(inner, dict) or _is_reference(inner):
            continue
        levels[holder] = fields = dict(own.pop(holder))
        kind = _find_type(fields)
        if kind in TOLD:
            del fields["type"]
        if kind == "text" and "text" not in fields:  # a document that is a text
            fields["text"] = fields.pop("data", None)
    return levels


def _pop(levels: Levels, names: tuple[str, ...], fits: Callable[[Any], bool]) -> Any:
    """Take the first of these fields out whose value fits; None where there is none."""
    for name in names:
        for fields in levels.values():
            if name in fields and fits(fields[name]):
                return fields.pop(name)
    return None


def _read_tools(tools: Any) -> list[Segment]:
    found = []
    for tool in tools if isinstance(tools, list) else [tools]:
        if isinstance(tool, dict):
            found.append(_read_shape(tool, chat.TOOL))
        elif _is_something(tool):
            found.append(Segment(SegmentKind.UNSEEN, name="tools", value=tool))
    return found


def _list_unseen(fields: Json, holder: str = "") -> list[Segment]:
    return [
        Segment(SegmentKind.UNSEEN, name=f"{holder}.{name}" if holder else name, value=value)
        for name, value in fields.items()
        if _is_something(value)
    ]


def _is_something(value: Any) -> bool:
    return not (value is None or value == "" or value == [] or value == {})


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get(FILE), list)
