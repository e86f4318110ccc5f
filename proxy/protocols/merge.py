"""How a JSON value grows by the deltas of a stream, in time linear in what arrives. Pure.

A delta says what is added, and its shape says how: objects grow field by field, a string is
appended, items of a list are told apart by their `index`, and a part of text without one goes on
with the last. Any other value replaces the one before; null and nothing replace none. A field that
is not known yet grows by the same rule, so next year's are kept.

Some strings are no pieces. LABELS are words for a thing: servers repeat them whole and send none in
two, so the last one stands, but for an `id`, whose first does. A `name` comes in pieces from some
servers and again and again from others; a piece equal to all of the name so far is a repetition.
"""

from typing import Any

from conversations.shape import Json

from .tool_calls import Calls, read_index

LABELS = frozenset({"id", "type", "role", "object", "format", "status", "url", "mime_type"})
WHOLE = LABELS | {"name"}
WORDS = ("text", "thinking", "summary", "reasoning", "refusal")  # fields of a part that grows
SIGNED = "signature"  # of thoughts: it comes behind them
Channel = tuple[int | str, ...]  # where a string stands: choice, field, item, field …


class Text:
    """A string that grows."""

    __slots__ = ("channel", "pieces", "size", "taken")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.pieces: list[str] = []
        self.size = self.taken = 0  # characters; pieces that were taken


class Items:
    """A list that grows."""

    __slots__ = ("by_index", "items")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.by_index: dict[int, int] = {}  # places in `items`

    def in_order(self) -> list[Any]:
        """Return the items as the server counts them, or in the order in which they came."""
        if len(self.by_index) != len(self.items):
            return self.items
        return [self.items[place] for _, place in sorted(self.by_index.items())]


class Growth:
    """Makes values grow, and gives away once what they have grown by."""

    def __init__(self) -> None:
        self._fresh: list[Text] = []

    def take(self) -> list[tuple[Channel, str]]:
        """Return what every string has grown by since the last time."""
        grown = []
        for text in self._fresh:
            grown.append((text.channel, "".join(text.pieces[text.taken :])))
            text.taken = len(text.pieces)
        self._fresh = []
        return grown

    def add(self, value: Any, delta: Any, channel: Channel) -> Any:
        """Return what a value becomes by a delta; the value itself may change."""
        if type(delta) is str:
            return self._add_text(value, delta, channel)
        if delta is None:
            return value
        if type(delta) is dict:
            return self._add_object(value, delta, channel)
        if type(delta) is list:
            return self._add_list(value, delta, channel)
        return delta

    def _add_text(self, value: Any, delta: str, channel: Channel) -> Any:
        if type(value) is Text:
            if channel[-1] not in WHOLE or not _is_said(value, delta, channel[-1]):
                self.append(value, delta)
            return value
        if type(value) is Items:
            return self._add_list(value, [{"type": "text", "text": delta}], channel)
        if value is not None and not delta:
            return value
        text = Text(channel)
        self.append(text, delta)
        return text

    def append(self, text: Text, delta: str) -> None:
        if delta:
            if text.taken == len(text.pieces):
                self._fresh.append(text)
            text.pieces.append(delta)
            text.size += len(delta)

    def _add_object(self, value: Any, delta: Json, channel: Channel) -> Any:
        if type(value) is not dict:
            value = {}
        for key, piece in delta.items():
            value[key] = self.add(value.get(key), piece, (*channel, key))
        return value

    def _add_list(self, value: Any, delta: list[Any], channel: Channel) -> Any:
        if channel[-1] == "tool_calls":
            return self._add_calls(value, delta, channel)
        grown = value if type(value) is Items else Items()
        if type(value) is Text and value.pieces:  # a text that goes on as a list of parts
            kind = Text((*channel, 0, "type"))
            self.append(kind, "text")
            grown.items.append({"type": kind, "text": value})
        for item in delta:
            self._add_item(grown, item, channel)
        return grown

    def _add_item(self, grown: Items, item: Any, channel: Channel) -> None:
        index = read_index(item.get("index")) if type(item) is dict else None
        if type(item) is not dict or not (index is not None or _is_words(item)):
            grown.items.append(item)
            return
        last = len(grown.items) - 1
        place = last if index is None else grown.by_index.get(index, -1)
        old = grown.items[place] if place >= 0 else None
        if not _goes_on(old, item, is_counted=index is not None):
            place, old = last + 1, None
            grown.items.append(None)
        if index is not None:
            grown.by_index[index] = place
        grown.items[place] = self._add_object(old, item, (*channel, place))

    def _add_calls(self, value: Any, delta: list[Any], channel: Channel) -> Calls:
        calls = value if type(value) is Calls else Calls()
        calls.begin_event()
        for piece in delta:
            if type(piece) is not dict or not calls.find(piece):
                continue
            place = calls.place
            rest = {key: each for key, each in piece.items() if key != "index"}
            calls.items[place] = self._add_object(calls.items[place], rest, (*channel, place))
        return calls


def as_json(value: Any) -> Any:
    """Return a grown value as the JSON that would have come in one piece."""
    kind = type(value)
    if kind is Text:
        return "".join(value.pieces)
    if kind is dict:
        return {key: as_json(each) for key, each in value.items()}
    if kind is Items:
        return [as_json(each) for each in value.in_order()]
    if kind is Calls:
        return [_complete(as_json(each)) for each in value.in_order()]
    return value


def merge_whole(old: Any, new: Any) -> Any:
    """Return a value that is said whole each time, with what only the one before it had."""
    if type(old) is not dict or type(new) is not dict:
        return old if new is None else new
    return old | {key: merge_whole(old.get(key), each) for key, each in new.items()}


def _complete(call: Json) -> Json:
    """Give a call what every call has."""
    if "function" not in call and "custom" in call:
        return {"id": None, "type": "custom"} | call
    function = call.get("function")
    if isinstance(function, dict):
        call = call | {"function": {"name": "", "arguments": ""} | function}
    return {"id": None, "type": "function"} | call


def _is_said(text: Text, piece: str, key: int | str) -> bool:
    """Tell whether a piece of a label or name adds nothing; a label's may replace it."""
    if key == "name":  # only what may be equal is compared: the work stays linear
        return text.size == len(piece) and "".join(text.pieces) == piece
    if piece and text.pieces and key != "id":
        text.pieces, text.taken = [piece], 1
        text.size = len(piece)
    return bool(text.pieces)


def _is_words(item: Json) -> bool:
    """Tell whether a part holds nothing but growing words and their labels.

    What is empty, true or false says nothing more: servers write out all fields that a part has.
    """
    return (SIGNED in item or any(key in item for key in WORDS)) and all(
        key in WORDS or key in LABELS or key == SIGNED or not value or value is True
        for key, value in item.items()
    )


def _goes_on(old: Any, item: Json, *, is_counted: bool) -> bool:
    """Tell whether an item goes on with another: that one grows, and no label contradicts."""
    if type(old) is not dict:
        return False
    if not is_counted and not any(type(each) in (Text, Items) for each in old.values()):
        return False  # it was kept as it came
    if not is_counted and _is_said_in(old.get(SIGNED)) and any(item.get(key) for key in WORDS):
        return False  # thoughts that are signed have ended
    return not _is_another(old, item)


def _is_another(old: Json, item: Json) -> bool:
    """Tell whether a label of an item, or of an object in it, contradicts."""
    return any(_contradicts(key, old.get(key), said) for key, said in item.items())


def _contradicts(key: str, before: Any, said: Any) -> bool:
    if type(before) is dict and type(said) is dict:
        return _is_another(before, said)
    is_label = key in ("type", "id", "url") and said and _is_said_in(before)
    return bool(is_label) and before.pieces[-1] != said


def _is_said_in(value: Any) -> bool:
    return type(value) is Text and bool(value.pieces)
