"""The words of a history: what is left of it where a client trims what it sends back. Pure.

Clients drop what a model thought, its signatures and fields that they do not know; they give tool
calls other ids, write arguments anew, say a refusal as content, add a name, leave empty answers
out and give results of parallel calls in another order. What such a history has in common with
the one on record are its words: roles, texts, names and arguments of calls, in order.

The *word hash* of a message is HMAC(seed, word hash of the message before + its words). It is
looked up only where a path hash is not known. Where nothing on a path can be trimmed it is that
path's hash, so that only other replies need a row for it. Its form may never change: it is stored.

Files and thoughts inside a text are no words, as clients drop them; but they may not be added:
`list_extras` names them, so that those of a history can be looked for in the record.
"""

import hmac
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from .. import bounded_json, exact_json
from ..shape import Json
from .threads import TURNS, drop_key, is_empty

ROLES = {"developer": "system", "function": "tool"}  # other names of one role
TEXTS = {"text", "input_text", "output_text"}
THOUGHTS = ("thinking", "redacted_thinking", "reasoning")
FILES = {
    *("image", "image_url", "input_image", "audio", "audio_url", "input_audio"),
    *("video", "video_url", "input_video", "file", "input_file", "document"),
}
# What a client says of a file in its own way.
OF_FILES = {"detail", "cache_control", "filename", "name", "id", "index", "extra_content"}
NOTHING = b'["assistant",""]'  # the words of an answer without any
TAGS = ("think", "thinking", "thought", "reasoning")  # around thoughts inside a text


class Unit(NamedTuple):
    """Messages that are read as one: the results of parallel calls, in the order of the calls."""

    indexes: list[int]
    words: bytes


class Known(NamedTuple):
    """So many messages of a path have a word hash that is known."""

    length: int
    word_hash: bytes


def hash_words(
    key: bytes, messages: list[Json], path_hashes: Sequence[bytes] = (), known: Known | None = None
) -> list[bytes]:
    """Return the word hash of the path to each message.

    What is known of it spares work: its path hashes, or one word hash, which then stands for all
    that are before it too.
    """
    if known:
        hashes = [known.word_hash] * known.length
    else:
        plain = next((n for n, each in enumerate(messages) if not _is_plain(each)), len(messages))
        hashes = list(path_hashes[:plain])
    parent = hashes[-1] if hashes else hmac.digest(key, TURNS, "sha256")
    for unit in list_units(messages, len(hashes)):
        # Messages without words stand where the one before them does.
        hashes += [parent] * (unit.indexes[0] - len(hashes))
        parent = hmac.digest(key, parent + unit.words, "sha256")
        hashes += [parent] * len(unit.indexes)
    return hashes + [parent] * (len(messages) - len(hashes))


def hash_next(key: bytes, parent: bytes | None, reply: Json) -> bytes | None:
    """Return the word hash of a reply below a message, or of a first turn; None: it says none."""
    units = list_units([reply])
    if not units:
        return None
    parent = parent or hmac.digest(key, TURNS, "sha256")
    return hmac.digest(key, parent + units[0].words, "sha256")


def list_units(messages: list[Json], first: int = 0) -> list[Unit]:
    """List what messages say, from one of them on. An answer that says nothing is not there."""
    units: list[Unit] = []
    # The newest calls by their ids: a first result answers those of the message before it.
    order = _order_calls(messages[first - 1]) if first else {}
    results: list[int] = []
    for index in range(first, len(messages)):
        message = messages[index]
        role = _read_role(message)
        if role == "tool":
            results.append(index)
            continue
        if results:
            units.append(_read_results(messages, results, order))
            results = []
        words = _encode_words(message)
        if role == "assistant":
            order = _order_calls(message) or order
            if words == NOTHING:
                continue
        units.append(Unit([index], words))
    return [*units, _read_results(messages, results, order)] if results else units


def list_extras(messages: list[Json]) -> set[str]:
    """Name the files of these messages, and the thoughts inside the texts of answers.

    Files are taken out of them, or are shorter than what is taken out.
    """
    extras: set[str] = set()
    for message in messages:
        content, images = message.get("content"), message.get("images")
        parts = content if type(content) is list else [content]
        extras |= {_name_file(part) for part in parts if _is_file(part)}
        if _read_role(message) == "assistant":
            _, thoughts = split_thoughts(_join_texts(_sort_parts(parts).texts))
            extras |= {f"thought: {thought}" for thought in thoughts}
            extras |= {_name_file(part) for part in (images if type(images) is list else [])}
    return extras


def split_thoughts(text: str) -> tuple[str, list[str]]:
    """Split a text into what it says, and what stands between the tags of thoughts.

    The first may have no opening tag: some models' templates have written it already.
    """
    thoughts: list[str] = []
    for tag in TAGS:
        opening, closing = f"<{tag}>", f"</{tag}>"
        if closing not in text:
            continue
        *pieces, last = text.split(closing)
        said = []
        for number, piece in enumerate(pieces):
            if opening in piece:
                before, thought = piece.split(opening, 1)
                said.append(before)
                thoughts.append(thought.strip())
            elif number == 0:
                thoughts.append(piece.strip())
            else:
                said.append(piece + closing)
        text = "".join([*said, last])
    return text, [thought for thought in thoughts if thought]


class _Parts(NamedTuple):
    """What the parts of a content say."""

    texts: list[str]
    calls: list[Any]
    thoughts: list[Any]
    others: list[Any]  # what is not known: taken for words


def _is_plain(message: Json) -> bool:
    """Tell whether the words of a message are all of it: it cannot be trimmed."""
    text, role = message.get("content"), message.get("role")
    return (
        len(message) == 2
        and type(text) is str
        and text != ""
        and role in ("user", "assistant", "system")
        and "\r" not in text
        and not (text[0].isspace() or text[-1].isspace())
        and (role != "assistant" or "</" not in text)
    )


def _read_role(message: Json) -> Any:
    role = message.get("role")
    return ROLES.get(role, role) if type(role) is str else role


def _encode_words(message: Json) -> bytes:
    role, content = _read_role(message), message.get("content")
    parts = _sort_parts(content if type(content) is list else [content])
    calls, others = parts.calls, parts.others
    text = _join_texts(parts.texts).strip()
    if role == "assistant":
        calls += _list_calls(message)
        others += _list_audio(message)
        text = split_thoughts(text)[0].strip()
        refusal = message.get("refusal")
        if type(refusal) is str and refusal.strip() != text:
            text = (text + refusal).strip()
    else:
        others += parts.thoughts  # only a model's own are left out
    if calls or others:
        # What begins so is no path's own form: threads.encode_canonical writes a list.
        words = [role, text, calls, others]
        return b"words" + exact_json.dumps(words, option=orjson.OPT_SORT_KEYS)
    return exact_json.dumps([role, text], option=orjson.OPT_SORT_KEYS)


def _join_texts(texts: list[str]) -> str:
    return "".join(texts).replace("\r\n", "\n")


def _sort_parts(parts: list[Any]) -> _Parts:
    found = _Parts([], [], [], [])
    for part in parts:
        kind = _read_kind(part)
        if type(part) is str:
            found.texts.append(part)
        elif kind in TEXTS and type(part.get("text")) is str:
            found.texts.append(part["text"])
        elif kind == "refusal" and type(part.get("refusal")) is str:
            found.texts.append(part["refusal"])
        elif kind == "tool_use":
            found.calls.append([part.get("name"), _fold_arguments(part.get("input"))])
        elif kind in THOUGHTS:
            found.thoughts.append(part)
        elif not (is_empty(part) or _is_file(part)):
            found.others.append(drop_key(part, "cache_control"))
    return found


def _read_kind(part: Any) -> str:
    kind = part.get("type") if type(part) is dict else None
    return kind if type(kind) is str else ""


def _is_file(part: Any) -> bool:
    return _read_kind(part) in FILES


def _name_file(part: Any) -> str:
    if type(part) is dict:
        part = {
            name: {k: v for k, v in value.items() if k not in OF_FILES}
            if type(value) is dict
            else value
            for name, value in part.items()
            if name not in OF_FILES
        }
    return exact_json.dumps(part, option=orjson.OPT_SORT_KEYS).decode()


def _list_audio(message: Json) -> list[Any]:
    """Return the id by which a client repeats a spoken answer, else what it says."""
    audio = message.get("audio")
    if type(audio) is not dict:
        return []
    said = audio.get("id") or audio.get("transcript")
    return [["audio", said]] if type(said) is str else []


def _list_calls(message: Json) -> list[Any]:
    """Return the name and the arguments of each call; one that is none as it is."""
    calls, function = message.get("tool_calls"), message.get("function_call")
    found = [_read_call(call) for call in (calls if type(calls) is list else [])]
    if type(function) is dict and function:
        found.append(_read_call({"function": function}))
    return found


def _read_call(call: Any) -> Any:
    if type(call) is not dict:
        return call
    function, custom = call.get("function"), call.get("custom")
    if type(function) is dict:
        return [function.get("name"), _fold_arguments(function.get("arguments"))]
    if type(custom) is dict:
        return [custom.get("name"), custom.get("input")]
    return {name: value for name, value in call.items() if name not in ("id", "index")}


def _order_calls(message: Json) -> dict[str, int]:
    """Return the place of each call of an answer, by its id."""
    fields = (message.get("tool_calls"), message.get("content"))
    calls = [call for field in fields if type(field) is list for call in field]
    ids = [call.get("id") for call in calls if type(call) is dict]
    return {name: place for place, name in enumerate(ids) if type(name) is str}


def _read_results(messages: list[Json], indexes: list[int], order: dict[str, int]) -> Unit:
    """Read the results of calls in the order of the calls, whatever order they came in."""

    def find_place(index: int) -> int:
        call = messages[index].get("tool_call_id")
        return order.get(call, len(order)) if type(call) is str else len(order)

    words = [_encode_words(messages[index]).decode() for index in sorted(indexes, key=find_place)]
    return Unit(indexes, exact_json.dumps(words))


def _fold_arguments(value: Any) -> str:
    """Return arguments in one spelling.

    Letter for letter where that would hide something: a repeated key, digits that are rounded.
    """
    if is_empty(value):
        return "{}"
    text = value if type(value) is str else exact_json.dumps(value).decode()
    try:
        parsed = bounded_json.parse(text)
        written = exact_json.dumps(parsed)
        if b"".join(written.split()) != "".join(text.split()).encode():
            json.loads(
                text,
                object_pairs_hook=_refuse_repeated,
                parse_int=_refuse_rounded,
                parse_float=_refuse_rounded,
            )
        parsed = _fold_numbers(parsed) if b".0" in written else parsed
        return exact_json.dumps(parsed, option=orjson.OPT_SORT_KEYS).decode()
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        return text.strip()


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")


def _refuse_rounded(text: str) -> None:
    if len(text) <= 15 and 1e-300 < abs(float(text)) < 1e300:
        return  # so many digits are read exactly
    if Decimal(text) != Decimal(orjson.dumps(orjson.loads(text)).decode()):
        raise ValueError("a number of more digits than are read")


def _fold_numbers(value: Any) -> Any:
    """Return whole numbers without a fraction, as JavaScript writes them."""
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if type(value) is list:
        return [_fold_numbers(item) for item in value]
    if type(value) is dict:
        return {name: _fold_numbers(item) for name, item in value.items()}
    return value
