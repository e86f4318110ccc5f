"""What a call costs, in US dollars: list prices, or None where none is published.

No figure rather than a wrong one: a kind of token that has no price of its own, or terms that the
list does not know, leave the whole call without one.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, Provider, TieredPrices

from conversations.shape import Json

from .protocols.usage import TokenUsage

# Of images: as a number, or as the text of a form.
COUNTS = {text for n in range(1, 11) for text in (f"{n}", f"{n}.0")}
# An image of the reference system's model, by size.
IMAGE = {"1024x1024": Decimal("0.020"), "512x512": Decimal("0.018"), "256x256": Decimal("0.016")}
NOTHING = Decimal(0)
MILLION = 1_000_000  # tokens that list prices are for
PERIOD = 900  # seconds that list prices are kept: some are others at night, or from a day on
LONGEST = 300  # characters of a name that is looked up
# Who hosts `vendor/model`, as OpenRouter and LiteLLM write it. Not those under whose name anyone
# can run the weights: what Hugging Face calls meta-llama/… or mistralai/… may cost nothing here.
VENDORS = {
    "anthropic": "anthropic",
    "azure": "azure",
    "bedrock": "aws",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "gemini": "google",
    "google": "google",
    "groq": "groq",
    "mistral": "mistral",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together_ai": "together",
    "vertex_ai": "google",
    "x-ai": "x-ai",
    "xai": "x-ai",
}
OPEN_WEIGHTS = ("gpt-oss", "gemma")
FREE = ":free"  # OpenRouter's name for a model that costs nothing, with limits
# Bedrock's names for models of others, with a region before some.
MAKERS = ("anthropic.", "meta.", "mistral.", "cohere.", "amazon.", "openai.", "deepseek.")
Terms = tuple[tuple[str, str], ...]


class Rates(NamedTuple):
    """An upstream's name for a model, and an admin's prices of a token, before list prices."""

    model: str = ""
    prompt: Decimal | None = None
    completion: Decimal | None = None


def token_cost(
    models: Iterable[str], usage: TokenUsage, rates: Rates | None = None
) -> Decimal | None:
    """Price the tokens of a call.

    The first of these names that a list knows counts; the upstream's own rates come before it. They
    are for every token, however it came or by which terms.
    """
    rates = rates or Rates()
    prompt, output = usage.prompt or 0, usage.output or 0
    if rates.prompt is not None and rates.completion is not None:
        return prompt * rates.prompt + output * rates.completion
    listed = _find_first(models, usage)
    if listed is None or not usage.priceable:
        return None
    prompt_cost = _prompt_cost(usage, listed)
    output_cost = _output_cost(usage, listed)
    if rates.prompt is not None:
        prompt_cost = prompt * rates.prompt * MILLION
    if rates.completion is not None:
        output_cost = output * rates.completion * MILLION
    searches = listed.price(usage.searches * 1000, "web_searches_kcount")
    request = (listed.find("requests_kcount") or NOTHING) * 1000
    cost = _add(prompt_cost, output_cost, searches, request)
    return None if cost is None else cost / MILLION


def find_table_name(model: str) -> str:
    """Return the table's own name for it: one of some hundred, never a caller's words."""
    listed = _find_model(model)
    return listed.id if listed else "other"


def image_cost(body: Json) -> Decimal | None:
    """Return None where the model, the size or the number has no price in the table."""
    size, count = body.get("size", "1024x1024"), body.get("n", 1)
    if body.get("model") not in (None, "dall-e-2") or str(count) not in COUNTS:
        return None
    if not isinstance(size, str) or size not in IMAGE:
        return None
    return IMAGE[size] * int(float(count))


class _Listed(NamedTuple):
    """The list prices of a million tokens, for prompts of one size: some rise with it."""

    prices: Mapping[str, Decimal | TieredPrices]
    size: int

    def price(self, count: int, *names: str) -> Decimal | None:
        """Price so many tokens by the first of these prices that the list has.

        None where it has none, or their parts are more than the whole.
        """
        if count == 0:
            return NOTHING
        price = self.find(*names)
        return None if price is None or count < 0 else count * price

    def find(self, *names: str) -> Decimal | None:
        for name in names:
            price = self.prices.get(name)
            if price is not None:
                return self._at_size(price)
        return None

    def _at_size(self, price: Decimal | TieredPrices) -> Decimal:
        if not isinstance(price, TieredPrices):
            return price
        reached = [tier.price for tier in price.tiers if self.size > tier.start]
        return reached[-1] if reached else price.base


def _prompt_cost(usage: TokenUsage, listed: _Listed) -> Decimal | None:
    """Price the prompt, in millionths of a dollar."""
    # Where a list has no price of images, they are as any other token.
    images = usage.image_in if "input_image_mtok" in listed.prices else 0
    apart = usage.audio_in + images
    if apart and usage.fresh != usage.prompt:
        return None  # it is not told which of them came from a cache
    return _add(
        listed.price((usage.fresh or 0) - apart, "input_mtok"),
        listed.price(usage.read, "cache_read_mtok", "input_mtok"),
        listed.price(usage.written, "cache_write_mtok"),
        listed.price(usage.written_long, "cache_write_1h_mtok"),
        listed.price(usage.audio_in, "input_audio_mtok"),
        listed.price(images, "input_image_mtok"),
    )


def _output_cost(usage: TokenUsage, listed: _Listed) -> Decimal | None:
    of_images = ["output_image_mtok"]
    if "input_image_mtok" in listed.prices:
        of_images.append("output_mtok")  # of a model that makes nothing but images
    apart = usage.reasoning + usage.audio_out + usage.image_out
    return _add(
        listed.price((usage.output or 0) - apart, "output_mtok"),
        listed.price(usage.reasoning, "output_reasoning_mtok", "output_mtok"),
        listed.price(usage.audio_out, "output_audio_mtok"),
        listed.price(usage.image_out, *of_images),
    )


def _add(*costs: Decimal | None) -> Decimal | None:
    total = NOTHING
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total


# The list -----------------------------------------------------------------------------------------


def _find_first(names: Iterable[str], usage: TokenUsage) -> _Listed | None:
    """Find the prices of the first of these models that is listed."""
    for name in names:
        if name and _find_model(name):
            prices = _find_prices(name, usage.terms, int(time.time()) // PERIOD)
            return None if prices is None else _Listed(prices, usage.prompt or 0)
    return None


@lru_cache(maxsize=1000)
def _find_prices(
    name: str, terms: Terms, period: int
) -> Mapping[str, Decimal | TieredPrices] | None:
    """Read them once a period: that costs more than the rest of a close."""
    model, now = _find_model(name), datetime.fromtimestamp(period * PERIOD, UTC)
    assert model
    for term in terms:
        variants = (each for each in model.price_variants or () if each.when == dict([term]))
        if not any(each.constraint is None or each.constraint.active(now) for each in variants):
            return None
    prices = vars(model.get_prices(now, dict(terms)))
    return {name: price for name, price in prices.items() if price is not None}


@lru_cache(maxsize=1000)
def _find_model(name: str) -> ModelInfo | None:
    """Find a model by its name at any provider. The library's own look-up keeps every miss."""
    providers = get_snapshot().providers
    for provider, known_as in _find_places(name.strip().lower()):
        if model := provider.find_model(known_as, all_providers=providers):
            return model
    return None


def _find_places(name: str) -> Iterator[tuple[Provider, str]]:
    """Yield where a model of this name may be listed, and its name there."""
    if len(name) > LONGEST or name.endswith(FREE):
        return
    providers = {provider.id: provider for provider in get_snapshot().providers}
    name = name.removeprefix("models/")  # Gemini's
    for provider in providers.values():  # most names tell their maker
        if provider.model_match is not None and provider.model_match.is_match(name):
            yield provider, name
            break
    yield providers["openai"], name
    if any(maker in name for maker in MAKERS):
        yield providers["aws"], name
    vendor = VENDORS.get(name.partition("/")[0])
    known_as = name.partition("/")[2]
    if vendor and not known_as.startswith(OPEN_WEIGHTS):
        yield providers[vendor], known_as
