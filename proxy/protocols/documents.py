"""A completion that came as a stream, as the document that OpenAI's schema describes. Pure.

Clients have types that are made from the schema, and streams leave out or misspell what those ask
for. What is missing is filled in, what has another shape is put into the schema's, and what has no
place there is left out. Fields that the schema does not know stay, and the record has all as it
came.
"""

import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from conversations import exact_json
from conversations.shape import Json

from .usage import read_usage


class Lack(Enum):
    """What becomes of an object where a field of it has no legal value."""

    ABSENT = auto()  # it goes without the field
    BROKEN = auto()  # it is none


ABSENT, BROKEN = Lack.ABSENT, Lack.BROKEN


def text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def count(value: Any) -> int | None:
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and type(value) is not bool else None


def json_text(value: Any) -> str | None:
    """Return a text as it is, and any other value as the JSON that it was."""
    return value if value is None or isinstance(value, str) else exact_json.dumps(value).decode()


def one_of(*words: str) -> Callable[[Any], str | None]:
    return lambda value: value if value in words else None


def labels(value: Any) -> Json | None:
    is_legal = isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
    return value if is_legal else None


def join_parts(content: Any) -> str | None:
    """Return the text of an answer, which some servers send as a list of parts."""
    if isinstance(content, list):
        return "".join(words for part in content if (words := words_of(part)))
    return json_text(content)


def words_of(part: Any) -> str | None:
    """Return the text of a part; None where it is another kind of part."""
    if not isinstance(part, dict):
        return text(part)
    return text(part.get("text")) if part.get("type") in (None, "text", "output_text") else None


# The schema: of each field the shape of its value, and what stands in for one that is not legal. A
# shape is a function of the value, an object's fields, or a list of one shape.
Fields = dict[str, tuple[Any, Any]]
TOP_TOKEN: Fields = {
    "token": (text, BROKEN),
    "logprob": (number, BROKEN),
    "bytes": ([count], None),
}
TOKEN: Fields = TOP_TOKEN | {"top_logprobs": ([TOP_TOKEN], [])}
LOGPROBS: Fields = {"content": ([TOKEN], None), "refusal": ([TOKEN], None)}
CITATION: Fields = {
    "start_index": (count, BROKEN),
    "end_index": (count, BROKEN),
    "title": (text, BROKEN),
    "url": (text, BROKEN),
}
ANNOTATION: Fields = {
    "type": (one_of("url_citation"), BROKEN),
    "url_citation": (CITATION, BROKEN),
}
AUDIO: Fields = {
    "id": (text, ""),
    "data": (text, ""),
    "transcript": (text, ""),
    "expires_at": (count, 0),
}
FUNCTION: Fields = {"name": (text, ""), "arguments": (json_text, "{}")}
FUNCTION_CALL: Fields = {
    "id": (text, ""),
    "type": (one_of("function"), "function"),
    "function": (FUNCTION, {"name": "", "arguments": "{}"}),
}
CUSTOM_CALL: Fields = {
    "id": (text, ""),
    "type": (one_of("custom"), "custom"),
    "custom": ({"name": (text, ""), "input": (json_text, "")}, BROKEN),
}
MESSAGE: Fields = {
    "role": (one_of("assistant"), "assistant"),
    "content": (join_parts, None),
    "refusal": (text, None),
    "annotations": ([ANNOTATION], ABSENT),
    "audio": (AUDIO, ABSENT),
    "function_call": (FUNCTION, ABSENT),
    "tool_calls": ([lambda call: fit(call, CUSTOM_CALL) or fit(call, FUNCTION_CALL)], ABSENT),
}
PROMPT_DETAILS = "audio cache_write cached image text"
OUTPUT_DETAILS = "accepted_prediction audio reasoning rejected_prediction text"
DETAILS: Fields = {
    f"{side}_tokens_details": (
        {f"{name}_tokens": (count, ABSENT) for name in names.split()},
        ABSENT,
    )
    for side, names in (("prompt", PROMPT_DETAILS), ("completion", OUTPUT_DETAILS))
}
COMPLETION: Fields = {
    "service_tier": (one_of("auto", "default", "flex", "scale", "priority", "fast"), ABSENT),
    "system_fingerprint": (text, ABSENT),
    "metadata": (labels, ABSENT),
}
REASONS = ("stop", "length", "tool_calls", "content_filter", "function_call")
OTHER_REASONS = {  # what servers say in place of OpenAI's word
    "max_tokens": "length",
    "max_output_tokens": "length",
    "max_completion_tokens": "length",
    "max_length": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "insufficient_system_resource": "length",  # DeepSeek broke it off
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "refusal": "content_filter",
    "sensitive": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "spii": "content_filter",
}


def as_document(completion: Json, model: str, name: str) -> Json:
    """Return the document; `model` and `name` stand in for a model and for ids that are missing.

    `name` has 32 characters: OpenAI takes 40 for the id of a tool call.
    """
    created = count(completion.get("created"))
    document: Json = fit(completion, COMPLETION) | {
        "id": text(completion.get("id")) or f"chatcmpl-{name}",
        "object": "chat.completion",
        "created": int(time.time()) if created is None else created,
        "model": text(completion.get("model")) or model,
        "choices": [_make_choice(choice, name) for choice in completion["choices"]],
        "usage": _make_usage(completion.get("usage")),
    }
    if document["usage"] is None:
        del document["usage"]
    return document


def fit(value: Any, shape: Any) -> Any:
    """Return a value in this shape, with what it has beside it; None where it has none of it."""
    if callable(shape):
        return shape(value)
    if isinstance(shape, list):
        items = [fit(item, shape[0]) for item in value] if isinstance(value, list) else None
        return items and [item for item in items if item is not None]
    if not isinstance(value, dict):
        return None
    made = dict(value)
    for name, (inner, otherwise) in shape.items():
        found = fit(value.get(name), inner)
        found = otherwise if found is None else found
        if found is BROKEN:
            return None
        made[name] = found
    return {name: each for name, each in made.items() if each is not ABSENT}


def _make_choice(choice: Json, name: str) -> Json:
    content = choice["message"].get("content")
    message = fit(choice["message"], MESSAGE)
    if isinstance(content, list) and any(words_of(part) is None for part in content):
        message["content_parts"] = content  # the schema has room for a text alone
    for place, call in enumerate(message.get("tool_calls", ())):
        call["id"] = call["id"] or f"call_{name}{place}"
    said = choice.get("finish_reason") or ""
    reason = _find_reason(said.lower(), message)
    if said and reason != said:
        choice = {"native_finish_reason": said} | choice  # as OpenRouter calls it
    logprobs = fit(choice.get("logprobs"), LOGPROBS)
    return choice | {"message": message, "logprobs": logprobs, "finish_reason": reason}


def _find_reason(said: str, message: Json) -> str:
    if said in REASONS or said in OTHER_REASONS:
        return OTHER_REASONS.get(said, said)
    calls = (name for name in ("tool_calls", "function_call") if message.get(name))
    return next(calls, "stop")


def _make_usage(told: Any) -> Json | None:
    """Return OpenAI's three counts, in whatever words they were told; None where they were not."""
    used = read_usage(told)
    if not isinstance(told, dict) or used.prompt is None or used.output is None:
        return None
    prompt = count(told.get("prompt_tokens"))
    prompt = used.prompt if prompt is None else prompt
    output = count(told.get("completion_tokens"))
    output = used.output if output is None else output
    total = count(told.get("total_tokens"))
    counts = {"prompt_tokens": prompt, "completion_tokens": output}
    counts["total_tokens"] = prompt + output if total is None else total
    return fit(told, DETAILS) | counts
