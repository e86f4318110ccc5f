"""The models that the upstream offers. Asked at most once a minute a process, and not while it just failed to say."""

import time

from conversations import record
from conversations.threading import Json

from . import endpoints, upstream
from .upstream import Fault

KEPT = 60.0  # seconds
PAUSE = 10.0  # seconds before an upstream that could not say is asked again

_kept: tuple[float, str, list[Json]] = (0.0, "", [])
_failed: tuple[float, str, Fault] | None = None


def models() -> list[Json]:
    """As /v1/models lists them. Raises Fault where the upstream cannot be asked, and never could."""
    global _kept, _failed
    url, now = endpoints.models(), time.monotonic()
    read, whose, found = _kept
    if whose == url and now - read < KEPT:
        return found
    if _failed is None or _failed[1] != url or now - _failed[0] > PAUSE:
        record.release()
        try:
            answer = upstream.get_json(url).get("data")
            if not isinstance(answer, list):
                raise Fault(502, "upstream_bad_reply", "The model's server did not list its models.")
            found = [model for model in answer if isinstance(model, dict) and isinstance(model.get("id"), str)]
            _kept, _failed = (now, url, found), None
            return found
        except Fault as fault:
            _failed = (now, url, fault)
    if whose == url:
        return found
    raise Fault(_failed[2].status, _failed[2].code, _failed[2].text, _failed[2].type)
