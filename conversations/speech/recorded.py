"""The form in which a request is on record, and how its rows say what is ours.

A row is a message in the words of its dialect. Where a request has texts that no message holds,
there are rows with roles that begin with `$`. `params` has what is left of the request.
"""

from typing import Any, NamedTuple

from .segments import Json

DIALECT = "$as"  # in params: the dialect, where it is not chat
TOOLS = "$tools"
SYSTEM = "$system"
INSTRUCTIONS = "$instructions"
# Of rows that are fields of a request, by their role: the field's name, there and in the row.
FIELDS = {
    TOOLS: ("tools", "tools"),
    SYSTEM: ("system", "content"),
    INSTRUCTIONS: ("instructions", "content"),
}


class Recorded(NamedTuple):
    """A request in the form of its record."""

    params: Json
    preamble: list[Json]
    turns: list[Json]


def take_fields(params: Json, *roles: str) -> list[Json]:
    """Take the texts and lists of these rows out of params; one that says nothing stays."""
    rows: list[Json] = []
    for role in roles:
        name, field = FIELDS[role]
        if params.get(name) and isinstance(params[name], list | str):
            rows.append({"role": role, field: params.pop(name)})
    return rows


def take_messages(params: Json, name: str) -> list[Json] | None:
    """Take a list of objects out of params; None where it is empty or else, and stays."""
    value = params.get(name)
    if not value or not isinstance(value, list):
        return None
    if not all(isinstance(item, dict) for item in value):
        return None
    messages: list[Json] = params.pop(name)
    return messages


def put_back(params: Json, preamble: list[Json]) -> list[Json]:
    """Put the rows that are fields of a request back into params. Return the other rows."""
    rest = []
    for row in preamble:
        role: Any = row.get("role")
        if isinstance(role, str) and role in FIELDS:
            name, field = FIELDS[role]
            params[name] = row[field]
        else:
            rest.append(row)
    return rest
