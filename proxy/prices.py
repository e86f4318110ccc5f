"""What a call costs, in US dollars: list prices, or None where none is published."""

from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from genai_prices import Usage, calc_price
from genai_prices.types import PriceCalculation

from conversations.shape import Json

# Of images: as a number, or as the text of a form.
COUNTS = {text for n in range(1, 11) for text in (f"{n}", f"{n}.0")}
# An image of the reference system's model, by size.
IMAGE = {"1024x1024": Decimal("0.020"), "512x512": Decimal("0.018"), "256x256": Decimal("0.016")}


class Rates(NamedTuple):
    """An upstream's name for a model, and an admin's prices of a token, before list prices."""

    model: str = ""
    prompt: Decimal | None = None
    completion: Decimal | None = None


def token_cost(
    model: str, prompt: int, completion: int, cached: int = 0, rates: Rates | None = None
) -> Decimal | None:
    rates = rates or Rates()
    listed = _find_prices(rates.model or model, 100_000 if prompt > 100_000 else 1000)
    fresh, cached_price = (listed.fresh, listed.cached) if listed else (None, None)
    if rates.prompt is not None:
        fresh = cached_price = rates.prompt
    written = listed.written if listed else None
    if rates.completion is not None:
        written = rates.completion
    if fresh is None or cached_price is None or written is None:
        return None
    cached = min(cached, prompt)
    return (prompt - cached) * fresh + cached * cached_price + completion * written


def find_table_name(model: str) -> str:
    """Return the table's own name for it: one of some hundred, never a caller's words."""
    listed = _find_prices(model, 1000)
    return listed.model if listed else "other"


def image_cost(body: Json) -> Decimal | None:
    """Return None where the model, the size or the number has no price in the table."""
    size, count = body.get("size", "1024x1024"), body.get("n", 1)
    if body.get("model") not in (None, "dall-e-2") or str(count) not in COUNTS:
        return None
    if not isinstance(size, str) or size not in IMAGE:
        return None
    return IMAGE[size] * int(float(count))


class _Prices(NamedTuple):
    """List prices of one token."""

    fresh: Decimal
    cached: Decimal
    written: Decimal
    model: str  # the table's name


@lru_cache(maxsize=1000)
def _find_prices(model: str, size: int) -> _Prices | None:
    """Look them up once: a look-up costs more than the rest of the close."""
    for provider in (None, "openai"):  # most names tell their maker
        with suppress(LookupError):
            return _read_prices(model, provider, size)
    return None


def _read_prices(model: str, provider: str | None, size: int) -> _Prices:
    """Read the prices of a call of so many tokens. Raises LookupError."""

    def price(**tokens: int) -> PriceCalculation:
        return calc_price(Usage(**tokens), model_ref=model, provider_id=provider)

    fresh = price(input_tokens=size)
    cached = price(input_tokens=size, cache_read_tokens=size)
    written = price(output_tokens=size)
    return _Prices(
        fresh.total_price / size,
        cached.total_price / size,
        written.total_price / size,
        fresh.model.id,
    )
