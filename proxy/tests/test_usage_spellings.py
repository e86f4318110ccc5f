"""What providers tell of a call's tokens, in every spelling and every wrong one. Pure."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocols.usage import TokenUsage, find_usage, merge_usage, read_usage

NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=8),
    st.sampled_from([1e999, -1, 2**31, 10**400, "900", "1e3", "1e999999", "NaN", "-5", " 7 "]),
)
NAMES = st.sampled_from(
    "prompt_tokens completion_tokens total_tokens input_tokens outputTokens cached_tokens cost"
    " prompt_tokens_details completion_tokens_details reasoning_tokens cacheReadInputTokens"
    " cache_creation cost_in_usd_ticks is_byok service_tier audio_tokens image_tokens".split()
)
ANYTHING = st.recursive(
    NUMBERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5)
)
USAGES = st.dictionaries(NAMES, ANYTHING, max_size=8)


def used(fresh, output=10, **parts):
    return TokenUsage(fresh=fresh, output=output, **parts)


ALL = {"completion_tokens": 10}
SPELLINGS = {
    "OpenAI": (
        ALL | {"prompt_tokens": 100, "total_tokens": 110, "prompt_tokens_details": None},
        used(100, total=110),
    ),
    "OpenAI, cached and written": (
        ALL
        | {
            "prompt_tokens": 100,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        },
        used(10, read=60, written=30),
    ),
    "Responses, for hours": (
        {
            "input_tokens": 100,
            "output_tokens": 10,
            "input_tokens_details": {
                "cached_tokens": 60,
                "cache_write_tokens": 30,
                "cache_write_tokens_details": {"ttl_12h_tokens": 20, "ttl_30m_tokens": 10},
            },
        },
        used(10, read=60, written=10, written_long=20),
    ),
    "Anthropic": (
        {
            "input_tokens": 3,
            "output_tokens": 10,
            "cache_read_input_tokens": 60,
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            "service_tier": "standard",
        },
        used(3, read=60, written=10, written_long=20),
    ),
    "Anthropic, small reads": (
        {"input_tokens": 300, "output_tokens": 10, "cache_read_input_tokens": 60},
        used(300, read=60),
    ),
    "Bedrock": (
        {
            "inputTokens": 3,
            "outputTokens": 10,
            "totalTokens": 103,
            "cacheReadInputTokens": 60,
            "cacheWriteInputTokens": 30,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 20}, {"ttl": "5m", "inputTokens": 10}],
        },
        used(3, read=60, written=10, written_long=20, total=103),
    ),
    "LiteLLM, both spellings": (
        ALL
        | {
            "prompt_tokens": 100,
            "total_tokens": 110,
            "cache_creation_input_tokens": 30,
            "cache_read_input_tokens": 60,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_creation_tokens": 30},
        },
        used(10, read=60, written=30, total=110),
    ),
    "an adapter that leaves the cache out of the prompt": (
        ALL | {"prompt_tokens": 3, "cache_read_input_tokens": 90},
        used(3, read=90),
    ),
    "one whose total says so": (
        ALL
        | {
            "prompt_tokens": 30,
            "total_tokens": 60,
            "prompt_tokens_details": {"cached_tokens": 20},
        },
        used(30, read=20, total=60),
    ),
    "DeepSeek": (
        ALL | {"prompt_tokens": 100, "prompt_cache_hit_tokens": 90, "prompt_cache_miss_tokens": 10},
        used(10, read=90),
    ),
    "Mistral": (ALL | {"prompt_tokens": 100, "num_cached_tokens": 90}, used(10, read=90)),
    "Moonshot": (ALL | {"prompt_tokens": 100, "cached_tokens": 90}, used(10, read=90)),
    "Qwen": (
        ALL
        | {
            "prompt_tokens": 100,
            "prompt_tokens_details": {
                "cached_tokens": 60,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 30},
            },
        },
        used(10, read=60, written=30),
    ),
    "Gemini": (
        {
            "promptTokenCount": 100,
            "candidatesTokenCount": 10,
            "thoughtsTokenCount": 40,
            "toolUsePromptTokenCount": 7,
            "cachedContentTokenCount": 60,
            "totalTokenCount": 157,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 80},
                {"modality": "AUDIO", "tokenCount": 20},
            ],
        },
        used(47, output=50, read=60, reasoning=40, audio_in=20, total=157),
    ),
    "Cohere": (
        {
            "billed_units": {"input_tokens": 90, "output_tokens": 9},
            "tokens": {"input_tokens": 100, "output_tokens": 10},
        },
        used(100),
    ),
    "Ollama": ({"prompt_eval_count": 100, "eval_count": 10}, used(100)),
    "reasoning of the completion": (
        ALL
        | {
            "prompt_tokens": 100,
            "total_tokens": 110,
            "completion_tokens_details": {"reasoning_tokens": 8},
        },
        used(100, reasoning=8, total=110),
    ),
    "reasoning beside it": (
        ALL
        | {
            "prompt_tokens": 100,
            "total_tokens": 150,
            "completion_tokens_details": {"reasoning_tokens": 40},
        },
        used(100, output=50, reasoning=40, total=150),
    ),
    "more reasoning than completion, no total": (
        ALL | {"prompt_tokens": 100, "reasoning_tokens": 40},
        used(100, output=50, reasoning=40),
    ),
    "a total that is more than its parts tell": (
        ALL | {"prompt_tokens": 100, "total_tokens": 150},
        used(100, output=50, total=150, estimated=True),
    ),
    "a total of zero": (ALL | {"prompt_tokens": 100, "total_tokens": 0}, used(100, total=0)),
    "floats and texts": (
        {"prompt_tokens": 100.0, "completion_tokens": "10", "total_tokens": "110.0"},
        used(100, total=110),
    ),
    "two names, one broken": (ALL | {"prompt_tokens": -1, "input_tokens": 100}, used(100)),
    "audio and images": (
        ALL
        | {
            "prompt_tokens": 100,
            "prompt_tokens_details": {"audio_tokens": 20, "image_tokens": 30, "text_tokens": 50},
            "completion_tokens_details": {"audio_tokens": 4, "image_tokens": 5},
        },
        used(100, audio_in=20, image_in=30, audio_out=4, image_out=5),
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_each_spelling_fills_the_same_buckets(name):
    told, meant = SPELLINGS[name]
    assert read_usage(told) == meant


@pytest.mark.parametrize(
    "wrong", [None, True, -1, 900.5, "many", "", [], {}, 2**31, 10**400, float("inf"), "NaN"]
)
def test_what_is_no_count_was_not_told(wrong):
    told = {"prompt_tokens": wrong, "completion_tokens": wrong, "total_tokens": wrong}
    assert read_usage(told) == TokenUsage()
    assert read_usage(wrong) == TokenUsage()


@pytest.mark.parametrize(
    "told",
    [
        {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 900}},
        {"prompt_tokens": 100, "prompt_tokens_details": {"audio_tokens": 900}},
        {"prompt_tokens": 100, "prompt_tokens_details": {"image_tokens": 101}},
        {"prompt_tokens": 100, "completion_tokens_details": {"audio_tokens": 900}},
        {"prompt_tokens": 100, "num_sources_used": 3},
    ],
)
def test_what_does_not_fit_or_is_billed_otherwise_has_no_list_price(told):
    read = read_usage(ALL | told)
    assert (read.prompt, read.output, read.priceable) == (100, 10, False)


@pytest.mark.parametrize(
    ("told", "dollars"),
    [
        ({"cost": 0.0123}, "0.0123"),
        ({"cost": "0.0123"}, "0.0123"),
        ({"cost": {"total_cost": 0.0123, "request_cost": 0.01}}, "0.0123"),
        ({"estimated_cost": 0.0123}, "0.0123"),
        ({"cost_in_usd_ticks": 123_000_000}, "0.0123"),
        (
            {
                "cost": 0.0003,
                "is_byok": True,
                "cost_details": {"upstream_inference_cost": 0.012},
            },
            "0.0123",
        ),
        ({"cost": 0.0003, "is_byok": True}, None),
        ({"cost": 0.0123, "currency": "CNY"}, None),
        *(({"cost": wrong}, None) for wrong in (-1, True, None, "much", 1e999, [], 10**90)),
    ],
)
def test_what_the_provider_states_in_dollars(told, dollars):
    stated = read_usage(told).stated
    assert stated == (dollars and Decimal(dollars))


@pytest.mark.parametrize(
    ("told", "around", "terms"),
    [
        ({"service_tier": "standard"}, [], ()),
        ({}, [{"service_tier": "default"}, {"service_tier": "flex"}], ()),
        ({}, [{}, {"service_tier": "auto"}], ()),
        ({}, [{"service_tier": "flex"}, {}], (("service_tier", "flex"),)),
        (
            {},
            [{"service_tier": None}, {"service_tier": "priority"}],
            (("service_tier", "priority"),),
        ),
        ({"service_tier": "batch"}, [], (("processing", "batch"),)),
        ({"speed": "fast"}, [], (("speed", "fast"),)),
        ({"inference_geo": "us"}, [], (("inference_geo", "us"),)),
    ],
)
def test_terms_are_told_by_usage_then_by_the_answer_then_by_the_request(told, around, terms):
    assert read_usage(told, *around).terms == terms


@given(USAGES | ANYTHING)
def test_nothing_that_an_upstream_tells_is_too_odd(told):
    read = read_usage(told)
    for count in (read.prompt, read.output):
        assert count is None or (type(count) is int and 0 <= count < 2**31)
    assert read.stated is None or (read.stated.is_finite() and read.stated >= 0)
    assert min(read.read, read.written, read.written_long, read.fresh or 0) >= 0
    merge_usage(told if isinstance(told, dict) else None, told)


# While it streams ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "meant"),
    [
        ([{"prompt_tokens": 900, "completion_tokens": 1}, {"completion_tokens": 333}], (900, 333)),
        ([{"prompt_tokens": 900, "completion_tokens": 333}, {"prompt_tokens": 0}], (900, 333)),
        ([{"completion_tokens": 333}, {"completion_tokens": 0, "prompt_tokens": 900}], (900, 333)),
        ([{"input_tokens": 900, "output_tokens": 1}, {"output_tokens": 333}], (900, 333)),
        ([{"prompt_tokens": 900}, None, [], "x", 7, {}, {"completion_tokens": "333"}], (900, 333)),
        ([{"prompt_tokens": 900, "completion_tokens": 333}, {"prompt_tokens": None}], (900, 333)),
        ([{"prompt_tokens": "?", "completion_tokens": 333}, {"prompt_tokens": 900}], (900, 333)),
    ],
)
def test_of_several_usages_the_largest_counts_field_by_field(events, meant):
    whole = None
    for event in events:
        whole = merge_usage(whole, event)
    read = read_usage(whole)
    assert (read.prompt, read.output) == meant


def test_details_are_merged_too_and_no_event_is_changed():
    first = {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5}, "service_tier": "x"}
    second = {"prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 2}, "service_tier": ""}
    merged = merge_usage(first, second)
    assert merged["prompt_tokens_details"] == {"cached_tokens": 5, "audio_tokens": 2}
    assert merged["service_tier"] == "x"
    assert first["prompt_tokens_details"] == {"cached_tokens": 5}
    assert merge_usage(merged, {"prompt_tokens_details": None}) == merged
    assert merge_usage(None, {}) is None


@given(st.lists(USAGES, max_size=5))
def test_in_whatever_order_usages_come_their_counts_are_the_same(events):
    def read(parts):
        whole = None
        for part in parts:
            whole = merge_usage(whole, part)
        return [read_usage(whole).prompt, read_usage(whole).output]

    counts = [
        {name: value for name, value in event.items() if isinstance(value, int)} for event in events
    ]
    assert read(counts) == read(reversed(counts))


@pytest.mark.parametrize(
    "event",
    [
        {"usage": {"prompt_tokens": 1}},
        {"usageMetadata": {"prompt_tokens": 1}},
        {"usage": None, "x_groq": {"id": "r", "usage": {"prompt_tokens": 1}}},
        {"choices": [{"index": 0, "delta": {}, "usage": {"prompt_tokens": 1}}]},
    ],
)
def test_usage_is_found_wherever_an_event_has_it(event):
    assert find_usage(event) == {"prompt_tokens": 1}


@pytest.mark.parametrize(
    "event", [None, [], "x", {}, {"usage": []}, {"choices": [None]}, {"choices": {}, "x_groq": 1}]
)
def test_an_event_without_usage_has_none(event):
    assert find_usage(event) is None
