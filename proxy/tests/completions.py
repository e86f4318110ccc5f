"""Any completion, and any deltas that amount to it."""

from itertools import pairwise

from hypothesis import strategies as st

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
some = words.filter(bool)
numbers = st.integers(-5, 5) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
labels = st.sampled_from(["a", "b_1", "https://example.com/x"])
# What a server may say beside the fields that are known: no delta is legal for a list of lists.
values = st.recursive(
    numbers | words,
    lambda inner: st.dictionaries(st.sampled_from(["x", "y", "z", "url"]), inner, max_size=3),
    max_leaves=5,
)
functions = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": some, "arguments": words}),
    },
    optional={"extra_content": values},
)
customs = st.fixed_dictionaries(
    {"type": st.just("custom"), "custom": st.fixed_dictionaries({"name": some, "input": words})}
)
calls = st.lists(functions | customs, min_size=1, max_size=3).map(
    lambda told: [{"id": f"call_{n}"} | call for n, call in enumerate(told)]
)
thinking = st.fixed_dictionaries(
    {
        "type": st.just("thinking"),
        "thinking": st.lists(
            st.fixed_dictionaries({"type": st.just("text"), "text": some}), min_size=1, max_size=1
        ),
    }
)
pictures = st.fixed_dictionaries(
    {"type": st.just("image_url"), "image_url": st.fixed_dictionaries({"url": labels})}
)
texts = st.fixed_dictionaries({"type": st.just("text"), "text": some})
# Two texts one after the other are one where nothing counts them.
parts = st.lists(thinking | pictures | texts, min_size=1, max_size=4).filter(
    lambda told: all(
        one["type"] != two["type"] or one["type"] == "image_url" for one, two in pairwise(told)
    )
)
details = st.lists(
    st.fixed_dictionaries({"type": st.just("reasoning.text"), "text": some, "format": labels}),
    min_size=1,
    max_size=3,
).map(lambda told: [detail | {"index": n} for n, detail in enumerate(told)])
messages = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | words | parts},
    optional={
        "refusal": st.none() | some,
        "reasoning_content": some,
        "reasoning_details": details,
        "annotations": st.lists(values, min_size=1, max_size=2),
        "images": st.lists(pictures, min_size=1, max_size=2),
        "audio": st.fixed_dictionaries(
            {"id": labels, "data": some, "transcript": some, "expires_at": st.integers(1, 9)}
        ),
        "tool_calls": calls,
        "function_call": st.fixed_dictionaries({"name": some, "arguments": words}),
        "next_years_field": values,
    },
)
completions = st.lists(messages, min_size=1, max_size=2).map(
    lambda told: {
        "id": "c",
        "created": 1,
        "model": "m",
        "object": "chat.completion",
        "choices": [
            {"index": n, "message": message, "finish_reason": "stop"}
            for n, message in enumerate(told)
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
)
LABELS = {"id", "type", "role", "format", "url"}


def deltas_of(value, key, chance):
    """Cut a value of a message into deltas, which amount to it in this order."""
    if isinstance(value, str) and key not in LABELS:
        return pieces_of(value, key, chance)
    if isinstance(value, dict):
        inner = [
            [{name: delta} for delta in deltas_of(each, name, chance)]
            for name, each in value.items()
        ]
        return shuffled(inner, chance) or [{}]
    if isinstance(value, list) and value:
        return list_deltas(value, key, chance)
    return [value]


def pieces_of(text, key, chance):
    at = chance.randint(0, len(text))
    pieces = [text[:at], text[at:]] if key != "name" else [text]
    return pieces + [text] * (key == "name" and chance.random() < 0.5)


def list_deltas(items, key, chance):
    if key == "tool_calls" or "index" in (items[0] if isinstance(items[0], dict) else {}):
        each = [
            [[{"index": n} | delta] for delta in deltas_of(item, "", chance)]
            for n, item in enumerate(items)
        ]
        return shuffled(each, chance)
    out = []
    for item in items:
        growing = (
            next((name for name in ("text", "thinking") if name in item), "")
            if isinstance(item, dict) and "type" in item
            else ""
        )
        if not growing:
            out.append([item])
            continue
        rest = {name: each for name, each in item.items() if name != growing}
        out += [[rest | {growing: delta}] for delta in deltas_of(item[growing], growing, chance)]
    return out


def shuffled(series, chance):
    """Any order in which each series keeps its own."""
    out, left = [], [list(one) for one in series if one]
    while left:
        out.append(left[chance.randrange(len(left))].pop(0))
        left = [one for one in left if one]
    return out


def chunks_of(completion, chance):
    head = {"id": "c", "created": 1, "model": "m", "object": "chat.completion.chunk"}
    series = []
    for choice in completion["choices"]:
        deltas = deltas_of(choice["message"], "", chance)
        index = choice["index"]
        one = [{"index": index, "delta": delta, "finish_reason": None} for delta in deltas]
        series.append([*one, {"index": index, "delta": {}, "finish_reason": "stop"}])
    chunks = [head | {"choices": [choice]} for choice in shuffled(series, chance)]
    return [*chunks, head | {"choices": [], "usage": completion["usage"]}]
