"""Images from the gateway's own pages: their price before they are created, and the call."""

from collections.abc import Iterable
from decimal import Decimal

from django.http.response import HttpResponseBase
from django.urls import reverse
from genai_prices import Usage, calc_price

from conversations.models import Snapshot
from conversations.reading.pages import PageRequest
from conversations.record import CallRequest

from .. import prices
from ..faults import Fault
from ..providers.base import Endpoint
from ..relay import calls
from ..relay.exchange import CallerLink
from ..upstreams import catalogue, routing
from . import asking

MOST = 10  # images of one call
CLASSIC, COUNTED = "dall-e-2", "gpt-image-1"
# Tokens of an image of COUNTED, of medium quality, as its maker publishes them.
TOKENS = {"1024x1024": 1056, "1024x1536": 1584, "1536x1024": 1568}
EXTRA_PARAMS = {CLASSIC: {"response_format": "b64_json"}, COUNTED: {"quality": "medium"}}

ImagePrices = dict[str, dict[str, Decimal]]  # model → size → US dollars


def list_prices(owner: int) -> ImagePrices:
    """List the models whose price is known before a call.

    Of these the ones that are offered, or all where the upstream lists no models.
    """
    known = {
        CLASSIC: prices.IMAGE,
        COUNTED: {size: _price_of_tokens(count) for size, count in TOKENS.items()},
    }
    listed = {model: sizes for model, sizes in known.items() if model in _list_models(owner)}
    return listed if listed or routing.listed_models() else known


def ask(
    request: PageRequest, *, model: str, size: str, count: int, prompt: str
) -> HttpResponseBase:
    """Redirect to the page of the images, which are fetched once the response has left.

    Raises Fault, the refusal recorded.
    """
    params = EXTRA_PARAMS.get(model, {})
    body = {"model": model, "prompt": prompt, "n": count, "size": size} | params
    call = CallRequest(
        owner=request.user.id,
        kind=Snapshot.Kind.IMAGE,
        model=model,
        body=body,
        messages=[{"role": "user", "content": prompt}],
        threads_by_content=False,
        address=request.client_address,
        user_agent=request.META.get("HTTP_USER_AGENT", ""),
    )
    way, token = asking.find_way(request, call, Endpoint.IMAGES)
    exchange = calls.admit(call, way, CallerLink(stoppable=True, token=token))
    page = reverse("image", args=[exchange.call.id])
    return asking.redirect_and_fetch(page, lambda: calls.fetch(exchange))


def _price_of_tokens(count: int) -> Decimal:
    usage = Usage(output_tokens=count)
    return calc_price(usage, model_ref=COUNTED, provider_id="openai").total_price


def _list_models(owner: int) -> Iterable[str]:
    try:
        return [model["id"] for model in catalogue.list_models(owner, Endpoint.IMAGES)]
    except Fault:
        return ()
