"""Which upstreams a call may be sent to, in which order, for whom: a look-up in rows that an AgedCache holds.

While there is no Model, every name goes to what the environment sets, by its own name. As soon as there is one, a name that is not
listed, or not for the caller, does not exist; with PASS_OTHER_MODELS a name that is not listed goes to LLM_ENDPOINT still.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model

from conversations import database
from conversations.aged_cache import AgedCache
from conversations.shape import Json

from .. import addresses, faults
from ..faults import Fault
from ..models import Model, Upstream
from ..prices import Rates
from ..providers import kinds
from ..providers.base import Endpoint, Form, Sent, Target
from . import endpoints, gate

ENVIRONMENT = "LLM_ENDPOINT"
ALL = "all"  # the one key under which the models are kept
ADDRESSES = {
    Endpoint.CHAT: endpoints.chat_url,
    Endpoint.IMAGES: endpoints.images_url,
    Endpoint.EDITS: endpoints.edits_url,
    Endpoint.EMBEDDINGS: endpoints.embeddings_url,
}

OF_PAGES = {Endpoint.CHAT: endpoints.pages_chat_url, Endpoint.IMAGES: endpoints.pages_images_url}


class Patience(NamedTuple):
    """Seconds: to the first byte, of silence after it, of the whole call."""

    first_byte: float
    silence: float
    longest: float


@dataclass(frozen=True, eq=False)
class Route:
    """One place to ask for a model."""

    upstream: str  # its name, or ENVIRONMENT
    target: Target
    patience: Patience
    rates: Rates
    most_open: int | None = None
    problem: str = ""  # why nothing may be sent there

    @property
    def gate(self) -> gate.Gate:
        return gate.of(self.upstream)


@dataclass
class Way:
    """Where one call may go, and with what."""

    endpoint: Endpoint
    body: Json | Form
    routes: tuple[Route, ...]

    def __post_init__(self) -> None:
        self.requests: dict[Route, Sent] = {}

    @property
    def label(self) -> str:
        return self.routes[0].target.label

    @property
    def address_of_environment(self) -> str:
        """Empty where the call may not go there."""
        return next(
            (route.target.base_url for route in self.routes if route.upstream == ENVIRONMENT), ""
        )

    def leave_out(self, upstream: str) -> bool:
        """Send nothing there. False, changing nothing, where there is no other place."""
        others = tuple(route for route in self.routes if route.upstream != upstream)
        self.routes = others or self.routes
        return bool(others)

    def request(self, route: Route) -> Sent:
        """Made once, however often it is sent. Raises Fault where this upstream may not or cannot be asked so."""
        if route.problem:
            raise faults.upstream_misconfigured(
                f"The gateway may not call this model's server. {route.problem}"
            )
        if (sent := self.requests.get(route)) is None:
            sent = self.requests[route] = kinds.find_kind(route.target, self.endpoint).request(
                route.target, self.endpoint, self.body
            )
        return sent

    def first(self) -> Sent:
        """What is sent if all goes well. Raises Fault where no upstream can be asked."""
        first: Fault | None = None
        for route in self.routes:
            try:
                return self.request(route)
            except Fault as fault:
                first = first or fault
        assert first
        raise first


def find_way(
    model: str, endpoint: Endpoint, owner: int, body: Json | Form, *, pages: bool = False
) -> Way:
    """Raises Fault where the caller may not use it so; the same, whether it is unknown or for others only."""
    listed = listed_models()
    found = listed.get(model)
    if found is None:
        if listed and not settings.PASS_OTHER_MODELS:
            raise faults.model_not_found()
        return Way(endpoint, body, (environment_route(endpoint, pages),))
    if not found.usable_by(owner):
        raise faults.model_not_found()
    if Model.Capability.for_endpoint(endpoint) not in found.capabilities:
        raise faults.endpoint_not_supported(endpoint)
    return Way(
        endpoint,
        body,
        tuple(
            place if isinstance(place, Route) else environment_route(endpoint, pages, place)
            for place in found.places
        ),
    )


# What the environment sets --------------------------------------------------------------------------------------


def environment_route(endpoint: Endpoint, pages: bool = False, rates: Rates | None = None) -> Route:
    """LLM_ENDPOINT and what goes with it; for the pages, LLM_GATEWAY_URL where it is set. Raises Fault where there is none."""
    url = (OF_PAGES.get(endpoint, ADDRESSES[endpoint]) if pages else ADDRESSES[endpoint])()
    patience = Patience(
        settings.LLM_TIMEOUT, settings.LLM_STREAM_TIMEOUT, settings.LLM_LONGEST_CALL
    )
    return _environment(
        endpoint,
        url,
        settings.LLM_API_AUTHORIZATION,
        settings.LLM_LABEL,
        settings.LLM_API_CONTENT_TYPE,
        patience,
        rates or Rates(),
    )


@lru_cache(maxsize=1000)
def _environment(
    endpoint: Endpoint,
    url: str,
    authorization: str,
    label: str,
    content_type: str,
    patience: Patience,
    rates: Rates,
) -> Route:
    target = Target("openai", url, label, authorization, rates.model, {endpoint: url}, content_type)
    return Route(ENVIRONMENT, target, patience, rates, problem=addresses.find_objection(url))


# What the rows say ----------------------------------------------------------------------------------------------


class Listed(NamedTuple):
    """A model that there is a row for. A place that is no route is the environment's, with these rates."""

    name: str
    made: int  # seconds since 1970
    label: str
    capabilities: frozenset[str]
    groups: frozenset[int]
    offered: bool
    places: tuple[Route | Rates, ...]

    def usable_by(self, owner: int) -> bool:
        return bool(self.places) and (
            not self.groups or not self.groups.isdisjoint(groups_of(owner))
        )


def listed_models() -> dict[str, Listed]:
    """By name, those included that are disabled or for some people only; empty where there is no row at all."""
    return _models.get(ALL)


def is_listed(model: str) -> bool:
    """As the rows were last read: asks nobody."""
    return model in (_models.last(ALL) or {})


def groups_of(owner: int) -> frozenset[int]:
    return _groups.get(owner)


def forget() -> None:
    """Read the rows anew. Other processes do so within conversations.aged_cache.OLDEST."""
    _models.forget()
    _groups.forget()


def _read_models(_: str) -> dict[str, Listed]:
    return {model.name: _read(model) for model in Model.objects.with_routes()}


def _read_groups(owner: int) -> frozenset[int]:
    return frozenset(get_user_model().objects.filter(pk=owner).values_list("groups", flat=True))


def _read(model: Model) -> Listed:
    rows = list(model.routes.all())
    places: list[Route | Rates] = []
    for row in rows:
        rates = Rates(
            row.upstream_model, _per_token(row.prompt_price), _per_token(row.completion_price)
        )
        if row.upstream is None:
            places.append(rates)
        elif row.upstream.enabled:
            places.append(make_route(row.upstream, rates))
    if not rows:
        places.append(Rates())
    label = (
        places[0].target.label if places and isinstance(places[0], Route) else settings.LLM_LABEL
    )
    groups = frozenset(group.pk for group in model.groups.all())
    return Listed(
        model.name,
        int(model.made.timestamp()),
        label,
        frozenset(model.capabilities),
        groups,
        model.offered,
        tuple(places) if model.enabled else (),
    )


def make_route(row: Upstream, rates: Rates = Rates()) -> Route:  # noqa: B008 - immutable
    """The rules of addresses and secrets are looked at here too: a row may have been written by other means than the form."""
    problem = (
        addresses.find_objection(row.base_url)
        or row.objection_to_secret
        or ("" if row.kind in kinds.KINDS else "Its kind is not known here.")
    )
    credential = settings.UPSTREAM_SECRETS.get(row.secret, "")
    target = Target(
        row.kind,
        row.base_url,
        row.recorded_name,
        credential,
        rates.model,
        api_version=row.api_version,
        region=row.region,
    )
    patience = Patience(
        row.first_byte or settings.LLM_TIMEOUT,
        row.silence or settings.LLM_STREAM_TIMEOUT,
        row.longest or settings.LLM_LONGEST_CALL,
    )
    return Route(row.name, target, patience, rates, row.most_open, problem)


_models = AgedCache(_read_models, release=database.release)
_groups = AgedCache(_read_groups, release=database.release)


def _per_token(per_million: Decimal | None) -> Decimal | None:
    return None if per_million is None else per_million / 1_000_000
