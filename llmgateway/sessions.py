"""Sessions with two limits: some time without use, and some time however they are used.

Both are kept in the session itself, on the server, and asked whenever one is read, by page or API.
A session of an earlier version, which says nothing of them, begins when it is read next.
"""

import time
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db

BEGAN = "began"  # seconds since 1970
USED = "used"
FRESH = 60  # seconds between two notes of use: a page costs no write of its own


def begin(session: Any) -> None:
    """Start both limits: a person signed in."""
    session.update({BEGAN: int(time.time()), USED: int(time.time())})


def is_over(session: dict[str, Any], now: float) -> bool:
    idle, age = now - session[USED], now - session[BEGAN]
    return idle > settings.SESSION_IDLE * 60 or age > settings.SESSION_HOURS * 3600


class SessionStore(db.SessionStore):
    """Django's in the database; what is over is deleted when it is read."""

    def load(self) -> dict[str, Any]:
        data = super().load()
        if SESSION_KEY not in data:
            return data
        now = time.time()
        if BEGAN not in data:
            begin(data)
        elif is_over(data, now):
            self.delete(self.session_key)
            self._session_key = None
            return {}
        elif now - data[USED] <= FRESH:
            return data
        data[USED] = int(now)
        stored = self.model.objects.filter(pk=self.session_key)
        stored.update(session_data=self.encode(data))
        return data
