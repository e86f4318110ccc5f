"""What the index holds of one call: its texts as vectors, and the facts beside them. Pure.

A vector is a text that PostgreSQL reads as a tsvector without any parser of its own: forms of
terms, with their positions. A fact is a form that no text can have: whose the call is, its model,
its time. So one look into the index finds the words of few people, or of few days, from whichever
side is the rarer.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from hashlib import blake2s
from typing import Any
from uuid import UUID

from .. import exact_json
from ..models import Message, Snapshot
from ..people import pseudonyms
from ..record import threads
from ..record.attachments import MARK
from ..record.calls import REFUSED
from ..record.rows import MESSAGE
from ..shape import Json
from ..visible import HIDDEN
from .terms import is_mixed, place_forms

# PostgreSQL keeps 256 positions of a form, none after 16,383, and 1 MB of a vector.
MOST_PLACES, MOST_POSITIONS = 256, 16_000
MOST_CHARACTERS = 200_000
OVERLAP = 16  # positions that a vector repeats of the one before: a phrase may go over its end
GAP = 3  # positions between two texts: a phrase does not go over it
MOST_NUMBERS = 16  # of a list of numbers alone; more are an embedding, or tokens
# Fields of a message that a page shows without their names.
TEXTS = frozenset(("content", "refusal", "tool_calls", *threads.THOUGHTS))
# Fields of a request that are columns of its call, or say how the answer is to come.
APART = frozenset(("model", "messages", "stream_options"))
USUAL_CALL = {"type", "id", "index", "function"}
JOINER = re.compile("(?<=[^\0-\u05ff])[\u200c\u200d](?=[^\0-\u05ff])")  # that a script needs
PERIOD = 28  # bits of milliseconds: a period is three days


# Texts --------------------------------------------------------------------------------------------


def list_strings(value: Any, *, with_keys: bool = True) -> Iterator[str]:
    """Yield every string of a JSON value in order: keys, texts and numbers.

    Files and embeddings are left out.
    """
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            if not (len(item) > MOST_NUMBERS and all(map(_is_number, item))):
                waiting += reversed(item)
        elif isinstance(item, dict):
            if MARK not in item:
                for key, inner in reversed(item.items()):
                    waiting += [inner, key] if with_keys else [inner]
        elif _is_number(item):
            yield str(item)


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool | str | list | dict) and value is not None


def list_strings_of_message(message: Json) -> Iterator[str]:
    """Yield the strings of a message that a page shows: of the usual forms no names of fields."""
    for name, value in message.items():
        if name == "role":
            continue
        if name in ("content", "tool_calls") and isinstance(value, list):
            for part in value:
                yield from list_strings(_drop_form(part), with_keys=not _is_usual(part))
            continue
        if name not in TEXTS:
            yield name
        yield from list_strings(value)


def _is_usual(part: Any) -> bool:
    """Tell whether it is a text, a picture, a thought, or the call of a function."""
    if not isinstance(part, dict):
        return False
    kinds = ({"type", "text", "annotations"}, {"type", "image_url"}, USUAL_CALL)
    return any(part.keys() <= kind for kind in kinds) or threads.is_thought(part)


def _drop_form(part: Any) -> Any:
    return threads.drop_key(part, "type") if _is_usual(part) else part


def split_request(params: Json) -> list[tuple[Json, list[str]]]:
    """List a request without what pseudonyms hide, and whole if that is more.

    Each with the facts of its entry.
    """
    return _split(params, pseudonyms.masked(params, _leave_out))


def split_message(message: Message) -> list[tuple[Json, list[str]]]:
    """Split in this way what a row has beside its text."""
    said: Json = exact_json.loads(message.raw) if message.raw else {}
    return _split(said, pseudonyms.masked_message({"role": message.role} | said, _leave_out))


def _split(said: Json, masked: Json) -> list[tuple[Json, list[str]]]:
    kept = {name: value for name, value in said.items() if masked[name] == value}
    return [(kept, [])] + [(said, [OF_SENDER])] * (kept != said)


def _leave_out(name: str) -> str:
    return ""


def list_message_strings(message: Message, thoughts: dict[UUID, str]) -> Iterator[str]:
    """Yield each string of a message; of an echo what is spelled in another way."""
    said: Json = exact_json.loads(message.raw) if message.raw else {}
    return list_strings_beside(message, said, thoughts)


def list_strings_beside(message: Message, said: Json, thoughts: dict[UUID, str]) -> Iterator[str]:
    """Yield the strings of a message, of which `said` is what its row has beside its text."""
    if message.text:
        yield message.text
    yield from list_strings_of_message(said)
    if message.id in thoughts:
        yield thoughts[message.id]


def select_request_fields(params: Json) -> Json:
    """Return the fields of a request that say something and are no messages.

    Numbers and switches say how a model is to answer.
    """
    if isinstance(kept := params.get(REFUSED), dict):
        return {REFUSED: str(kept.get("text", ""))}
    return {
        name: value
        for name, value in params.items()
        if name not in APART and isinstance(value, str | list | dict) and value
    }


def list_request_fields(params: Json) -> dict[str, list[str]]:
    """Return by its name each field of a request that says something, and its strings."""
    fields = {
        name: [*([] if name == REFUSED else [name]), *list_strings(value)]
        for name, value in select_request_fields(params).items()
    }
    if isinstance(messages := params.get("messages"), list):
        fields["messages"] = [
            text
            for message in messages
            for text in (
                list_strings_of_message(message)
                if isinstance(message, dict)
                else list_strings(message)
            )
        ]
    return fields


def list_reply_strings(response: Json) -> Iterator[str]:
    """Yield what a reply says that is in no row: of a title, or how a prompt was revised."""
    choices = response.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict):
            message = _drop_row(choice.get("message"))
            yield from list_strings_of_message(message if isinstance(message, dict) else {})
            yield from list_strings(choice.get("text"))
    data = response.get("data")
    for item in data if isinstance(data, list) else []:
        if isinstance(item, dict):
            yield from list_strings(item.get("revised_prompt"))


def _drop_row(message: Any) -> Any:
    """Return a message of a reply without what its row has, and what is read with that row."""
    if not isinstance(message, dict) or MESSAGE not in message:
        return message
    known = {MESSAGE, *threads.THOUGHTS, "reasoning_details", "thinking_blocks"}
    return {name: value for name, value in message.items() if name not in known}


def is_suspicious(texts: Iterable[str]) -> bool:
    """Tell whether a text has hidden characters, or a word of mixed scripts."""
    return any(
        HIDDEN.search(JOINER.sub("", text.replace("\r\n", "\n"))) or is_mixed(text)
        for text in texts
    )


# Vectors ------------------------------------------------------------------------------------------


def write_vectors(texts: Iterable[str], facts: Iterable[str]) -> list[str]:
    """Write the terms of the texts as vectors, one at least, each with the facts."""
    vectors: list[str] = []
    places: dict[str, list[int]] = {}
    recent: deque[tuple[int, tuple[str, ...]]] = deque(maxlen=OVERLAP)
    base, position = 0, 0
    characters = 0
    ending = " ".join(f"'{fact}'" for fact in facts)
    for text in texts:
        last = position
        for place, forms in place_forms(text, position):
            is_full = place - base >= MOST_POSITIONS or characters >= MOST_CHARACTERS
            for form in forms:
                held = places.get(form)
                if held is None:
                    places[form] = [place - base + 1]
                    characters += len(form)
                else:
                    held.append(place - base + 1)
                    is_full = is_full or len(held) >= MOST_PLACES
            recent.append((place, forms))
            last = max(last, place)
            if is_full:
                vectors.append(_write_vector(places, ending))
                base = min(each for each, _ in recent)
                places, characters = {}, 0
                for each, repeated in recent:
                    for form in repeated:
                        places.setdefault(form, []).append(each - base + 1)
        position = last + GAP
    if places or not vectors:
        vectors.append(_write_vector(places, ending))
    return vectors


def _write_vector(places: dict[str, list[int]], ending: str) -> str:
    words = [f"'{form}':{','.join(map(str, held))}" for form, held in places.items()]
    return " ".join([*words, ending])


# Facts --------------------------------------------------------------------------------------------


# By the letter of its facts: a column of calls, and the value that is told by its absence.
COLUMNS = {
    "m": ("model", ""),
    "u": ("upstream", ""),
    "k": ("kind", Snapshot.Kind.CHAT),
    "s": ("status", Snapshot.Status.OK),
    "a": ("key", ""),
    "e": ("use_case", ""),
}
TOLD_APART = "ksa"  # whether it has another value than the usual one


def list_facts(call: Snapshot) -> Iterator[str]:
    """List the facts of a call."""
    yield of_owner(call.owner_id)
    yield of_period(OF_CALL, tell_period(call.id))
    if call.conversation_id:
        yield of_period(OF_CONVERSATION, tell_period(call.conversation_id))
    for letter, (column, usual) in COLUMNS.items():
        value = getattr(call, column)
        if value != usual:
            yield of_value(letter, value)
            if letter in TOLD_APART:
                yield f"${letter}"


SUSPICIOUS = "$x"
OF_SENDER = "$n"  # of an entry with what pseudonyms hide
# Letters of the facts of their periods.
OF_CALL = "p"
OF_CONVERSATION = "c"


def of_owner(owner: int) -> str:
    return f"$o{owner}"


def of_period(letter: str, period: int) -> str:
    return f"${letter}{period:x}"


def of_value(letter: str, value: str) -> str:
    """Name a value of a column. Two may share a name, so what is found is looked at once more."""
    return f"${letter}{blake2s(value.encode(), digest_size=4).hexdigest()}"


def of_field(strings: list[str]) -> str:
    """Name what a field of a request says, to know it again in the next call."""
    return f"$d{blake2s(chr(0).join(strings).encode(), digest_size=8).hexdigest()}"


def tell_period(row: UUID) -> int:
    """Return the number of the three days in which an id was made."""
    return row.int >> (80 + PERIOD)
