"""Which conversation does this list of messages continue, and where in its tree does each message hang? Pure: no row is read here.

Every message has two names. Its *path hash*, HMAC(seed, path hash of its parent, canonical form), is the same for all
spellings that clients give one history: it finds the conversation and knows a relayed reply when it comes back. Its
*id*, made from the conversation, the id of its parent and the exact form, names the row: two calls that send the same
bytes at the same place name the same row, so nobody looks before inserting, and any other byte is another row. The
folding below can therefore be generous: it decides where a message belongs, never what is recorded.

The leading system messages are the call's preamble. They hang from a root of their own, so that a prompt with today's
date in it neither splits a conversation nor stores its history again.
"""

import hmac
from typing import Any, NamedTuple
from uuid import UUID

import orjson

Json = dict[str, Any]

# What a reply may carry besides what it says; clients drop, keep or mangle these when they send it back.
DECORATION = {
    "annotations",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "thinking_blocks",
    "provider_specific_fields",
}
DEEPEST = 64  # levels of JSON that are taken
PREAMBLE, TURNS = b"preamble", b"turns"  # the roots


class MessageRow(NamedTuple):
    """A message as it is inserted."""

    id: UUID
    parent: UUID | None
    depth: int
    role: str
    text: str | None
    raw: str | None
    origin: str
    echo_of: UUID | None
    path_hash: bytes


def split(messages: list[Json]) -> tuple[list[Json], list[Json]]:
    """The preamble and the turns."""
    first = next(
        (
            i
            for i, message in enumerate(messages)
            if message.get("role") not in ("system", "developer")
        ),
        len(messages),
    )
    return messages[:first], messages[first:]


def path_hashes(key: bytes, root: bytes, messages: list[Json]) -> list[bytes]:
    """The path hash of each message below a root."""
    parent = hmac.digest(key, root, "sha256")
    return [
        parent := hmac.digest(key, parent + canonical_form(message), "sha256")
        for message in messages
    ]


def next_hash(key: bytes, parent: bytes | None, message: Json) -> bytes:
    return hmac.digest(
        key, (parent or hmac.digest(key, TURNS, "sha256")) + canonical_form(message), "sha256"
    )


def message_ids(
    key: bytes, conversation: UUID, parent: UUID | bytes, messages: list[Json]
) -> list[UUID]:
    """The id of each message below another, or below a root. They begin with the conversation's own time: its rows lie together."""
    prefix, chain, found = (
        conversation.bytes[:6],
        (parent.bytes if isinstance(parent, UUID) else parent),
        [],
    )
    for message in messages:
        chain = (
            prefix
            + hmac.digest(key, conversation.bytes + chain + exact_form(message), "sha256")[:10]
        )
        found.append(UUID(bytes=chain))
    return found


def exact_form(message: Json) -> bytes:
    return orjson.dumps(message, option=orjson.OPT_SORT_KEYS)


def canonical_form(message: Json) -> bytes:
    """The bytes that all spellings of one message share. Spelling is: null and empty fields, one text part for a string,
    developer for system, cache marks; and in an assistant's message, which clients send back from memory, space around
    the text or between the tokens of tool arguments, and decoration."""
    role, content = message.get("role"), message.get("content")
    if len(message) == 2 and type(content) is str and role in ("user", "tool", "system"):
        return orjson.dumps([role, content])
    rest = {
        k: v
        for k, v in message.items()
        if k not in ("role", "content", "cache_control") and not is_empty(v)
    }
    if type(content) is list:
        parts = [without(part, "cache_control") for part in content]
        only = parts[0] if len(parts) == 1 else None
        content = (
            only["text"]
            if type(only) is dict and only.keys() == {"type", "text"} and only["type"] == "text"
            else parts
        )
    if role == "assistant":
        rest = {k: v for k, v in rest.items() if k not in DECORATION}
        content = content.strip() if type(content) is str else content
        if type(rest.get("tool_calls")) is list:
            rest["tool_calls"] = [_tool_call(call) for call in rest["tool_calls"]]
    words = ["system" if role == "developer" else role, "" if is_empty(content) else content]
    return orjson.dumps([*words, rest] if rest else words, option=orjson.OPT_SORT_KEYS)


def fold_reply(reply: Json) -> Json:
    """How most clients return a reply. A relayed row stands for this in a request; any other spelling is an echo of its own."""
    return {
        k: v
        for k, v in reply.items()
        if k in ("role", "content") or (k not in DECORATION and not is_empty(v))
    }


def is_echo(message: Json) -> bool:
    """Its text can be left to the relayed row: canonically equal, and without space that the folding took away."""
    content = message.get("content")
    return type(content) is str and content != "" and content == content.strip()


def take_apart(message: Json, *, text: bool = True) -> tuple[str, str | None, str | None]:
    """Role, text, and the JSON of whatever is neither (also of text with a NUL, which PostgreSQL refuses)."""
    role, content = message.get("role"), message.get("content")
    plain: Json = {}
    if type(role) is str and role and "\0" not in role:
        plain["role"] = role
    if type(content) is str and "\0" not in content:
        plain["content"] = content
    rest = {key: value for key, value in message.items() if key not in plain}
    return (
        plain.get("role", ""),
        plain.get("content") if text else None,
        orjson.dumps(rest).decode() if rest else None,
    )


def put_together(role: str, text: str | None, raw: str | None) -> Json:
    message: Json = {"role": role} if role else {}
    if text is not None:
        message["content"] = text
    return message | orjson.loads(raw) if raw else message


def plain_text(message: Json) -> str:
    """What a message says, as far as it is text: the string, or the text parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(
        part["text"]
        for part in parts
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


def searchable_text(message: Json) -> str:
    """All words of a message that a person may look for: its text, its tool calls, its refusal."""
    calls = message.get("tool_calls")
    functions = (
        [call.get("function") for call in calls if isinstance(call, dict)]
        if isinstance(calls, list)
        else []
    )
    words = [plain_text(message), message.get("refusal")]
    words += [
        word
        for function in functions
        if isinstance(function, dict)
        for word in (function.get("name"), function.get("arguments"))
    ]
    return "\n".join(word for word in words if isinstance(word, str) and word)


def is_deeper(value: Any, levels: int = DEEPEST) -> bool:
    """Whether arrays and objects are nested more than so many levels."""
    nested = [value] if isinstance(value, dict | list) else []
    while nested and levels:
        levels -= 1
        nested = [
            item
            for outer in nested
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, dict | list)
        ]
    return bool(nested)


def is_empty(value: Any) -> bool:
    return value is None or value == "" or value == [] or value == {}


def without(value: Any, key: str) -> Any:
    return {k: v for k, v in value.items() if k != key} if type(value) is dict else value


def _tool_call(call: Any) -> Any:
    call = without(call, "index")
    function = call.get("function") if type(call) is dict else None
    if type(function) is dict and type(function.get("arguments")) is str:
        return call | {"function": function | {"arguments": _arguments(function["arguments"])}}
    return call


def _arguments(text: str) -> Any:
    """Without the space between tokens: equal as JSON, and letter for letter, so that a repeated key cannot hide."""
    try:
        return [orjson.dumps(orjson.loads(text)).decode(), "".join(text.split())]
    except (ValueError, TypeError):  # no JSON, or nested deeper than orjson writes
        return text
