"""Images from the gateway's own pages: what they cost before they are made, and the call that makes them."""

from collections.abc import Iterable
from decimal import Decimal

import orjson
from django.conf import settings
from django.http.response import HttpResponseBase
from django.urls import reverse
from genai_prices import Usage, calc_price

from conversations.models import Snapshot
from conversations.record import Asked

from . import chat, endpoints, prices, relay
from .upstream import Fault

MOST = 10  # images of one call
CLASSIC, COUNTED = "dall-e-2", "gpt-image-1"
TOKENS = {"1024x1024": 1056, "1024x1536": 1584, "1536x1024": 1568}  # of an image of COUNTED, of medium quality, as its maker publishes them
SENT_ALONG = {CLASSIC: {"response_format": "b64_json"}, COUNTED: {"quality": "medium"}}

Offered = dict[str, dict[str, Decimal]]  # model → size → US dollars


def offered() -> Offered:
    """What has a price that can be said before: of those models the ones that the upstream lists, or all where it lists none of them."""
    known = {CLASSIC: prices.IMAGE, COUNTED: {size: _of_tokens(count) for size, count in TOKENS.items()}}
    listed = {model: sizes for model, sizes in known.items() if model in _listed()}
    return listed or known


def ask(request, *, model: str, size: str, count: int, prompt: str) -> HttpResponseBase:
    """A redirect to the page of the images, which are fetched behind it. Raises Fault, the refusal recorded."""
    body = {"model": model, "prompt": prompt, "n": count, "size": size} | SENT_ALONG.get(model, {})
    asked = Asked(
        owner=request.user.id, kind=Snapshot.Kind.IMAGE, model=model, body=body, messages=[{"role": "user", "content": prompt}], sent=orjson.dumps(body),
        by_content=False, upstream=settings.LLM_LABEL, address=request.client_address, user_agent=request.META.get("HTTP_USER_AGENT", ""),
    )  # fmt: skip
    url, token = chat.admitted(request, asked, endpoints.images_of_pages)
    exchange = relay.open(asked, stoppable=True, token=token)
    return chat.behind(reverse("image", args=[exchange.call.id]), lambda: relay.ask(exchange, url, asked.sent))


def _of_tokens(count: int) -> Decimal:
    return calc_price(Usage(output_tokens=count), model_ref=COUNTED, provider_id="openai").total_price


def _listed() -> Iterable[str]:
    try:
        return chat.models()
    except Fault:
        return ()
