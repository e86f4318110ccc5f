"""The models that a caller may use: those that admins listed, or else the environment's.

The environment's upstream is asked for its list at most once a minute a process, and not again
right after it failed to give one.
"""

from math import inf
from typing import Any

from django.conf import settings

from conversations import database
from conversations.aged_cache import AgedCache
from conversations.shape import Json

from .. import faults
from ..faults import Fault
from ..providers.base import Endpoint
from . import client, endpoints, routing

KEPT = 60.0  # seconds
# Fields that hold the list, and those that hold a model's name: the first that is there counts.
LISTS = (
    *("data", "models", "value", "items", "results", "result", "list", "model_list"),
    *("modelSummaries", "publisherModels", "endpoints", "resources"),  # clouds
)
NAMES = ("id", "name", "model", "model_name", "model_id", "modelId", "slug", "key")
PAUSE = 10.0  # seconds before an upstream that failed to give its list is asked again


def list_models(owner: int, offered: Endpoint | None = None) -> list[Json]:
    """List them as /v1/models does; or only those that the pages offer for this endpoint.

    Raises Fault where the upstream has no list to give, and never gave one.
    """
    if not (listed := routing.listed_models()):
        return list_environment_models()
    models = [
        {"id": model.name, "object": "model", "created": model.created, "owned_by": model.label}
        for model in listed.values()
        if model.is_usable_by(owner) and (offered is None or model.is_offered_for(offered))
    ]
    if settings.PASS_OTHER_MODELS:
        try:
            models += [model for model in list_environment_models() if model["id"] not in listed]
        except Fault:
            pass  # those that are listed may be used all the same
    return models


def describe(name: str) -> Json:
    """Describe a model of which only the name is known."""
    return {"id": name, "object": "model", "created": 0, "owned_by": settings.LLM_LABEL}


def list_environment_models() -> list[Json]:
    """List what the environment's upstream offers; where it gives no list now, its last one.

    A list may be old, for it gives no right to anything. Raises Fault where there is none.
    """
    try:
        return _lists.get(endpoints.models_url())
    except Fault as fault:  # one for all who waited: each gets its own
        raise fault.copy() from None


def forget() -> None:
    """Forget the lists: the next caller has the upstream asked."""
    _lists.forget()
    _answers.forget()


def _read_list(url: str) -> list[Json]:
    answer = _answers.get(url)
    if isinstance(answer, Fault):
        raise answer
    return answer


def _fetch_list(url: str) -> list[Json] | Fault:
    database.release()
    try:
        return read_models(client.fetch_json(url))
    except Fault as fault:
        return fault


def read_models(answer: Any) -> list[Json]:
    """Read a list of models, in whatever shape it comes; those that OpenAI's has stay as they are.

    The list stands by itself or in a field, as objects, names alone, or objects by name. Raises
    Fault where there is none, or no entry has a name. What is null holds none (Go writes so).
    """
    found = _unwrap(answer) if isinstance(answer, dict) else answer
    if isinstance(found, dict) and any(name in found for name in LISTS):
        found = _unwrap(found)  # some wrap it twice
    if isinstance(found, dict):
        found = [{"id": name} | _fields(value) for name, value in found.items()]
    if not isinstance(found, list):
        raise faults.bad_reply("The model's server did not list its models.")
    models = [model for each in found if (model := _read_model(each))]
    if found and not models:
        raise faults.bad_reply("The model's server listed models without names.")
    return models


def _unwrap(answer: Json) -> Any:
    """Return what the fields of a list hold; None where there is no such field."""
    held = [answer[name] for name in LISTS if name in answer]
    return next((each for each in held if each is not None), [] if held else None)


def _read_model(entry: Any) -> Json | None:
    fields = {"id": entry} if isinstance(entry, str) else _fields(entry)
    names = (fields.get(name) for name in NAMES)
    name = next((name for name in names if isinstance(name, str) and name), None)
    return {"object": "model"} | fields | {"id": name} if name else None


def _fields(entry: Any) -> Json:
    return entry if isinstance(entry, dict) else {}


_lists = AgedCache(_read_list, fresh=KEPT, oldest=inf, release=database.release)
_answers = AgedCache(_fetch_list, fresh=PAUSE, oldest=PAUSE, release=database.release)
