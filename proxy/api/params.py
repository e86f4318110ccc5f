"""What a request says, in its query and its body: each read, or refused by name."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from .openai import invalid

MOST = 1000  # rows of a list
LONGEST_TITLE = 200


def given_only(request, *names: str) -> None:
    """A misspelt filter must not look like one that lets everything through."""
    for name in request.GET:
        if name not in names:
            raise invalid(None, f"There is no such parameter here. There are: {', '.join(names)}.")


def text_of(value: Any, name: str) -> str:
    if not isinstance(value, str) or not (text := " ".join(value.replace("\0", " ").split())):
        raise invalid(name, f"`{name}` is missing: a text.")
    return text[:LONGEST_TITLE]


def uuid_of(value: str, name: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise invalid(name, f"`{name}` must be an id.") from None


def date_of(value: str, name: str) -> datetime:
    try:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise invalid(name, f"`{name}` must be a day, such as 2026-01-31.") from None


def flag_of(value: str, name: str) -> bool:
    if value not in ("true", "false"):
        raise invalid(name, f"`{name}` must be true or false.")
    return value == "true"


def limit_of(request, otherwise: int) -> int:
    value = request.GET.get("limit", str(otherwise))
    if not (value.isascii() and value.isdigit() and len(value) <= 6 and int(value) > 0):
        raise invalid("limit", f"`limit` must be a number from 1 to {MOST}.")
    return min(int(value), MOST)
