"""A message as a chat message: for what compares, counts and judges words. It is never sent.

Two spellings of one message of a history are seen as one: what a client drops or makes anew (ids,
states, signatures, thoughts, citations, marks of the cache) is not there. All else is, also what no
shape knows: two messages that say another thing are never seen as one.
"""

from typing import Any

from . import plain, reading
from .recorded import INSTRUCTIONS, SYSTEM
from .segments import Json, Segment, SegmentKind, is_opaque

ROLES = {SYSTEM: "system", INSTRUCTIONS: "system"}


def see_message(message: Json, dialect: str) -> Json:
    """Return the message itself, if it is one of chat; else a chat message that says the same."""
    if dialect == "chat":
        return message
    role = message.get("role")
    try:
        seen = plain.see_parts(message)
    except plain.NotPlain:
        seen = _see_segments(message)
    parts = [part for part in seen if part["type"] != "function"]
    calls = [part for part in seen if part["type"] == "function"]
    if isinstance(role, str):
        role = ROLES.get(role, role)
    chat = {"role": role, "content": _join(parts)}
    return chat | {"tool_calls": calls} if calls else chat


def _see_segments(message: Json) -> list[Json]:
    is_models = message.get("role") == "assistant"
    segments = reading.read_message(message)
    return [_see(segment) for segment in segments if _is_kept(segment, is_models=is_models)]


def _is_kept(segment: Segment, *, is_models: bool) -> bool:
    is_thought = segment.kind == SegmentKind.THINKING
    return not (is_opaque(segment) or (is_thought and is_models))


def _see(segment: Segment) -> Json:
    if segment.kind == SegmentKind.TEXT:
        return {"type": "text", "text": segment.text} | _see_inner(segment)
    if segment.kind == SegmentKind.CALL:
        arguments = segment.text or segment.value
        function = {"name": segment.name, "arguments": arguments} | _see_inner(segment)
        return {"id": segment.call, "type": "function", "function": function}
    says: dict[str, Any] = {
        "text": segment.text,
        "name": segment.name,
        "call": segment.call,
        "address": segment.address,
        "file": segment.file,
        "value": segment.value,
    }
    kept = {name: value for name, value in says.items() if value not in ("", None)}
    return {"type": str(segment.kind)} | kept | _see_inner(segment)


def _see_inner(segment: Segment) -> Json:
    inner = [
        _see(each)
        for each in segment.inner
        if each.kind != SegmentKind.CITATION and _is_kept(each, is_models=False)
    ]
    return {"inner": inner} if inner else {}


def _join(parts: list[Json]) -> Any:
    """Return texts that are alone as one text."""
    if all(part.keys() == {"type", "text"} for part in parts) and parts:
        return "".join(part["text"] for part in parts)
    return parts
