"""Which upstreams a call may be sent to, in which order: a look-up in rows in an AgedCache.

While there is no Model, every name goes to the upstream of the environment, unchanged. As soon as
there is one, a name that is not listed, or not for the caller, does not exist; with
PASS_OTHER_MODELS a name that is not listed still goes to LLM_ENDPOINT.
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

from .. import addresses, credentials, faults
from ..faults import Fault
from ..models import Model, Upstream
from ..prices import Rates
from ..providers import kinds
from ..providers.base import Endpoint, Form, Sent, Target
from . import endpoints, gate

ENVIRONMENT = "LLM_ENDPOINT"
USAGE_OPTION = "stream_options"
refusing: set[str] = set()  # addresses of routes that refused it, as this process knows
ALL = "all"  # the one key under which the models are kept
NO_RATES = Rates()  # the caller's name for the model, and list prices
ADDRESSES = {
    Endpoint.CHAT: endpoints.chat_url,
    Endpoint.IMAGES: endpoints.images_url,
    Endpoint.EDITS: endpoints.edits_url,
    Endpoint.EMBEDDINGS: endpoints.embeddings_url,
}
PAGES_ADDRESSES = {
    Endpoint.CHAT: endpoints.pages_chat_url,
    Endpoint.IMAGES: endpoints.pages_images_url,
}


class Patience(NamedTuple):
    """Seconds: to the first byte, of silence after it, of the whole call."""

    first_byte: float
    silence: float
    longest: float


@dataclass(frozen=True, eq=False)
class Route:
    """An upstream, and its name for a model."""

    upstream: str  # its name, or ENVIRONMENT
    target: Target
    patience: Patience
    rates: Rates
    most_open: int | None = None
    problem: str = ""  # why nothing may be sent there
    counts_streams: bool = True  # takes stream_options

    @property
    def address(self) -> str:
        """What stays the same however often the rows are read."""
        return f"{self.upstream} {self.target.base_url}"

    @property
    def gate(self) -> gate.Gate:
        return gate.gates[self.upstream]


@dataclass
class Way:
    """Where one call may go, and with what."""

    endpoint: Endpoint
    body: Json | Form
    routes: tuple[Route, ...]
    # Its stream_options are the gateway's own: an upstream that refuses them is asked without.
    adds_usage: bool = False

    def __post_init__(self) -> None:
        self.requests: dict[Route, Sent] = {}

    @property
    def label(self) -> str:
        return self.routes[0].target.label

    @property
    def patience(self) -> float:
        """Seconds to the first byte, whichever route it comes from."""
        return max(route.patience.first_byte for route in self.routes)

    @property
    def environment_url(self) -> str:
        """The address of the environment's upstream; empty where the call may not go there."""
        urls = (route.target.base_url for route in self.routes if route.upstream == ENVIRONMENT)
        return next(urls, "")

    def leave_out(self, upstream: str) -> bool:
        """Drop the routes to it. False, changing nothing, where no other route is left."""
        others = tuple(route for route in self.routes if route.upstream != upstream)
        self.routes = others or self.routes
        return bool(others)

    def request(self, route: Route) -> Sent:
        """Make the request, once however often it is sent.

        Raises Fault where this upstream may not get it, or has no word for what it asks.
        """
        if route.problem:
            raise faults.upstream_misconfigured(
                f"The gateway may not call this model's server. {route.problem}"
            )
        if route not in self.requests:
            kind = kinds.find_kind(route.target, self.endpoint)
            body = self.body
            if self.adds_usage and not (route.counts_streams and route.address not in refusing):
                assert isinstance(body, dict)
                body = {name: value for name, value in body.items() if name != USAGE_OPTION}
            self.requests[route] = kind.request(route.target, self.endpoint, body)
        return self.requests[route]

    def leave_out_usage(self, route: Route, fault: Fault) -> bool:
        """Have this upstream asked without stream_options, if it is they that it refused.

        The process remembers that. False where it refused something else.
        """
        said = f"{fault.param} {fault.text}"
        is_refused = fault.answered in (400, 422) and USAGE_OPTION in said
        if not self.adds_usage or not is_refused or route.address in refusing:
            return False
        refusing.add(route.address)
        del self.requests[route]
        return True

    def first(self) -> Sent:
        """Make the request of the first route that has one. Raises Fault where none has."""
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
    """Find where a caller's request may go.

    Raises Fault where the model may not be used so; the same one, whether it is unknown or for
    other callers only.
    """
    listed = find_listed(model, owner)
    if listed is None:
        return Way(endpoint, body, (environment_route(endpoint, pages=pages),))
    if Model.Capability.for_endpoint(endpoint) not in listed.capabilities:
        raise faults.endpoint_not_supported(endpoint)
    routes = (
        place if isinstance(place, Route) else environment_route(endpoint, place, pages=pages)
        for place in listed.places
    )
    return Way(endpoint, body, tuple(routes))


def find_listed(model: str, owner: int) -> "ListedModel | None":
    """Find what a caller names; None where any name that is not listed goes to the environment's.

    Raises Fault where there is no such model for this caller.
    """
    models = listed_models()
    listed = models.get(model)
    if listed is None:
        exists = not models or settings.PASS_OTHER_MODELS
    else:
        exists = listed.is_usable_by(owner)
    if not exists:
        raise faults.model_not_found()
    return listed


# What the environment sets ----------------------------------------------------------------------


class Environment(NamedTuple):
    """The settings that make a route."""

    authorization: str
    label: str
    content_type: str
    patience: Patience


def environment_route(endpoint: Endpoint, rates: Rates = NO_RATES, *, pages: bool = False) -> Route:
    """Make the route to LLM_ENDPOINT; for the pages, to LLM_GATEWAY_URL where it is set.

    Raises Fault where there is no such address.
    """
    find_url = ADDRESSES[endpoint]
    if pages:
        find_url = PAGES_ADDRESSES.get(endpoint, find_url)
    environment = Environment(
        settings.LLM_API_AUTHORIZATION,
        settings.LLM_LABEL,
        settings.LLM_API_CONTENT_TYPE,
        Patience(settings.LLM_TIMEOUT, settings.LLM_STREAM_TIMEOUT, settings.LLM_LONGEST_CALL),
    )
    return _environment_route(endpoint, find_url(), environment, rates)


@lru_cache(maxsize=1000)
def _environment_route(
    endpoint: Endpoint, url: str, environment: Environment, rates: Rates
) -> Route:
    target = Target(
        "openai",
        url,
        environment.label,
        environment.authorization,
        model=rates.model,
        urls={endpoint: url},
        content_type=environment.content_type,
    )
    problem = addresses.find_objection(url)
    return Route(ENVIRONMENT, target, environment.patience, rates, problem=problem)


# What the rows say ------------------------------------------------------------------------------


class ListedModel(NamedTuple):
    """A model that has a row. A place that is no route is the environment's, with these rates."""

    name: str
    created: int  # seconds since 1970
    label: str
    capabilities: frozenset[str]
    groups: frozenset[int]
    offered: bool
    places: tuple[Route | Rates, ...]

    def is_usable_by(self, owner: int) -> bool:
        if not self.places:
            return False
        return not self.groups or not self.groups.isdisjoint(_groups.get(owner))

    def is_offered_for(self, endpoint: Endpoint) -> bool:
        """Return whether the pages offer it."""
        return self.offered and Model.Capability.for_endpoint(endpoint) in self.capabilities


def listed_models() -> dict[str, ListedModel]:
    """Return them by name, also those that are disabled or not for all; empty without any row."""
    return _models.get(ALL)


def is_listed(model: str) -> bool:
    """Return whether it was listed when the rows were last read; it does not read them."""
    return model in (_models.last(ALL) or {})


def forget() -> None:
    """Have the rows read anew. Other processes do so within conversations.aged_cache.OLDEST."""
    _models.forget()
    _groups.forget()


def _read_models(_: str) -> dict[str, ListedModel]:
    return {model.name: _read_model(model) for model in Model.objects.with_routes()}


def _read_groups(owner: int) -> frozenset[int]:
    return frozenset(get_user_model().objects.filter(pk=owner).values_list("groups", flat=True))


def _read_model(model: Model) -> ListedModel:
    rows = list(model.routes.all())
    places: list[Route | Rates] = [] if rows else [NO_RATES]
    for row in rows:
        rates = Rates(
            row.upstream_model, _per_token(row.prompt_price), _per_token(row.completion_price)
        )
        if row.upstream is None:
            places.append(rates)
        elif row.upstream.enabled:
            places.append(make_route(row.upstream, rates))
    first = places[0] if places else NO_RATES
    return ListedModel(
        model.name,
        int(model.made.timestamp()),
        first.target.label if isinstance(first, Route) else settings.LLM_LABEL,
        frozenset(model.capabilities),
        frozenset(group.pk for group in model.groups.all()),
        model.offered,
        tuple(places) if model.enabled else (),
    )


def make_route(row: Upstream, rates: Rates = NO_RATES) -> Route:
    """Make the route to an upstream's row.

    The rules of addresses and secrets are applied here too: a row may have been written by other
    means than the form.
    """
    problem = (
        addresses.find_objection(row.base_url)
        or row.objection_to_secret
        or ("" if row.kind in kinds.KINDS else "Its kind is not known here.")
    )
    target = Target(
        row.kind,
        row.base_url,
        row.recorded_name,
        settings.UPSTREAM_SECRETS.get(row.secret, ""),
        credentials.find_hosts(row.secret),
        rates.model,
        api_version=row.api_version,
        region=row.region,
    )
    patience = Patience(
        row.first_byte or settings.LLM_TIMEOUT,
        row.silence or settings.LLM_STREAM_TIMEOUT,
        row.longest or settings.LLM_LONGEST_CALL,
    )
    counts = not row.no_stream_options
    return Route(row.name, target, patience, rates, row.most_open, problem, counts)


_models = AgedCache(_read_models, release=database.release)
_groups = AgedCache(_read_groups, release=database.release)


def _per_token(per_million: Decimal | None) -> Decimal | None:
    return None if per_million is None else per_million / 1_000_000
