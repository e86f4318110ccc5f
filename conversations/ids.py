"""Ids in the order of time (UUIDv7): rows, pages and exports are paged by them."""

from datetime import datetime
from uuid import UUID

import uuid_utils


def make_id(at: datetime, *, first: bool = False) -> UUID:
    """An id in the order of time; with `first`, the smallest of that moment."""
    if first:
        return UUID(int=int(at.timestamp() * 1000) << 80)
    return UUID(int=uuid_utils.uuid7(nanoseconds=int(at.timestamp() * 1_000_000) * 1000).int)
