"""Fields of a query or a body: each is read, or refused by its name."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rest_framework.request import Request

from .. import faults

MAX_ROWS = 1000  # of a list
MAX_TITLE = 200  # characters


def refuse_unknown(request: Request, *names: str) -> None:
    """Refuse a misspelt filter, which must not look like one that lets everything through."""
    for name in request.GET:
        if name not in names:
            raise faults.invalid_request(
                None, f"There is no such parameter here. There are: {', '.join(names)}."
            )


def read_text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not (text := " ".join(value.replace("\0", " ").split())):
        raise faults.invalid_request(name, f"`{name}` is missing: a text.")
    return text[:MAX_TITLE]


def read_uuid(value: str, name: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise faults.invalid_request(name, f"`{name}` must be an id.") from None


def read_date(value: str, name: str) -> datetime:
    try:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise faults.invalid_request(name, f"`{name}` must be a day, such as 2026-01-31.") from None


def read_flag(value: str, name: str) -> bool:
    if value not in ("true", "false"):
        raise faults.invalid_request(name, f"`{name}` must be true or false.")
    return value == "true"


def read_limit(request: Request, default: int) -> int:
    value = request.GET.get("limit", str(default))
    if not (value.isascii() and value.isdigit() and len(value) <= 6 and int(value) > 0):
        raise faults.invalid_request("limit", f"`limit` must be a number from 1 to {MAX_ROWS}.")
    return min(int(value), MAX_ROWS)
