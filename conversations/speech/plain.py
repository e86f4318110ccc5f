"""What most parts of an agent's history are, seen without being read whole.

An agent repeats its history with each call, and most of it is texts, calls of tools, results and
thoughts with the usual fields. They are seen here as `seen` sees them, or not at all: then they
have a field or a value that has to be read.
"""

from collections.abc import Iterator
from typing import Any

from .segments import Json

OF_ITEM = {"type", "id", "status", "phase"}  # fields of any item that say nothing
OF_MESSAGE = OF_ITEM | {"role", "content"}
OF_TEXT = {"type", "text", "annotations", "logprobs", "cache_control"}
OF_USE = {"type", "id", "name", "input", "cache_control"}
OF_CALL = OF_ITEM | {"call_id", "name", "arguments"}
OF_RESULT = {"type", "tool_use_id", "content", "cache_control"}
OF_OUTPUT = OF_ITEM | {"call_id", "output"}
OF_THOUGHT = OF_ITEM | {"thinking", "signature", "data", "summary", "content", "encrypted_content"}
TEXTS = ("text", "input_text", "output_text")
THOUGHTS = ("thinking", "redacted_thinking", "reasoning")


class NotPlain(Exception):
    """A part has more than is usual."""


def see_parts(message: Json) -> list[Json]:
    """Return what the parts of a message are seen as. Raises NotPlain."""
    role = message.get("role")
    if not isinstance(role, str) or role.startswith("$"):
        raise NotPlain
    is_models = role == "assistant"
    if message.keys() == {"role", "items"} and isinstance(message["items"], list):
        items = message["items"]
        return [seen for item in items for seen in _see_item(item, is_models=is_models)]
    if role == "tool":
        raise NotPlain  # the whole message is a result
    return _see_content(message, is_models=is_models)


def _see_item(item: Any, *, is_models: bool) -> list[Json]:
    if isinstance(item, dict) and item.get("type") == "message":
        if item.get("role") != "assistant":
            raise NotPlain
        return _see_content(item, is_models=is_models)
    return list(_see_part(item, is_models=is_models))


def _see_content(message: Json, *, is_models: bool) -> list[Json]:
    if not message.keys() <= OF_MESSAGE or message.get("type", "message") != "message":
        raise NotPlain
    content = message.get("content")
    if isinstance(content, str) and content:
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise NotPlain
    return [seen for part in content for seen in _see_part(part, is_models=is_models)]


def _see_part(part: Any, *, is_models: bool) -> Iterator[Json]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in TEXTS:
        if part.get("annotations", []) != []:
            raise NotPlain
        yield {"type": "text", "text": _take_text(part, "text", OF_TEXT)}
    elif kind == "tool_use":
        if not isinstance(part.get("input"), dict) or not part["input"]:
            raise NotPlain
        name, call = _take_text(part, "name", OF_USE), _take_text(part, "id", OF_USE)
        yield _make_call(call, name, part["input"])
    elif kind == "function_call":
        name, call = _take_text(part, "name", OF_CALL), _take_text(part, "call_id", OF_CALL)
        yield _make_call(call, name, _take_text(part, "arguments", OF_CALL))
    elif kind == "tool_result":
        text = _take_text(part, "content", OF_RESULT)
        yield {"type": "result", "text": text, "call": _take_text(part, "tool_use_id", OF_RESULT)}
    elif kind == "function_call_output":
        text = _take_text(part, "output", OF_OUTPUT)
        yield {"type": "result", "text": text, "call": _take_text(part, "call_id", OF_OUTPUT)}
    elif not (kind in THOUGHTS and is_models and part.keys() <= OF_THOUGHT):
        raise NotPlain


def _take_text(part: Json, name: str, usual: set[str]) -> str:
    text = part.get(name)
    if not isinstance(text, str) or not text or not part.keys() <= usual:
        raise NotPlain
    return text


def _make_call(call: str, name: str, arguments: Any) -> Json:
    return {"id": call, "type": "function", "function": {"name": name, "arguments": arguments}}
