"""How a call ended, from the JSON of its upstream. Pure."""

import base64
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from conversations.models import Snapshot
from conversations.record import CallRequest, Outcome, threads
from conversations.record.attachments import detect_media_type
from conversations.shape import Json

from . import prices
from .prices import Rates
from .protocols import chat, estimates, usage
from .protocols.usage import TokenUsage

CostSource = Snapshot.CostSource
# US dollars that a snapshot's column holds: an upstream may claim any number of tokens.
DEAREST = Decimal(999_999)
# A count is of an earlier moment, or made up, where it is so many times less than the words give:
# no token of any vocabulary is longer than 128 bytes, 32 times what an estimate takes one for.
WHOLE, BROKEN_OFF = 32, 2


def read_outcome(
    request: CallRequest,
    answer: Json | None,
    status: str,
    pictures: list[Json] | None = None,
    rates: Rates | None = None,
) -> Outcome:
    """Read how a call ended.

    `answer` is a completion (also one that a stream amounts to so far), a list of images, or one of
    embeddings; `rates` come before list prices.
    """
    answer = answer or {}
    outcome = Outcome(
        status=status,
        response=answer or None,
        served_model=_text(answer.get("model")),
        upstream_id=_text(answer.get("id")),
    )
    _read_replies(outcome, request, answer, pictures)
    used = usage.read_usage(usage.find_usage(answer), answer, request.body)
    if _is_countable(request, outcome):
        used = _complete(used, request, outcome)
    outcome.prompt_tokens, outcome.completion_tokens = used.prompt, used.output
    outcome.estimated = used.estimated
    outcome.cost, outcome.cost_source = _read_cost(request, outcome, used, rates or Rates())
    return outcome


def _read_replies(
    outcome: Outcome, request: CallRequest, answer: Json, pictures: list[Json] | None
) -> None:
    if request.kind in Snapshot.COMPLETIONS:
        choices = [choice for choice in answer.get("choices") or [] if isinstance(choice, dict)]
        outcome.replies = [_message(chat.read_message(choice)) for choice in choices]
        outcome.finish_reason = _text(choices[0].get("finish_reason")) if choices else ""
        if answer:
            outcome.response = answer | {"choices": choices}
    elif request.kind == Snapshot.Kind.IMAGE:
        if pictures is None:  # it was cut, and what it links to is not fetched
            pictures = read_pictures(answer, lambda link: None)
        outcome.replies = [{"role": "assistant", "content": pictures}] if pictures else []
    elif request.kind == Snapshot.Kind.EMBEDDING and answer:
        items = [threads.drop_key(item, "embedding") for item in answer.get("data") or []]
        outcome.response = answer | {"data": items}


def _is_countable(request: CallRequest, outcome: Outcome) -> bool:
    """Return whether tokens may be estimated: a model has read the request, and it is text."""
    if request.kind == Snapshot.Kind.IMAGE or outcome.status == Snapshot.Status.REFUSED:
        return False
    return outcome.response is not None or outcome.status != Snapshot.Status.FAILED


def _complete(told: TokenUsage, request: CallRequest, outcome: Outcome) -> TokenUsage:
    """Estimate what the upstream did not count, or cannot have counted right."""
    is_completion = request.kind in Snapshot.COMPLETIONS
    words = sum(map(estimates.estimate_message, outcome.replies)) if is_completion else 0
    used = told
    if not used.prompt:
        rest = (told.total or 0) - (told.output or words)  # some tell the sum alone
        if rest > 0 and not is_completion:
            return told._replace(fresh=rest)
        estimate = estimates.estimate_request
        prompt = rest if rest > 0 else estimate(request.body, request.messages)
        used = used.with_prompt(prompt) if prompt or used.prompt is None else used
    if not is_completion:
        return used
    fewest = words // (BROKEN_OFF if outcome.status != Snapshot.Status.OK else WHOLE)
    if used.output is None:
        is_doubtful = words > 0 or used.estimated
    else:
        is_doubtful = used.output < fewest or (used.output == 0 and words > 0)
    return used.with_output(words) if is_doubtful else used


def estimate_usage(body: Json, replies: list[Json]) -> Json:
    """Estimate the tokens that an upstream did not count."""
    prompt = estimates.estimate_request(body)
    completion = sum(map(estimates.estimate_message, replies))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "estimated": True,
    }


def read_pictures(answer: Json, fetch: Callable[[str], bytes | None]) -> list[Json]:
    """Return the images of a reply as parts of a message.

    `fetch` gives the bytes behind the address of an image that did not come itself, or None.
    """
    items = [item for item in answer.get("data") or [] if isinstance(item, dict)]
    addresses = [_picture_address(item, fetch) for item in items]
    return [
        {"type": "image_url", "image_url": {"url": address}}
        for address in addresses
        if isinstance(address, str)
    ]


def _picture_address(item: Json, fetch: Callable[[str], bytes | None]) -> Any:
    """Return the image as a data: URL; where it cannot be had, its address or what it is."""
    encoded, url = item.get("b64_json"), item.get("url")
    if not isinstance(encoded, str) and isinstance(url, str) and (data := fetch(url)):
        encoded = base64.b64encode(data).decode()
    if isinstance(encoded, str):
        return f"data:{detect_media_type(_start(encoded))};base64,{encoded}"
    return url


def _start(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded[:32])
    except ValueError:
        return b""


def _read_cost(
    request: CallRequest, outcome: Outcome, used: TokenUsage, rates: Rates
) -> tuple[Decimal | None, str]:
    """Return what the call cost, and where that figure comes from.

    The upstream's own rates come first, then what the provider states, then list prices.
    """
    cost, source = None, CostSource.LIST
    has_rates = rates.prompt is not None or rates.completion is not None
    if used.prompt is None:
        if request.kind == Snapshot.Kind.IMAGE and outcome.status == Snapshot.Status.OK:
            cost = prices.image_cost(request.body)
    else:
        names = (outcome.served_model, rates.model, request.model)
        cost = prices.token_cost(names, used, rates)
        source = CostSource.RATES if has_rates else CostSource.LIST
        source = CostSource.ESTIMATE if used.estimated else source
    # A zero is what a server states that does not know: it does not replace a price.
    if used.stated is not None and (cost is None or (used.stated and not has_rates)):
        cost, source = used.stated, CostSource.PROVIDER
    if cost is None or cost > DEAREST:
        return None, ""
    return cost, source


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _message(said: Json) -> Json:
    return {"role": "assistant", "content": None} | said
