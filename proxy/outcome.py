"""How a call ended, from the JSON of its upstream. Pure."""

import base64
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from conversations.models import Snapshot
from conversations.record import CallRequest, Outcome, threads
from conversations.record.attachments import detect_media_type
from conversations.record.calls import estimate_tokens
from conversations.shape import Json

from . import prices
from .prices import Rates

# US dollars that a snapshot's column holds: an upstream may claim any number of tokens.
DEAREST = Decimal(999_999)


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
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    outcome.estimated = usage.get("estimated") is True
    if _count(usage, "prompt_tokens", "input_tokens") is None and _is_countable(request, outcome):
        outcome.estimated = True
        messages = request.messages or request.body.get("messages")
        usage = estimate_usage(
            messages or [{"content": _input_text(request.body)}], outcome.replies
        )
    outcome.prompt_tokens = _count(usage, "prompt_tokens", "input_tokens")
    outcome.completion_tokens = _count(usage, "completion_tokens", "output_tokens")
    cost = _cost(request, outcome, usage, rates)
    outcome.cost = None if cost is None else min(cost, DEAREST)
    return outcome


def _read_replies(
    outcome: Outcome, request: CallRequest, answer: Json, pictures: list[Json] | None
) -> None:
    if request.kind in Snapshot.COMPLETIONS:
        choices = [choice for choice in answer.get("choices") or [] if isinstance(choice, dict)]
        outcome.replies = [_message(choice.get("message")) for choice in choices]
        outcome.finish_reason = _text(choices[0].get("finish_reason")) if choices else ""
        if answer:
            outcome.response = answer | {"choices": choices}
    elif request.kind == Snapshot.Kind.IMAGE and pictures:
        outcome.replies = [{"role": "assistant", "content": pictures}]
    elif request.kind == Snapshot.Kind.EMBEDDING and answer:
        items = [threads.drop_key(item, "embedding") for item in answer.get("data") or []]
        outcome.response = answer | {"data": items}


def _is_countable(request: CallRequest, outcome: Outcome) -> bool:
    """Return whether tokens may be estimated: a model has read the request, and it is text."""
    if request.kind == Snapshot.Kind.IMAGE or outcome.status == Snapshot.Status.REFUSED:
        return False
    return outcome.response is not None or outcome.status != Snapshot.Status.FAILED


def estimate_usage(messages: list[Json], replies: list[Json]) -> Json:
    """Estimate the tokens that an upstream did not count."""
    prompt = estimate_tokens("".join(map(threads.extract_searchable_text, messages)))
    completion = sum(estimate_tokens(threads.extract_searchable_text(reply)) for reply in replies)
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


def _cost(
    request: CallRequest, outcome: Outcome, usage: Json, rates: Rates | None
) -> Decimal | None:
    if request.kind == Snapshot.Kind.IMAGE and outcome.status == Snapshot.Status.OK:
        listed = prices.image_cost(request.body)
        if listed is not None:
            return listed
    if outcome.prompt_tokens is None:
        return None
    details = usage.get("prompt_tokens_details")
    cached = _count(details, "cached_tokens") if isinstance(details, dict) else None
    completion = outcome.completion_tokens or 0
    return prices.token_cost(request.model, outcome.prompt_tokens, completion, cached or 0, rates)


def _count(usage: Json, *names: str) -> int | None:
    """Return a token count that fits its column; an upstream may send anything."""
    value = next((usage[name] for name in names if usage.get(name) is not None), None)
    return value if type(value) is int and 0 <= value < 2**31 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _message(value: Any) -> Json:
    message: Json = {"role": "assistant", "content": None}
    return message | value if isinstance(value, dict) else message


def _input_text(body: Json) -> str:
    """Return the text of an embedding's input."""
    value = body.get("input")
    parts = value if isinstance(value, list) else [value]
    return "".join(part for part in parts if isinstance(part, str))
