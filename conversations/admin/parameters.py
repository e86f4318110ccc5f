"""Values of a request's parameters that may be anything."""

from uuid import UUID


def parse_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
