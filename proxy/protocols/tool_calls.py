"""Which tool call a piece of a stream belongs to, whatever it leaves out, repeats or reuses. Pure.

An index tells calls apart, and an id; servers leave out either or both, send an id with each piece
or a new one, and count all calls as 0. A piece goes on with the call of its id, of its index, or
else with the call before it. One with a name begins another call all the same where its id is
another, where the call has arguments and another name, where those were closed and the piece opens
some anew, or where the same event has named that call already.
"""

from typing import Any

from conversations.shape import Json

LONGEST_NAME = 256  # characters that are compared


def read_index(value: Any) -> int | None:
    """Read a count of choices, items or calls: some servers write each number as a float."""
    if type(value) is float and value.is_integer():
        return int(value)
    return value if type(value) is int else None


class Calls:
    """Tool calls that grow: `items` are theirs, in the order in which they began."""

    __slots__ = ("_by_id", "_by_index", "_named", "_states", "items", "place")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.place = -1  # of the call that the last piece belongs to
        self._states: list[_State] = []
        self._by_index: dict[int, int] = {}
        self._by_id: dict[str, int] = {}
        self._named: set[int] = set()  # calls that pieces of this event name

    def begin_event(self) -> None:
        self._named.clear()

    def find(self, piece: Json) -> bool:
        """Set `place` to that of the piece's call. False: the piece repeats one that is whole."""
        index, call_id = read_index(piece.get("index")), piece.get("id")
        call_id = call_id if type(call_id) is str else ""
        name, arguments = _read_tool(piece)
        place = self._find_place(index, call_id)
        if place is not None and name:
            state = self._states[place]
            if state.has_said(call_id, name, arguments):
                return False
            is_named = place in self._named and (not call_id or call_id != state.id)
            if is_named or state.is_left_by(call_id, name, arguments, counts=index is not None):
                place = None
        if place is None:
            place = len(self.items)
            self.items.append(None)
            self._states.append(_State())
        self.place = place
        if name:
            self._named.add(place)
        self._states[place].note(call_id, name, arguments)
        if index is not None:
            self._by_index[index] = place
            self._states[place].indexes.add(index)
        if call_id:
            self._by_id[call_id] = place
        return True

    def in_order(self) -> list[Any]:
        """Return the calls as the server counts them, or in the order in which they began."""
        if len(self._by_index) != len(self.items):
            return self.items
        return [self.items[place] for _, place in sorted(self._by_index.items())]

    def _find_place(self, index: int | None, call_id: str) -> int | None:
        by_id = self._by_id.get(call_id)
        before = self.place if self.place >= 0 else None
        if index is None:
            return by_id if call_id else before
        by_index = self._by_index.get(index)
        if by_index is None:
            begun = by_id if call_id else before
            return None if begun is None or self._states[begun].indexes else begun
        if by_id is not None and self._states[by_index].id != call_id:
            return by_id  # calls by turns, all counted as one
        return by_index


class _State:
    """What tells whether a piece goes on with a call."""

    __slots__ = ("end", "id", "indexes", "name", "whole")

    def __init__(self) -> None:
        self.id = ""  # the first
        self.name = ""
        self.end = ""  # the last character of the arguments so far
        self.whole = ""  # the arguments, while one piece brought them all
        self.indexes: set[int] = set()

    def has_said(self, call_id: str, name: str, arguments: str) -> bool:
        """Tell whether a whole call is said once more, with its id."""
        is_closed = arguments.startswith("{") and arguments.endswith("}")
        said = (self.id, self.name, self.whole)
        return bool(call_id) and is_closed and said == (call_id, name, arguments)

    def is_left_by(self, call_id: str, name: str, arguments: str, *, counts: bool) -> bool:
        """Tell whether a piece with a name, found here, begins another call."""
        if call_id and self.id and call_id != self.id:
            return True
        if not self.end or not self.name:
            return False  # the name may still be growing
        if name != self.name:
            return True
        is_anew = self.end == "}" and arguments.startswith("{")
        return is_anew and not (call_id and counts)

    def note(self, call_id: str, name: str, arguments: str) -> None:
        self.id = self.id or call_id
        if not self.end and name != self.name and len(self.name) < LONGEST_NAME:
            self.name += name
        if arguments:
            self.whole = "" if self.end else arguments
            self.end = arguments.rstrip()[-1:] or self.end


def _read_tool(piece: Json) -> tuple[str, str]:
    """Return the name and the arguments of a piece, as far as they are text."""
    tool = piece.get("function") or piece.get("custom")
    if type(tool) is not dict:
        return "", ""
    name, arguments = tool.get("name"), tool.get("arguments", tool.get("input"))
    if type(arguments) is dict:
        arguments = "{}"  # said as an object, they are whole
    return name if type(name) is str else "", arguments if type(arguments) is str else ""
