"""How many tokens words are, where no upstream counted them. Pure; takes anything."""

from collections.abc import Iterator
from typing import Any

import orjson

from conversations.record.calls import estimate_tokens
from conversations.shape import Json

# Fields of a message that are not words of it.
OPAQUE = frozenset(
    "id type role index status model object format mime_type media_type call_id tool_call_id"
    " signature thoughtSignature thought_signature encrypted_content data url image_url b64_json"
    " file_data file_id annotations expires_at cache_control detail".split()
)
# The same thoughts by several names: some send two of them.
REASONING = ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "thinking")

# Fields of a request that become words of the prompt, beside its messages.
OFFERED = ("tools", "functions", "response_format")


def estimate_request(body: Json, messages: list[Json] | None = None) -> int:
    """Estimate the tokens of a prompt: messages, and what the model is offered beside them.

    A tool is told to a model with the names of its parameters, so its JSON counts as it is.
    """
    told = messages or body.get("messages")
    if not isinstance(told, list) or not told:
        return estimate_input(body.get("input"))
    offered = (body.get(name) for name in OFFERED)
    texts = (orjson.dumps(value, default=str).decode() for value in offered if value)
    return sum(map(estimate_message, told)) + sum(map(estimate_tokens, texts))


def estimate_message(message: Any) -> int:
    """Estimate the tokens of a message: all its words, whatever field they are in."""
    if not isinstance(message, dict):
        return sum(map(estimate_tokens, _find_words(message)))
    rest = {name: value for name, value in message.items() if name not in REASONING}
    thoughts = (
        sum(map(estimate_tokens, _find_words(message.get(name))))
        for name in REASONING
        if message.get(name)
    )
    return sum(map(estimate_tokens, _find_words(rest))) + max(thoughts, default=0)


def estimate_input(value: Any) -> int:
    """Estimate the tokens of an embedding's input: texts, or tokens already."""
    if isinstance(value, list):
        numbers = sum(type(item) is int for item in value)
        return numbers + sum(map(estimate_input, (x for x in value if type(x) is not int)))
    return estimate_message(value)


def _find_words(value: Any) -> Iterator[str]:
    """Yield the strings in any JSON that are words, not names of things or their bytes."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting += [inner for name, inner in item.items() if name not in OPAQUE]
        elif isinstance(item, list):
            waiting += item
