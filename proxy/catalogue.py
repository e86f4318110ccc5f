"""The models that a caller may use: those that admins listed, or else what the environment's upstream offers.

That upstream is asked at most once a minute a process, and not while it just failed to say.
"""

import time

from django.conf import settings

from conversations import record
from conversations.threading import Json

from . import endpoints, routing, upstream
from .models import Model
from .providers import Endpoint
from .upstream import Fault

KEPT = 60.0  # seconds
PAUSE = 10.0  # seconds before an upstream that could not say is asked again

_kept: tuple[float, str, list[Json]] = (0.0, "", [])
_failed: tuple[float, str, Fault] | None = None


def models(owner: int, offered: Endpoint | None = None) -> list[Json]:
    """As /v1/models lists them; or only those that the pages offer for this endpoint. Raises Fault where the upstream cannot be asked, and never could."""
    if not (listed := routing.known()):
        return of_environment()
    found = [
        {"id": model.name, "object": "model", "created": model.made, "owned_by": model.label}
        for model in listed.values()
        if model.usable_by(owner) and (offered is None or (model.offered and Model.Capability.of(offered) in model.capabilities))
    ]
    if settings.PASS_OTHER_MODELS:
        try:
            found += [model for model in of_environment() if model["id"] not in listed]
        except Fault:
            pass  # those that are listed may be used all the same
    return found


def of_environment() -> list[Json]:
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
