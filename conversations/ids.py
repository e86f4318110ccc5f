"""Ids in the order of time (UUIDv7): rows, pages and exports are paged by them."""

from datetime import UTC, date, datetime, time, tzinfo
from uuid import UUID

import uuid_utils
from django.utils import timezone


def make_id(at: datetime, *, first: bool = False) -> UUID:
    """Make an id of this moment; with `first`, the smallest that any id of it can be."""
    if first:
        return UUID(int=int(at.timestamp() * 1000) << 80)
    return UUID(int=uuid_utils.uuid7(nanoseconds=int(at.timestamp() * 1_000_000) * 1000).int)


def first_id_of(day: date, zone: tzinfo | None = None) -> UUID:
    """The smallest id of a day in `zone`, or else in the current time zone."""
    return make_id(timezone.make_aware(datetime.combine(day, time.min), zone), first=True)


def time_of(id_: UUID) -> datetime:
    """The moment of an id, to the millisecond."""
    return datetime.fromtimestamp((id_.int >> 80) / 1000, UTC)


def parse_uuid(text: str | None) -> UUID | None:
    """The id that `text` spells, or None."""
    try:
        return UUID(text or "")
    except ValueError:
        return None
