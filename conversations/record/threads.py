"""Names for messages: which conversation a list of them continues, and where each belongs in it.

A client sends the whole history with every call, and often without an id. So each message gets
two names that are computed from the messages themselves; no row is read in this module.

The *path hash* is HMAC(seed, path hash of the parent + canonical form). All spellings that clients
give one history share it. It finds the conversation, and it recognises a relayed reply that comes
back. The seed belongs to one owner: equal words of two owners have no hash in common.

The *id* is made from the conversation, the id of the parent and the exact form. Two calls that
send the same bytes at the same place name the same row, so a write inserts without looking first,
and any other byte is another row.

Hence the canonical form may be generous: it decides where a message belongs, never what is
recorded. And neither form may ever change: both names are stored.

The tools of a call and its leading system messages are its preamble. They have a root of their
own, so that a prompt with today's date in it neither splits a conversation nor stores its history
again, and an agent's tools are kept once a conversation.
"""

import hmac
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from .. import bounded_json, exact_json
from ..shape import Json
from ..speech.recorded import TOOLS

# Fields that clients drop, keep or mangle when they send a reply back.
DECORATION = {
    "annotations",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "thinking_blocks",
    "provider_specific_fields",
}
THOUGHTS = ("reasoning_content", "reasoning", "reasoning_text", "thinking")  # of a message
OF_THOUGHTS = ("thinking", "text", "summary", "reasoning", "content")  # of a part
DEEPEST = 64  # levels of JSON in a request
PREAMBLE, TURNS = b"preamble", b"turns"  # the roots


class Position(NamedTuple):
    """The place of one message in the tree of its conversation."""

    id: UUID
    parent: UUID | None
    depth: int
    path_hash: bytes


class Path(NamedTuple):
    """Both names of each message below a root, in order."""

    ids: list[UUID]
    hashes: list[bytes]

    def find_position(self, depth: int) -> Position:
        parent = self.ids[depth - 1] if depth else None
        return Position(self.ids[depth], parent, depth, self.hashes[depth])


class Parts(NamedTuple):
    """What a message is stored as: its role, its text, and the JSON of all else."""

    role: str
    text: str | None
    raw: str | None


def split_preamble(messages: list[Json]) -> tuple[list[Json], list[Json]]:
    """Split the messages of a call into its preamble and its turns."""
    for first, message in enumerate(messages):
        if message.get("role") not in ("system", "developer"):
            return messages[:first], messages[first:]
    return messages, []


def hash_preamble(key: bytes, preamble: list[Json]) -> list[bytes]:
    """Return the path hash of each row of a preamble.

    The tools are beside the prompt, not above it: with others, it is the same prompt.
    """
    beside = preamble[:1] if preamble and preamble[0].get("role") == TOOLS else []
    prompt = preamble[len(beside) :]
    return hash_path(key, PREAMBLE, beside) + hash_path(key, PREAMBLE, prompt)


def hash_path(key: bytes, root: bytes, messages: list[Json]) -> list[bytes]:
    """Return the path hash of each message below a root."""
    parent = hmac.digest(key, root, "sha256")
    return [
        parent := hmac.digest(key, parent + encode_canonical(message), "sha256")
        for message in messages
    ]


def hash_next(key: bytes, parent: bytes | None, message: Json) -> bytes:
    """Return the path hash of one message below another, or of a first turn."""
    if parent is None:
        parent = hmac.digest(key, TURNS, "sha256")
    return hmac.digest(key, parent + encode_canonical(message), "sha256")


def make_message_ids(
    key: bytes, conversation: UUID, parent: UUID | bytes, messages: list[Json]
) -> list[UUID]:
    """Make the id of each message below another one, or below a root.

    They begin with the time of their conversation, so that its rows lie together on disk.
    """
    prefix = conversation.bytes[:6]
    above = parent.bytes if isinstance(parent, UUID) else parent
    ids = []
    for message in messages:
        form = conversation.bytes + above + encode_exact(message)
        above = prefix + hmac.digest(key, form, "sha256")[:10]
        ids.append(UUID(bytes=above))
    return ids


def encode_exact(message: Json) -> bytes:
    return exact_json.dumps(message, option=orjson.OPT_SORT_KEYS)


def encode_canonical(message: Json) -> bytes:
    """Return the bytes that all spellings of one message share.

    Spelling is: null and empty fields, one text part instead of a string, developer instead of
    system, cache marks. In an assistant's message, which clients send back from memory, it is also
    space around the text, space between the tokens of tool arguments, and decoration.
    """
    role, content = message.get("role"), message.get("content")
    if len(message) == 2 and type(content) is str and role in ("user", "tool", "system"):
        return orjson.dumps([role, content])
    rest = {
        k: v
        for k, v in message.items()
        if k not in ("role", "content", "cache_control") and not is_empty(v)
    }
    if type(content) is list:
        content = _fold_parts(content)
    if role == "assistant":
        rest = {k: v for k, v in rest.items() if k not in DECORATION}
        content = content.strip() if type(content) is str else content
        if type(rest.get("tool_calls")) is list:
            rest["tool_calls"] = [_fold_tool_call(call) for call in rest["tool_calls"]]
    words = ["system" if role == "developer" else role, "" if is_empty(content) else content]
    names = [*words, rest] if rest else words
    return exact_json.dumps_nearly(names, option=orjson.OPT_SORT_KEYS)


def fold_reply(reply: Json) -> Json:
    """Spell a reply as most clients return it.

    Its row holds this spelling; any other that comes back is an echo with a row of its own.
    """
    return {
        k: v
        for k, v in reply.items()
        if k in ("role", "content") or (k not in DECORATION and not is_empty(v))
    }


def is_echo(message: Json) -> bool:
    """Tell whether the text of a returned reply can be read from the row that it repeats.

    It can where the canonical form took away no space around it.
    """
    content = message.get("content")
    return type(content) is str and content != "" and content == content.strip()


def take_apart(message: Json) -> Parts:
    """Split a message. Text with a NUL goes into `raw`, as PostgreSQL refuses it as text."""
    role, content = message.get("role"), message.get("content")
    plain: Json = {}
    if type(role) is str and role and "\0" not in role:
        plain["role"] = role
    if type(content) is str and "\0" not in content:
        plain["content"] = content
    rest = {name: value for name, value in message.items() if name not in plain}
    raw = exact_json.dumps(rest).decode() if rest else None
    return Parts(plain.get("role", ""), plain.get("content"), raw)


def put_together(role: str, text: str | None, raw: str | None) -> Json:
    """Make the message again from what `take_apart` returned."""
    message: Json = {"role": role} if role else {}
    if text is not None:
        message["content"] = text
    return message | exact_json.loads(raw) if raw else message


def extract_text(message: Json) -> str:
    """Return the content of a message as far as it is text: the string, or its text parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(
        part["text"]
        for part in parts
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


def extract_searchable_text(message: Json) -> str:
    """Return all words of a message that search finds.

    They are its text, its refusal, its reasoning, its tool calls, and what its audio says.
    """
    words = [extract_text(message), message.get("refusal"), extract_reasoning(message)]
    audio, calls = message.get("audio"), message.get("tool_calls")
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    words += [part.get("refusal") for part in parts if isinstance(part, dict)]
    if isinstance(audio, dict):
        words.append(audio.get("transcript"))
    function = {"function": message.get("function_call")}  # as it was once
    for call in [*calls, function] if isinstance(calls, list) else [function]:
        if isinstance(call, dict):
            words += _list_call_words(call)
    return "\n".join(word for word in words if isinstance(word, str) and word)


def _list_call_words(call: Json) -> list[Any]:
    tool = call.get("function") or call.get("custom")
    if not isinstance(tool, dict):
        return []
    arguments = tool.get("arguments", tool.get("input"))
    if isinstance(arguments, dict | list):
        arguments = exact_json.dumps(arguments).decode()
    return [tool.get("name"), arguments]


def extract_reasoning(message: Json) -> str:
    """Return what a model thought before it answered, once, whichever fields say it."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    thoughts = [message.get(name) for name in THOUGHTS]
    said = next((thought for thought in thoughts if isinstance(thought, str) and thought), "")
    if not said:
        details = message.get("reasoning_details") or message.get("thinking_blocks")
        parts = [*(details if isinstance(details, list) else []), *parts]
    thinking = [text for part in parts if isinstance(part, dict) for text in _list_thoughts(part)]
    return "\n".join(filter(None, [said, *thinking]))


def _list_thoughts(part: Json) -> list[str]:
    """Return the thoughts of a part of a message, or of a detail of its reasoning."""
    if not is_thought(part):
        return []
    found = [part.get(name) for name in OF_THOUGHTS]
    texts = [inner for each in found for inner in (each if isinstance(each, list) else [each])]
    texts = [text.get("text") if isinstance(text, dict) else text for text in texts]
    return [text for text in texts if isinstance(text, str) and text]


def is_thought(part: Json) -> bool:
    kind = part.get("type")
    return isinstance(kind, str) and kind.startswith(("thinking", "reasoning"))


def is_deeper(value: Any, levels: int = DEEPEST) -> bool:
    """Tell whether arrays and objects are nested in more than so many levels."""
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


def drop_key(value: Any, key: str) -> Any:
    """Return an object without one of its keys; anything else as it is."""
    return {k: v for k, v in value.items() if k != key} if type(value) is dict else value


def _fold_parts(parts: list[Any]) -> Any:
    """Return the text of a single text part, else the parts without their cache marks."""
    parts = [drop_key(part, "cache_control") for part in parts]
    only = parts[0] if len(parts) == 1 else None
    if type(only) is dict and only.keys() == {"type", "text"} and only["type"] == "text":
        return only["text"]
    return parts


def _fold_tool_call(call: Any) -> Any:
    call = drop_key(call, "index")
    function = call.get("function") if type(call) is dict else None
    if type(function) is dict and type(function.get("arguments")) is str:
        return call | {"function": function | {"arguments": _fold_arguments(function["arguments"])}}
    return call


def _fold_arguments(text: str) -> Any:
    """Return JSON arguments without space between their tokens.

    Two forms: equal as JSON, and letter for letter, so that a repeated key cannot hide.
    """
    try:
        value = bounded_json.parse(text, load=orjson.loads)
        return [orjson.dumps(value).decode(), "".join(text.split())]
    except (ValueError, TypeError):  # no JSON, too many values, or nested too deep for orjson
        return text
