"""What a reply amounts to: the upstream's JSON → how the call ended. Pure."""

import base64
from decimal import Decimal
from typing import Any

from conversations.models import Snapshot
from conversations.record import CallRequest, Outcome, threads
from conversations.record.attachments import detect_media_type
from conversations.record.calls import estimate_tokens
from conversations.shape import Json

from . import prices
from .prices import Rates

DEAREST = Decimal(
    999_999
)  # US dollars that a snapshot's column holds: an upstream may claim any number of tokens


def read_outcome(
    asked: CallRequest,
    answer: Json | None,
    status: str,
    pictures: list[Json] | None = None,
    rates: Rates | None = None,
) -> Outcome:
    """`answer` is a completion (also one that a stream amounts to so far), a list of images, or one of embeddings; `rates` come before list prices."""
    answer = answer or {}
    usage = answer.get("usage") if isinstance(answer.get("usage"), dict) else {}
    assert usage is not None
    prompt, completion = (
        _count(usage, "prompt_tokens", "input_tokens"),
        _count(usage, "completion_tokens", "output_tokens"),
    )
    outcome = Outcome(
        status=status,
        response=answer or None,
        served_model=_text(answer.get("model")),
        upstream_id=_text(answer.get("id")),
    )
    if asked.kind in Snapshot.COMPLETIONS:
        choices = [choice for choice in answer.get("choices") or [] if isinstance(choice, dict)]
        outcome.replies = [_message(choice.get("message")) for choice in choices]
        outcome.finish_reason = _text(choices[0].get("finish_reason")) if choices else ""
        if outcome.response is not None:
            outcome.response = answer | {"choices": choices}
    elif asked.kind == Snapshot.Kind.IMAGE and pictures:
        outcome.replies = [{"role": "assistant", "content": pictures}]
    elif asked.kind == Snapshot.Kind.EMBEDDING and answer:
        outcome.response = answer | {
            "data": [_without_vector(item) for item in answer.get("data") or []]
        }
    outcome.estimated = usage.get("estimated") is True
    if (
        prompt is None
        and status != Snapshot.Status.REFUSED
        and (answer or status != Snapshot.Status.FAILED)
        and asked.kind != Snapshot.Kind.IMAGE
    ):
        outcome.estimated = True
        usage = estimate_usage(
            asked.messages or asked.body.get("messages") or [{"content": _input(asked.body)}],
            outcome.replies,
        )
        prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    outcome.prompt_tokens, outcome.completion_tokens = prompt, completion
    cost = _cost(asked, usage, prompt, completion or 0, status, rates)
    outcome.cost = None if cost is None else min(cost, DEAREST)
    return outcome


def estimate_usage(messages: list[Json], replies: list[Json]) -> Json:
    """Usage that nobody counted."""
    prompt, completion = (
        estimate_tokens("".join(map(threads.searchable_text, messages))),
        sum(estimate_tokens(threads.searchable_text(reply)) for reply in replies),
    )
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "estimated": True,
    }


def picture_parts(answer: Json, fetch) -> list[Json]:
    """The images of a reply as parts of a message; `fetch(url)` gives the bytes of one that is only named, or None."""
    parts = []
    for item in answer.get("data") or []:
        encoded, url = (
            (item.get("b64_json"), item.get("url")) if isinstance(item, dict) else (None, None)
        )
        if not isinstance(encoded, str) and isinstance(url, str) and (data := fetch(url)):
            encoded = base64.b64encode(data).decode()
        if isinstance(encoded, str):
            url = f"data:{detect_media_type(_start(encoded))};base64,{encoded}"
        if isinstance(url, str):
            parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts


def _start(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded[:32])
    except ValueError:
        return b""


def _cost(
    asked: CallRequest,
    usage: Json,
    prompt: int | None,
    completion: int,
    status: str,
    rates: Rates | None,
) -> Decimal | None:
    listed = (
        prices.image_cost(asked.body)
        if asked.kind == Snapshot.Kind.IMAGE and status == Snapshot.Status.OK
        else None
    )
    if listed is not None:
        return listed
    if prompt is None:
        return None
    details = usage.get("prompt_tokens_details")
    cached = _count(details, "cached_tokens") if isinstance(details, dict) else None
    return prices.token_cost(asked.model, prompt, completion, cached or 0, rates)


def _count(usage: Json, *names: str) -> int | None:
    """A token count that fits its column; an upstream may send anything."""
    value = next((usage[name] for name in names if usage.get(name) is not None), None)
    return value if type(value) is int and 0 <= value < 2**31 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _message(value: Any) -> Json:
    return (
        {"role": "assistant", "content": None} | value
        if isinstance(value, dict)
        else {"role": "assistant", "content": None}
    )


def _without_vector(item: Any) -> Any:
    return threads.without(item, "embedding")


def _input(body: Json) -> str:
    asked = body.get("input")
    return "".join(
        part for part in (asked if isinstance(asked, list) else [asked]) if isinstance(part, str)
    )
