"""Any completion, cut into any deltas, is recorded equal to its JSON. No process, no database."""

import copy
import time
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.protocols import chat, events

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


def reply_to(chunks):
    reply = chat.Reply()
    for chunk in chunks:
        reply.feed(events.write(chunk))
    return reply


@settings(max_examples=60)
@given(completions, st.integers(0, 2**32))
def test_any_deltas_amount_to_the_completion(completion, seed):
    chunks = chunks_of(copy.deepcopy(completion), Random(seed))
    reply = reply_to(chunks)
    assert not reply.ended
    assert reply.whole() == completion


@settings(max_examples=20)
@given(completions, st.integers(0, 2**32))
def test_what_has_grown_is_all_that_grows(completion, seed):
    """However often it is taken, and each string under its own channel."""
    reply, grown, chance = chat.Reply(), {}, Random(seed)
    for chunk in chunks_of(copy.deepcopy(completion), Random(seed)):
        reply.feed(events.write(chunk))
        if chance.random() < 0.5:
            for channel, text in reply.take():
                grown[channel] = grown.get(channel, "") + text
    for channel, text in reply.take():
        grown[channel] = grown.get(channel, "") + text
    for choice in completion["choices"]:
        message, n = choice["message"], choice["index"]
        for key in ("reasoning_content", "refusal"):
            assert grown.get((n, key), "") == (message.get(key) or "")
        for call in message.get("tool_calls", []):
            [place] = [
                c[2]
                for c, text in grown.items()
                if c == (*c[:3], "id") and c[0] == n and c[1] == "tool_calls" and text == call["id"]
            ]
            kind = call["type"]
            for name, text in call[kind].items():
                assert grown.get((n, "tool_calls", place, kind, name), "") == text


@pytest.mark.parametrize(
    ("choices", "text"),
    [
        ([{"delta": {"content": "Fine."}}], "Fine."),
        ([{"text": "Fi"}, {"text": "ne."}], "Fine."),
        ([{"delta": "Fi"}, {"delta": "ne."}], "Fine."),
        ([{"message": {"role": "assistant", "content": "Fine."}}], "Fine."),
        ([{"message": {"content": "Fi"}}, {"message": {"content": "Fine."}}], "Fine."),
        ([{"message": {"content": "Fi"}}, {"message": {"content": "ne."}}], "Fine."),
        ([{"delta": {"content": "Fine."}}, {"message": {"content": "Fine."}}], "Fine."),
        ([{"delta": {"content": "Fine."}, "text": "Fine."}], "Fine."),
        (
            [
                {"delta": {"content": "Fi"}},
                {"delta": {"content": [{"type": "text", "text": "ne."}]}},
            ],
            [{"type": "text", "text": "Fine."}],
        ),
        (
            [
                {"delta": {"content": [{"type": "text", "text": "Fi"}]}},
                {"delta": {"content": "ne."}},
            ],
            [{"type": "text", "text": "Fine."}],
        ),
    ],
)
def test_words_are_taken_wherever_a_choice_carries_them(choices, text):
    reply = reply_to([{"choices": [{"index": 0} | choice]} for choice in choices])
    assert reply.answered
    assert reply.whole()["choices"][0]["message"]["content"] == text


def test_fields_of_later_events_are_kept():
    choice = {"index": 0, "finish_reason": None}
    filtered = {"hate": {"filtered": False, "severity": "safe"}}
    reply = reply_to(
        [
            {"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
            {"id": "c", "model": "m", "choices": [choice | {"delta": {"content": "Oslo [1]"}}]},
            {
                "citations": ["u"],
                "choices": [choice | {"delta": {}, "content_filter_results": filtered}],
            },
            {
                "citations": ["u", "v"],
                "service_tier": "flex",
                "system_fingerprint": None,
                "choices": [],
            },
            {
                "choices": [
                    choice | {"delta": {}, "content_filter_results": {"hate": {"filtered": True}}}
                ]
            },
            {
                "choices": [
                    choice | {"delta": {}, "finish_reason": "stop", "logprobs": {"content": [1]}}
                ]
            },
            {"choices": [choice | {"delta": {}, "logprobs": {"content": [2], "refusal": None}}]},
        ]
    )
    assert reply.whole() == {
        "id": "c",
        "model": "m",
        "object": "chat.completion",
        "prompt_filter_results": [{"prompt_index": 0}],
        "citations": ["u", "v"],
        "service_tier": "flex",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Oslo [1]"},
                "finish_reason": "stop",
                "logprobs": {"content": [1, 2], "refusal": None},
                "content_filter_results": {"hate": {"filtered": True, "severity": "safe"}},
            }
        ],
        "usage": None,
    }


GROWING = {
    "content": lambda text: {"content": text},
    "reasoning": lambda text: {"reasoning_content": text},
    "a field of next year": lambda text: {"x": {"y": text}},
    "tool arguments": lambda text: {"tool_calls": [{"index": 0, "function": {"arguments": text}}]},
    "calls": lambda text: {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
    "a name": lambda text: {"tool_calls": [{"index": 0, "function": {"name": text}}]},
    "parts": lambda text: {"content": [{"type": "text", "text": text}]},
    "annotations": lambda text: {"annotations": [{"x": text}]},
    "counted items": lambda text: {"reasoning_details": [{"index": 0, "text": text}]},
}


@pytest.mark.parametrize("grow", GROWING.values(), ids=GROWING)
def test_the_work_is_linear_in_what_comes(grow):
    """Four times as much costs about four times, where it cost sixteen times."""

    def cost(size: int) -> float:
        delta = grow("ab")
        event = events.write(
            {"choices": [{"index": 0, "delta": delta, "logprobs": {"content": [1]}}]}
        )
        piece, best = event * 50, float("inf")
        for _ in range(2 if size < 2 << 20 else 1):
            began, reply = time.process_time(), chat.Reply()
            for _ in range(size // len(piece)):
                reply.feed(piece)
                reply.take()
            assert reply.whole()
            best = min(best, time.process_time() - began)
        return best

    assert cost(4 << 20) < 12 * cost(1 << 20)  # four times is linear, sixteen is not


def test_one_large_event_costs_what_its_bytes_do():
    def cost(size: int) -> float:
        cutter, best = events.Cutter(), float("inf")
        for _ in range(3):
            began = time.process_time()
            cutter.cut(b"data: ")
            for _ in range(size // 4096):
                cutter.cut(b"A" * 4096)
            assert len(cutter.cut(b"\n\n")) > size - 5000
            best = min(best, time.process_time() - began)
        return best

    assert cost(32 << 20) < 9 * cost(8 << 20)
