"""What the tokens of a call cost by the lists, and where there is no figure. Pure.

The figures are those that the makers publish, at the time of this version of the list.
"""

from decimal import Decimal

import pytest
from genai_prices.data_snapshot import get_snapshot

from proxy import prices
from proxy.prices import Rates, token_cost
from proxy.protocols.usage import TokenUsage

NOON = 1_795_867_200  # 2026-11-28, UTC: one maker's prices are lower at night


@pytest.fixture(autouse=True)
def noon(monkeypatch):
    monkeypatch.setattr(prices.time, "time", lambda: NOON)


def used(fresh=1000, output=1000, **parts):
    return TokenUsage(fresh=fresh, output=output, **parts)


FLEX, PRIORITY, BATCH = (
    ("service_tier", "flex"),
    ("service_tier", "priority"),
    ("processing", "batch"),
)
FIGURES = [
    ("gpt-4o", used(), "0.0125"),
    ("gpt-4o", used(0, read=1000), "0.01125"),
    ("gpt-4o", used(image_in=900), "0.0125"),  # a picture's tokens are as any other of this maker
    ("deepseek-chat", used(1000, 10, read=9000), "0.000911"),
    # written to a cache: for five minutes a quarter more, for an hour twice as much
    ("claude-sonnet-4-5", used(1000, 10, written=9000), "0.0369"),
    ("claude-sonnet-4-5", used(1000, 10, written_long=9000), "0.05715"),
    # one tier higher for the whole call, whichever bucket its prompt is in
    ("gemini-2.5-pro", used(200_000), "0.26"),
    ("gemini-2.5-pro", used(300_000), "0.765"),
    ("gemini-2.5-pro", used(100_000, read=200_000), "0.315"),
    ("claude-sonnet-4-5", used(300_000), "1.8225"),
    ("claude-sonnet-4-5", used(100_000, written=200_000), "2.1225"),
    # by other terms
    ("gpt-5", used(10_000), "0.0225"),
    ("gpt-5", used(10_000, terms=(FLEX,)), "0.01125"),
    ("gpt-5", used(10_000, terms=(PRIORITY,)), "0.045"),
    ("gpt-5", used(10_000, terms=(BATCH,)), "0.01125"),
    ("gpt-4o", used(terms=(PRIORITY,)), "0.02125"),
    ("claude-opus-5", used(terms=(("speed", "fast"),)), "0.06"),
    # reasoning is output, at its price
    ("grok-3-mini", used(12, 319, reasoning=317), "0.0001631"),
    ("gpt-4o-realtime-preview", used(1000, 500, audio_in=900, audio_out=400), "0.0705"),
    ("gpt-image-1", used(1000, 4000, image_in=900), "0.1695"),
    ("gpt-image-1", used(1000, 4000, image_out=4000), "0.165"),
    ("gemini-2.5-flash-image", used(1000, 1290, image_out=1290), "0.039"),
    ("claude-sonnet-4-5", used(searches=3), "0.048"),
    ("text-embedding-3-small", TokenUsage(fresh=1_000_000), "0.02"),
]
NONE = [
    ("my-deployment", used()),
    ("", used()),
    ("gpt-4o-audio-preview", used(audio_in=900)),
    ("gpt-4o-audio-preview", used(audio_out=400)),
    ("gpt-4o", used(image_out=400)),
    ("gpt-4o-realtime-preview", used(100, read=900, audio_in=900)),  # whose were the cached ones?
    ("gpt-4o", used(written=1000)),
    ("gpt-5.6-sol", used(written_long=1000)),
    ("gpt-4o", used(terms=(FLEX,))),
    ("gpt-5", used(terms=(FLEX, ("speed", "fast")))),
    ("claude-sonnet-4-5", used(terms=(PRIORITY,))),
    ("claude-sonnet-4-5", used(terms=(("inference_geo", "us"),))),
    ("gpt-5", used(terms=(("service_tier", "scale"),))),
    ("gpt-4o", used(priceable=False)),
    ("gpt-4o", used(output=10, audio_out=8, reasoning=8)),
    ("deepseek-chat", used(searches=3)),
    ("gemma-3-27b-it", used()),
    ("text-embedding-3-small", used()),  # has no price of output
    ("gpt-4o" + "x" * 400, used()),
]


@pytest.mark.parametrize(("model", "usage", "dollars"), FIGURES)
def test_a_call_costs_what_the_list_says_of_each_of_its_buckets(model, usage, dollars):
    assert token_cost([model], usage) == Decimal(dollars)


@pytest.mark.parametrize(("model", "usage"), NONE)
def test_there_is_no_figure_rather_than_a_wrong_one(model, usage):
    assert token_cost([model], usage) is None


NAMES = {
    "openai/gpt-4o": "gpt-4o",
    "azure/gpt-4o-2024-08-06": "gpt-4o",
    "GPT-4o": "gpt-4o",
    "anthropic/claude-sonnet-4.5": "claude-sonnet-4-5",
    "google/gemini-2.5-pro": "gemini-2.5-pro",
    "gemini/gemini-2.5-pro": "gemini-2.5-pro",
    "vertex_ai/gemini-2.5-pro": "gemini-2.5-pro",
    "models/gemini-2.5-pro": "gemini-2.5-pro",
    "x-ai/grok-3-mini": "grok-3-mini",
    "deepseek/deepseek-chat": "deepseek-chat",
    "openrouter/openai/gpt-4o": "openai/gpt-4o",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": (
        "regional.anthropic.claude-sonnet-4-5-20250929-v1:0"
    ),
    "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0": (
        "regional.anthropic.claude-sonnet-4-5-20250929-v1:0"
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_known_by_the_names_that_others_give_it(name):
    assert prices.find_table_name(name) == NAMES[name]
    assert token_cost([name], used()) is not None


@pytest.mark.parametrize(
    "name",
    [
        "openai/gpt-oss-120b",
        "google/gemma-3-27b-it",
        "mistralai/Mistral-Large-Instruct-2411",
        "meta-llama/Llama-3.3-70B-Instruct",
        "deepseek-ai/DeepSeek-V3",
        "google/gemini-2.5-pro:free",
        "nobody/gpt-4o",
        "gpt-4o/openai",
        "/",
        "openai/",
    ],
)
def test_weights_that_anyone_may_run_and_unknown_makers_have_no_price(name):
    assert token_cost([name], used()) is None


def test_the_first_name_that_is_listed_counts():
    assert token_cost(["", "m", "gpt-4o", "gpt-5"], used()) == Decimal("0.0125")
    assert token_cost(["gpt-4o", "gpt-5"], used(terms=(FLEX,))) is None


@pytest.mark.parametrize(
    ("rates", "usage", "dollars"),
    [
        (Rates("", Decimal("0.1"), Decimal("0.2")), used(1, 1), "0.3"),
        (Rates("", Decimal("0.1"), Decimal("0.2")), used(1, 1, read=5, written_long=4), "1.2"),
        (Rates("", Decimal("0.1"), Decimal("0.2")), used(1, 1, terms=(FLEX,), audio_in=1), "0.3"),
        (Rates("", Decimal("0.1"), Decimal("0.2")), used(1, 1, priceable=False), "0.3"),
        (Rates("", Decimal(0), Decimal(0)), used(), "0"),
        (Rates("", Decimal("0.1"), None), used(1, 1000), "0.11"),
        (Rates("", None, Decimal("0.2")), used(1000, 1), "0.2025"),
    ],
)
def test_an_upstreams_own_rates_come_first_and_are_for_every_token(rates, usage, dollars):
    assert token_cost(["gpt-4o"], usage, rates) == Decimal(dollars)


def test_half_a_rate_and_no_list_make_no_figure():
    assert token_cost(["my-deployment"], used(), Rates("", Decimal("0.1"), None)) is None


@pytest.mark.parametrize(
    "usage",
    [
        used(),
        used(300_000, 2000),
        used(0, 5, read=7),
        used(11, 100, read=7, reasoning=60),
        used(250_000, 0, read=50_000),
    ],
)
@pytest.mark.parametrize(
    "model", ["gpt-4o", "gpt-5", "gemini-2.5-pro", "claude-sonnet-4-5", "grok-3-mini", "o3"]
)
def test_the_figure_is_the_one_of_the_library(model, usage):
    """For what it prices too. It takes 300 µs a call, ours a tenth."""
    from datetime import UTC, datetime

    from genai_prices import Usage, calc_price

    theirs = calc_price(
        Usage(
            input_tokens=usage.prompt,
            cache_read_tokens=usage.read,
            output_tokens=usage.output,
        ),
        model,
        genai_request_timestamp=datetime.fromtimestamp(NOON, UTC),
    )
    assert token_cost([model], usage) == theirs.total_price


def test_names_of_callers_are_not_kept_for_ever():
    snapshot = get_snapshot()
    kept = len(snapshot._lookup_cache) + len(snapshot._provider_cache)
    missed = len(snapshot._provider_misses)
    for number in range(3000):
        assert token_cost([f"name-{number}"], used()) is None
    assert len(snapshot._lookup_cache) + len(snapshot._provider_cache) == kept
    assert len(snapshot._provider_misses) == missed
    assert prices._find_model.cache_info().currsize <= 1000


def test_a_price_that_changes_at_night_is_read_anew(monkeypatch):
    by_day = token_cost(["deepseek-chat"], used())
    monkeypatch.setattr(prices.time, "time", lambda: NOON + 8 * 3600)
    assert token_cost(["deepseek-chat"], used()) < by_day
