"""The models that the upstream offers. Asked at most once a minute a process."""

import time

from conversations.threading import Json

from . import endpoints, upstream

KEPT = 60.0  # seconds
_kept: tuple[float, str, list[Json]] = (0.0, "", [])


def models() -> list[Json]:
    """As /v1/models lists them. Raises Fault where the upstream cannot be asked."""
    global _kept
    read, url, found = _kept
    if url != endpoints.models() or time.monotonic() - read > KEPT:
        url = endpoints.models()
        answer = upstream.get_json(url).get("data")
        if not isinstance(answer, list):
            raise upstream.Fault(502, "upstream_bad_reply", "The model's server did not list its models.")
        found = [model for model in answer if isinstance(model, dict) and isinstance(model.get("id"), str)]
        _kept = (time.monotonic(), url, found)
    return found
