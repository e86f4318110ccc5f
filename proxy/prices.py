"""What a call costs, in US dollars. List prices; None where nobody publishes one."""

from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from genai_prices import Usage, calc_price
from genai_prices.types import PriceCalculation

from conversations.shape import Json

COUNTS = {text for n in range(1, 11) for text in (f"{n}", f"{n}.0")}
# An image of the reference system's model, by size.
IMAGE = {"1024x1024": Decimal("0.020"), "512x512": Decimal("0.018"), "256x256": Decimal("0.016")}


class Rates(NamedTuple):
    """What an admin says of a model at an upstream: its name there, and prices of a token that come before the list's."""

    model: str = ""
    prompt: Decimal | None = None
    completion: Decimal | None = None


def token_cost(
    model: str, prompt: int, completion: int, cached: int = 0, rates: Rates | None = None
) -> Decimal | None:
    each = _per_token((rates and rates.model) or model, 100_000 if prompt > 100_000 else 1000)
    fresh, read, written = each[:3] if each else (None, None, None)
    if rates and rates.prompt is not None:
        fresh = read = rates.prompt
    if rates and rates.completion is not None:
        written = rates.completion
    if fresh is None or read is None or written is None:
        return None
    cached = min(cached, prompt)
    return (prompt - cached) * fresh + cached * read + completion * written


def known(model: str) -> str:
    """The table's own name for it: one of some hundred, never a caller's words."""
    each = _per_token(model, 1000)
    return each[3] if each else "other"


def image_cost(body: Json) -> Decimal | None:
    """None where the model, the size or the number has no price in the table."""
    model, size, count = body.get("model"), body.get("size", "1024x1024"), body.get("n", 1)
    known = model in (None, "dall-e-2") and isinstance(size, str) and size in IMAGE
    counted = str(count) in COUNTS  # also 2.0, and the "2" of a form
    return IMAGE[size] * int(float(count)) if known and counted else None


@lru_cache(maxsize=1000)
def _per_token(model: str, size: int) -> tuple[Decimal, Decimal, Decimal, str] | None:
    """Prices of a fresh, a cached and a written token, and the table's name of the model.

    Looked up once: a look-up costs more than the rest of the close."""

    for provider in (
        None,
        "openai",
    ):  # a model's name tells its maker; some names only their maker knows

        def found(provider: str | None = provider, **tokens: int) -> PriceCalculation:
            return calc_price(Usage(**tokens), model_ref=model, provider_id=provider)

        try:
            fresh, read, written = (
                found(input_tokens=size),
                found(input_tokens=size, cache_read_tokens=size),
                found(output_tokens=size),
            )
            return (
                fresh.total_price / size,
                read.total_price / size,
                written.total_price / size,
                fresh.model.id,
            )
        except LookupError:
            continue
    return None
