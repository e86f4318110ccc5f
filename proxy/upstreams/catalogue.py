"""The models that a caller may use: those that admins listed, or else what the environment's upstream offers.

That upstream is asked at most once a minute a process, and not while it just failed to say.
"""

from math import inf

from django.conf import settings

from conversations import database
from conversations.aged_cache import AgedCache
from conversations.shape import Json

from .. import faults
from ..faults import Fault
from ..models import Model
from ..providers.base import Endpoint
from . import client, endpoints, routing

KEPT = 60.0  # seconds
PAUSE = 10.0  # seconds before an upstream that could not say is asked again


def list_models(owner: int, offered: Endpoint | None = None) -> list[Json]:
    """As /v1/models lists them; or only those that the pages offer for this endpoint. Raises Fault where the upstream cannot be asked, and never could."""
    if not (listed := routing.listed_models()):
        return of_environment()
    found = [
        {"id": model.name, "object": "model", "created": model.made, "owned_by": model.label}
        for model in listed.values()
        if model.usable_by(owner)
        and (
            offered is None
            or (model.offered and Model.Capability.for_endpoint(offered) in model.capabilities)
        )
    ]
    if settings.PASS_OTHER_MODELS:
        try:
            found += [model for model in of_environment() if model["id"] not in listed]
        except Fault:
            pass  # those that are listed may be used all the same
    return found


def of_environment() -> list[Json]:
    """What the upstream offers; where it cannot say now, as it last said, however long ago.

    Such an old list gives no right to anything. Raises Fault where there is none."""
    try:
        return _lists.get(endpoints.models_url())
    except Fault as fault:  # one for all who waited: each gets its own
        raise fault.copy() from None


def forget() -> None:
    """Ask the upstream anew."""
    _lists.forget()
    _answers.forget()


def _read_list(url: str) -> list[Json]:
    answer = _answers.get(url)
    if isinstance(answer, Fault):
        raise answer
    return answer


def _ask(url: str) -> list[Json] | Fault:
    database.release()
    try:
        answer = client.fetch_json(url).get("data")
    except Fault as fault:
        return fault
    if not isinstance(answer, list):
        return faults.bad_reply("The model's server did not list its models.")
    return [
        model for model in answer if isinstance(model, dict) and isinstance(model.get("id"), str)
    ]


_lists = AgedCache(_read_list, fresh=KEPT, oldest=inf, release=database.release)
_answers = AgedCache(_ask, fresh=PAUSE, oldest=PAUSE, release=database.release)
