"""Wrong API keys are counted by address, answered 429 where they are many, and put on the trail.

The count is the database's, so that all processes and machines have one. An address (of IPv6 a
network) may send WRONG_KEYS_PER_ADDRESS in an hour, which begins with the first; further ones are
paused until it is over. Only wrong keys are paused: a right one passes, whoever shares its address,
since none can be found by trying (32 random bytes). When the hour is over, it is one audit event.

A flood stays small. Past its limit an address is counted in memory, saved every few seconds; beyond
MOST addresses all others are counted as one.
"""

import logging
import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import prometheus_client
from django.conf import settings
from django.db import transaction

from conversations.database import execute
from conversations.gateway_request import network_of
from conversations.models import AuditEvent
from conversations.people import audit

from .models import ApiKey, WrongKeys

log = logging.getLogger(__name__)
HOUR = 3600  # seconds
LEAST = 60  # seconds of a pause; the worker may be late to end an hour
MOST = 200  # addresses that have a count of their own
UNKNOWN, OTHERS = "unknown address", "other addresses"  # in place of an address

COUNTER = prometheus_client.Counter(
    "llmgateway_wrong_keys",
    "Wrong API keys: refused, or paused since too many came from their address.",
    ["answer"],
)


@dataclass
class Paused:
    """What this process knows of addresses past their limit."""

    until: dict[str, float] = field(default_factory=dict)  # by time.monotonic()
    unsaved: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, address: str) -> float | None:
        """Count one more of an address that is paused; return for how many seconds it still is."""
        now = time.monotonic()
        with self.lock:
            for place in (address, OTHERS):
                left = self.until.get(place, now) - now
                if left > 0:
                    self.unsaved[place] += 1
                    return left
        return None

    def forget(self) -> None:
        with self.lock:
            self.until.clear()
            self.unsaved.clear()


PAUSED = Paused()


def count(client_address: str | None) -> int:
    """Count a wrong key of this client; return the seconds of its pause, 0 where there is none.

    Raises Error where the database is away.
    """
    address = network_of(client_address) or UNKNOWN
    left = PAUSED.count(address)
    if left is None:
        left = _add(address, 1)
    COUNTER.labels("paused" if left else "refused").inc()
    return math.ceil(left)


def save() -> None:
    """Add what was counted in memory to the database's count. Raises Error."""
    for address, number in list(PAUSED.unsaved.items()):
        _add(address, number)
        with PAUSED.lock:
            PAUSED.unsaved[address] -= number
    now = time.monotonic()
    with PAUSED.lock:
        PAUSED.unsaved += Counter()  # drops the zeros
        PAUSED.until = {place: until for place, until in PAUSED.until.items() if until > now}


def _add(address: str, number: int) -> float:
    """Add to an address's count; return the seconds of its pause, 0 where there is none."""
    values = {"address": address, "number": number, "most": MOST, "others": OTHERS, "hour": HOUR}
    [counted] = execute(ADD, values).fetchall()
    place, total = counted[:2]
    if total <= settings.WRONG_KEYS_PER_ADDRESS:
        return 0
    left = max(LEAST, float(counted[2]))
    with PAUSED.lock:
        PAUSED.until[place] = time.monotonic() + left
    return left


# The statement is atomic: each of two at the same moment has the other's in its count.
ADD = """
    INSERT INTO proxy_wrongkeys AS counted (address, since, count)
    SELECT
        CASE
            WHEN EXISTS (SELECT FROM proxy_wrongkeys WHERE address = %(address)s::text)
                OR (SELECT count(*) FROM proxy_wrongkeys) < %(most)s::int
            THEN %(address)s::text
            ELSE %(others)s::text
        END,
        now(),
        %(number)s::bigint
    ON CONFLICT (address) DO UPDATE SET count = counted.count + excluded.count
    RETURNING
        address,
        count,
        extract(epoch FROM since - now()) + %(hour)s::int"""


def tell_trail() -> None:
    """Record each address whose hour is over, as one event; what cannot be recorded stays."""
    try:
        with transaction.atomic():
            for row in WrongKeys.objects.raw(TAKE_OVER, [HOUR]):
                _tell(row)
    except audit.NotRecorded as problem:
        log.warning("wrong keys wait for the audit trail: %s", problem)


def _tell(row: WrongKeys) -> None:
    named = row.address not in (UNKNOWN, OTHERS)
    audit.record(
        "",
        AuditEvent.Action.WRONG_KEYS,
        ApiKey,
        address=row.address if named else None,
        count=row.count,
        since=row.since,
        **({} if named else {"of": row.address}),
    )


TAKE_OVER = """
    DELETE FROM proxy_wrongkeys
    WHERE since <= now() - make_interval(secs => %s)
    RETURNING address, since, count"""
