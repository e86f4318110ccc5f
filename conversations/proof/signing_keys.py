"""Which public key signed checkpoints where, and how far: names for keys, and no ground for trust.

Whoever owns the database can write any key into it. What is trusted is the key that was handed out.
"""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection

from ..models import SigningKey
from ..record import processes

NOTE = """
    INSERT INTO conversations_signingkey (key, place, first, since, number, at)
    VALUES (%(key)s, %(place)s, %(number)s, %(at)s, %(number)s, %(at)s)
    ON CONFLICT (key, place) DO UPDATE SET number = excluded.number, at = excluded.at"""


def find_place() -> str:
    """Name this machine, or its container, and the file that it appends checkpoints to."""
    return f"{processes.find_host()}: {settings.CHECKPOINT_FILE}"


def note(key: str, number: int) -> None:
    """Note that this machine signed this seal, once the line is in its file."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {"key": key, "place": find_place(), "number": number, "at": now}
    with connection.cursor() as cursor:
        cursor.execute(NOTE, values)


def read_newest(place: str = "") -> SigningKey | None:
    """Read what was signed last, at one place or anywhere."""
    rows = SigningKey.objects.filter(place=place) if place else SigningKey.objects.all()
    return rows.order_by("-number").first()


def list_keys() -> list[str]:
    """List the keys that signed here, as the database says: names, and no ground for trust."""
    return list(SigningKey.objects.values_list("key", flat=True).distinct())


def describe(trusted: list[str]) -> str:
    """Name the keys that the database knows and that are not trusted, in a sentence or none."""
    names = [
        f"{row.key} (from seal {row.first:,}, {row.since:%Y-%m-%d}, to seal {row.number:,}, "
        f"{row.at:%Y-%m-%d})"
        for row in SigningKey.objects.exclude(key__in=trusted).order_by("first")[:5]
    ]
    if not names:
        return ""
    return (
        f" The database names {', '.join(names)} as keys that signed here. It may name any: trust "
        "one with --key only if it is the key that was handed out to you."
    )
