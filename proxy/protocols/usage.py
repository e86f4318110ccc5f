"""What a call used, in one shape, whatever its upstream calls it. Pure; takes anything.

A token is in one bucket with one price: fresh, read (from a cache), written (into one, for minutes)
or written_long (for hours) of the prompt; output. Reasoning, audio and images are parts of those. A
number that is no count (negative, broken, a boolean, beyond 2³¹) is as if it had not been told.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from conversations.shape import Json

LARGEST = 2**31  # what a column holds, and more than any model reads
DEEPEST = 4  # levels of details
# By bucket, the names that providers give it. Dots lead into details; names in camelCase are
# listed in snake_case; entries of a list stand under what they are of (their modality, their time).
SPELLINGS = {
    "prompt": (
        "prompt_tokens",  # OpenAI's chat, and most; Vercel in camelCase
        "input_tokens",  # Responses, Anthropic, Bedrock
        "prompt_token_count",  # Gemini
        "prompt_eval_count",  # Ollama
        "tokens.input_tokens",  # Cohere
        "billed_units.input_tokens",
    ),
    "output": (
        "completion_tokens",
        "output_tokens",
        "candidates_token_count",
        "eval_count",
        "tokens.output_tokens",
        "billed_units.output_tokens",
    ),
    "total": ("total_tokens", "total_token_count"),
    "read": (
        "prompt_tokens_details.cached_tokens",
        "input_tokens_details.cached_tokens",
        "input_token_details.cached_tokens",  # realtime
        "prompt_tokens_details.cache_read_tokens",
        "prompt_tokens_details.cache_read_input_tokens",
        "input_tokens_details.cache_read_input_tokens",  # Perplexity
        "input_token_details.cache_read",  # LangChain
        "prompt_cache_hit_tokens",  # DeepSeek
        "cached_tokens",  # Moonshot, Cohere
        "num_cached_tokens",  # Mistral
        "prompt_token_details.cached_tokens",
        "cached_input_tokens",  # Vercel
        "cached_prompt_text_tokens",  # xAI, once
        "cached_content_token_count",  # Gemini
        "cache_read_input_tokens",  # Anthropic, Bedrock, LiteLLM, Databricks
        "cache_read_input_token_count",  # Bedrock, once
        "cache_read_tokens",
    ),
    "written": (
        "prompt_tokens_details.cache_write_tokens",  # OpenAI, OpenRouter
        "input_tokens_details.cache_write_tokens",
        "prompt_tokens_details.cache_creation_tokens",  # LiteLLM
        "prompt_tokens_details.cached_creation_tokens",  # new-api
        "prompt_tokens_details.cache_creation_input_tokens",  # Qwen
        "input_tokens_details.cache_creation_input_tokens",
        "input_token_details.cache_creation",  # LangChain
        "cache_creation_input_tokens",  # Anthropic, LiteLLM
        "cache_write_input_tokens",  # Bedrock
        "cache_write_input_token_count",
        "cache_creation_tokens",
        "cache_write_tokens",
    ),
    "written_short": (
        "cache_creation.ephemeral_5m_input_tokens",  # Anthropic
        "prompt_tokens_details.cache_creation.ephemeral_5m_input_tokens",  # Qwen
        "prompt_tokens_details.cache_creation_token_details.ephemeral_5m_input_tokens",  # LiteLLM
        "prompt_tokens_details.cache_write_tokens_details.ttl_30m_tokens",  # OpenAI
        "input_tokens_details.cache_write_tokens_details.ttl_30m_tokens",
        "cache_details.5m.input_tokens",  # Bedrock
    ),
    "written_long": (
        "cache_creation.ephemeral_1h_input_tokens",
        "prompt_tokens_details.cache_creation.ephemeral_1h_input_tokens",
        "prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens",
        "prompt_tokens_details.cache_write_tokens_details.ttl_12h_tokens",
        "input_tokens_details.cache_write_tokens_details.ttl_12h_tokens",
        "cache_details.1h.input_tokens",
    ),
    "reasoning": (
        "completion_tokens_details.reasoning_tokens",
        "output_tokens_details.reasoning_tokens",
        "output_tokens_details.thinking_tokens",  # Anthropic
        "output_token_details.reasoning",  # LangChain
        "reasoning_tokens",  # Perplexity, Databricks, Modal
        "thoughts_token_count",  # Gemini
    ),
    "audio_in": (
        "prompt_tokens_details.audio_tokens",
        "input_tokens_details.audio_tokens",
        "input_token_details.audio_tokens",
        "prompt_tokens_details.audio.token_count",  # Gemini
    ),
    "audio_out": (
        "completion_tokens_details.audio_tokens",
        "output_tokens_details.audio_tokens",
        "output_token_details.audio_tokens",
        "candidates_tokens_details.audio.token_count",
    ),
    "image_in": (
        "prompt_tokens_details.image_tokens",
        "input_tokens_details.image_tokens",
        "input_token_details.image_tokens",
        "prompt_tokens_details.image.token_count",
    ),
    "image_out": (
        "completion_tokens_details.image_tokens",
        "output_tokens_details.image_tokens",
        "output_token_details.image_tokens",
        "candidates_tokens_details.image.token_count",
    ),
    "searches": (
        "server_tool_use.web_search_requests",  # Anthropic, OpenRouter
        "num_search_queries",  # Perplexity
    ),
    # What is billed beside tokens, or at a price that no list here has.
    "unlisted": ("num_sources_used", "citation_tokens", "prompt_audio_seconds", "audio_seconds"),
}
BUCKETS = {name: bucket for bucket, names in SPELLINGS.items() for name in names}
# Anthropic and Bedrock count these apart from the prompt; others who use their names do not, and
# have one of the names below too.
BESIDE = ("cache_read_input", "cache_creation_input", "cache_write_input")
HOLDS_CACHE = ("prompt_tokens", "prompt_token_count", "input_tokens_details.cached_tokens")
TOOL_PROMPT = "tool_use_prompt_token_count"  # Gemini counts it apart
THOUGHTS = "thoughts_token_count"  # likewise
# What a provider says that a call cost, in parts of a dollar: OpenRouter, Perplexity, …, DeepInfra.
STATED = {
    "cost": Decimal(1),
    "cost.total_cost": Decimal(1),
    "total_cost": Decimal(1),
    "cost_usd": Decimal(1),
    "estimated_cost": Decimal(1),
    "cost_in_usd_ticks": Decimal("1e-10"),  # xAI
}
OWN_KEY_COST = "cost_details.upstream_inference_cost"  # OpenRouter, with the company's own key
ORDINARY = {"", "default", "auto", "standard", "standard_only", "on_demand", "global"}
ORDINARY |= {"not_available", "none"}
BATCH = ("processing", "batch")
TERMS = ("service_tier", "speed", "inference_geo")


class TokenUsage(NamedTuple):
    """The tokens of a call. None: not told."""

    fresh: int | None = None
    output: int | None = None
    read: int = 0
    written: int = 0
    written_long: int = 0
    reasoning: int = 0  # of the output, as the rest of these is of prompt and output
    audio_in: int = 0
    audio_out: int = 0
    image_in: int = 0
    image_out: int = 0
    searches: int = 0
    total: int | None = None  # where nothing else was told
    stated: Decimal | None = None  # US dollars, by the provider
    terms: tuple[tuple[str, str], ...] = ()  # other than its ordinary ones, such as ("speed", …)
    estimated: bool = False  # a number of it was concluded, not told
    priceable: bool = True  # its parts fit each other, and a price list may know them all

    @property
    def prompt(self) -> int | None:
        if self.fresh is None:
            return None
        return self.fresh + self.read + self.written + self.written_long

    def with_prompt(self, prompt: int) -> "TokenUsage":
        """Take another count for the prompt, and none of its parts."""
        return self._replace(fresh=prompt, read=0, written=0, written_long=0, estimated=True)

    def with_output(self, output: int) -> "TokenUsage":
        return self._replace(output=output, estimated=True)


# While it streams ---------------------------------------------------------------------------------


def find_usage(message: Any) -> Json | None:
    """Find the usage in an event or a whole answer; None where it has none."""
    if not isinstance(message, dict):
        return None
    groq, choices = message.get("x_groq"), message.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    places = (
        message.get("usage"),
        message.get("usageMetadata"),
        message.get("usage_metadata"),
        groq.get("usage") if isinstance(groq, dict) else None,
        first.get("usage") if isinstance(first, dict) else None,  # Moonshot
    )
    return next((place for place in places if isinstance(place, dict) and place), None)


def merge_usage(before: Json | None, event_usage: Any) -> Json | None:
    """Take what an event tells into what was told before: of each count, the largest.

    Usage is told as it grows, in parts, twice, or as zeros at the end.
    """
    if not isinstance(event_usage, dict) or not event_usage:
        return before
    merged = dict(before or {})
    for name, value in event_usage.items():
        merged[name] = _merge(merged.get(name), value, DEEPEST)
    return merged


def _merge(before: Any, after: Any, levels: int) -> Any:
    if isinstance(before, dict) and isinstance(after, dict) and levels:
        names = before | after
        return {name: _merge(before.get(name), after.get(name), levels - 1) for name in names}
    if before is not None and (isinstance(before, dict) or after in (None, "", [], {})):
        return before
    known, new = _read_number(before), _read_number(after)
    if known is not None and (new is None or new < known):
        return before
    return after


# Read ---------------------------------------------------------------------------------------------


def read_usage(usage: Any, *around: Json) -> TokenUsage:
    """Read usage as its upstream told it.

    Its terms may stand in what is `around` it too: the answer, then the request's body.
    """
    told = _flatten(usage, {}) if isinstance(usage, dict) else {}
    count = _read_counts(told)
    prompt, output = _separate(count["prompt"], count["output"], count["total"])
    if prompt is not None:
        prompt += _count(told.get(TOOL_PROMPT)) or 0
    cached, fits = _read_cached(count), True
    inside = sum(cached.values())
    if prompt is not None and _is_beside(told, prompt, output, inside, count["total"]):
        prompt += inside
    elif inside > (prompt or 0):
        cached, fits = {}, False
    output, concluded = _add_reasoning(told, prompt, output, count)
    parts = {name: count[name] or 0 for name in ("audio_in", "audio_out", "image_in", "image_out")}
    if parts["audio_in"] + parts["image_in"] > (prompt or 0):
        fits = False
    if parts["audio_out"] + parts["image_out"] > (output or 0):
        fits = False
    if max(prompt or 0, output or 0) >= LARGEST:
        return TokenUsage(estimated=True, stated=_read_stated(told))
    return TokenUsage(
        fresh=None if prompt is None else prompt - sum(cached.values()),
        output=output,
        **cached,
        reasoning=min(count["reasoning"] or 0, output or 0),
        **parts,
        searches=count["searches"] or 0,
        total=count["total"],
        stated=_read_stated(told),
        terms=_read_terms(told, *around),
        estimated=concluded or told.get("estimated") is True,
        priceable=fits and not count["unlisted"],
    )


def _read_counts(told: Json) -> dict[str, int | None]:
    """Read the largest count that was told for each bucket."""
    counts: dict[str, int | None] = dict.fromkeys(SPELLINGS)
    for name, value in told.items():
        bucket = BUCKETS.get(name)
        if bucket is not None and (count := _count(value)) is not None:
            counts[bucket] = max(counts[bucket] or 0, count)
    return counts


def _read_cached(count: dict[str, int | None]) -> dict[str, int]:
    """Read what came from a cache, and what went into one for how long."""
    long = count["written_long"] or 0
    written = max(count["written"] or 0, (count["written_short"] or 0) + long)
    return {"read": count["read"] or 0, "written": written - long, "written_long": long}


def _separate(
    prompt: int | None, output: int | None, total: int | None
) -> tuple[int | None, int | None]:
    """Conclude the one of prompt and output that was not told from the total."""
    if total and prompt is None and output is not None and total >= output:
        return total - output, output
    if total and output is None and prompt is not None and total > prompt:
        return prompt, total - prompt
    return prompt, output


def _is_beside(told: Json, prompt: int, output: int | None, cached: int, total: int | None) -> bool:
    """Tell whether what came from a cache, or went there, is not in the prompt's count."""
    if total and total == prompt + cached + (output or 0):
        return True
    if not any(name.startswith(BESIDE) for name in told):
        return False
    return cached > prompt or not any(_count(told.get(name)) for name in HOLDS_CACHE)


def _add_reasoning(
    told: Json, prompt: int | None, output: int | None, count: dict[str, int | None]
) -> tuple[int | None, bool]:
    """Return the whole output, and whether that is no more than a conclusion.

    xAI and Gemini count thoughts beside the answer; the total has both.
    """
    reasoning, total = count["reasoning"] or 0, count["total"]
    if output is None:
        return reasoning or None, False
    if prompt and total and total > prompt + output:
        return total - prompt, total != prompt + output + reasoning
    if reasoning > output or (total is None and _count(told.get(THOUGHTS))):
        return output + reasoning, False
    return output, False


def _read_stated(told: Json) -> Decimal | None:
    """Read what the provider says that it cost: the first such statement, in US dollars."""
    currency = told.get("currency") or told.get("cost_currency") or "USD"
    for name, unit in STATED.items():
        number = _read_number(told[name]) if name in told else None
        if number is None or number < 0 or str(currency).upper() != "USD":
            continue
        if told.get("is_byok") is not True:
            return number * unit
        own = _read_number(told.get(OWN_KEY_COST))
        return None if own is None or own < 0 else number * unit + own
    return None


def _read_terms(told: Json, *around: Json) -> tuple[tuple[str, str], ...]:
    """Read by which terms the call is billed, where they are others than the ordinary ones."""
    terms = []
    for name in TERMS:
        for place in (told, *around):
            if said := place.get(name):
                value = str(said).lower()[:50]
                if value not in ORDINARY:
                    terms.append(BATCH if value == "batch" else (name, value))
                break
    return tuple(terms)


def _flatten(value: Json, told: Json, path: str = "", levels: int = DEEPEST) -> Json:
    """Put each field into `told` by its path, in snake_case. Return that."""
    for key, inner in value.items():
        name = path + (key if key.islower() else _to_snake_case(key))
        if isinstance(inner, dict):
            if levels:
                _flatten(inner, told, f"{name}.", levels - 1)
        elif isinstance(inner, list):
            for item in inner[:20] if levels else ():
                label = item.get("modality") or item.get("ttl") if isinstance(item, dict) else None
                if isinstance(label, str):
                    _flatten(item, told, f"{name}.{label.lower()}.", levels - 1)
        else:
            told[name] = inner
    return told


def _to_snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:100]).lower()


def _count(value: Any) -> int | None:
    """Read a count: a whole number, though it be written as a float or a text."""
    if type(value) is int:
        return value if 0 <= value < LARGEST else None
    number = _read_number(value)
    if number is None or not 0 <= number < LARGEST or number % 1:
        return None
    return int(number)


def _read_number(value: Any) -> Decimal | None:
    if type(value) is int:
        return Decimal(value) if value.bit_length() < 256 else None
    if not isinstance(value, float) and not (type(value) is str and len(value) < 50):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    is_sane = number.is_finite() and (not number or -20 < number.adjusted() < 40)
    return number if is_sane else None
