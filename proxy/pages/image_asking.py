"""Images from the gateway's own pages: what they cost before they are made, and the call that makes them."""

from collections.abc import Iterable
from decimal import Decimal

from django.http.response import HttpResponseBase
from django.urls import reverse
from genai_prices import Usage, calc_price

from conversations.models import Snapshot
from conversations.record import CallRequest

from .. import prices
from ..faults import Fault
from ..providers.base import Endpoint
from ..relay import calls
from ..upstreams import catalogue, routing
from . import asking

MOST = 10  # images of one call
CLASSIC, COUNTED = "dall-e-2", "gpt-image-1"
TOKENS = {
    "1024x1024": 1056,
    "1024x1536": 1584,
    "1536x1024": 1568,
}  # of an image of COUNTED, of medium quality, as its maker publishes them
SENT_ALONG = {CLASSIC: {"response_format": "b64_json"}, COUNTED: {"quality": "medium"}}

Offered = dict[str, dict[str, Decimal]]  # model → size → US dollars


def offered(owner: int) -> Offered:
    """What has a price that can be said before: of those models the ones that are listed, or all where the upstream lists none of them."""
    known = {
        CLASSIC: prices.IMAGE,
        COUNTED: {size: _of_tokens(count) for size, count in TOKENS.items()},
    }
    listed = {model: sizes for model, sizes in known.items() if model in _listed(owner)}
    return listed if listed or routing.listed_models() else known


def ask(request, *, model: str, size: str, count: int, prompt: str) -> HttpResponseBase:
    """A redirect to the page of the images, which are fetched behind it. Raises Fault, the refusal recorded."""
    body = {"model": model, "prompt": prompt, "n": count, "size": size} | SENT_ALONG.get(model, {})
    asked = CallRequest(
        owner=request.user.id,
        kind=Snapshot.Kind.IMAGE,
        model=model,
        body=body,
        messages=[{"role": "user", "content": prompt}],
        by_content=False,
        address=request.client_address,
        user_agent=request.META.get("HTTP_USER_AGENT", ""),
    )
    way, token = asking.admitted(request, asked, Endpoint.IMAGES)
    exchange = calls.admit(asked, way, stoppable=True, token=token)
    return asking.behind(reverse("image", args=[exchange.call.id]), lambda: calls.fetch(exchange))


def _of_tokens(count: int) -> Decimal:
    return calc_price(
        Usage(output_tokens=count), model_ref=COUNTED, provider_id="openai"
    ).total_price


def _listed(owner: int) -> Iterable[str]:
    try:
        return [model["id"] for model in catalogue.list_models(owner, Endpoint.IMAGES)]
    except Fault:
        return ()
