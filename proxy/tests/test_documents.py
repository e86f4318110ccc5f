"""A stream that is collected into JSON is valid by OpenAI's own types. No process, no database."""

import copy
import json
from random import Random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from proxy.protocols import chat, documents, events
from proxy.tests.completions import chunks_of, completions

NAME = "0" * 32


def collect(chunks):
    """What a caller that wanted JSON gets of a stream; None where there is no answer in it."""
    reply = chat.Reply()
    for chunk in chunks:
        reply.feed(events.write(chunk))
    whole = reply.whole()
    if reply.error is not None or reply.bad or whole is None:
        return None
    kept = copy.deepcopy(whole)
    data = orjson.dumps(documents.as_document(whole, "asked-for", NAME))
    ChatCompletion.model_validate_json(data, strict=True)
    assert whole == kept  # the record has it as it came
    return json.loads(data)


def chunk(delta=None, *, reason=None, index=0, choice=None, **fields):
    one = {"index": index, "delta": delta or {}, "finish_reason": reason} | (choice or {})
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return head | {"choices": [one]} | fields


def last(chunks):
    document = collect([chunk({"role": "assistant"}), *chunks])
    return document["choices"][-1]


def logged(**token):
    return chunk({"content": "a"}, choice={"logprobs": {"content": [token]}})


STOP = chunk(reason="stop")
CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CITED = {"start_index": 0, "end_index": 1, "title": "t", "url": "u"}
CHOICES = {  # the chunks of a choice, and what its document holds
    "words": ([chunk({"content": "Fi"}), chunk({"content": "ne."}), STOP], {"content": "Fine."}),
    "no words": ([STOP], {"content": None}),
    "another role": ([chunk({"role": "model", "content": "a"})], {"role": "assistant"}),
    "no role": ([chunk({"role": None, "content": "a"})], {"role": "assistant"}),
    "a refusal": ([chunk({"refusal": "No."}), STOP], {"refusal": "No.", "content": None}),
    "reasoning": (
        [chunk({"reasoning_content": "Hm."}), chunk({"content": "a"}), STOP],
        {"reasoning_content": "Hm.", "content": "a"},
    ),
    "parts of text": (
        [chunk({"content": [{"type": "text", "text": "Fi"}]}), chunk({"content": "ne."})],
        {"content": "Fine.", "content_parts": None},
    ),
    "parts without a type": ([chunk({"content": [{"text": "Fine."}]})], {"content": "Fine."}),
    "parts that think": (
        [chunk({"content": [{"type": "thinking", "thinking": "Hm."}]}), chunk({"content": "a"})],
        {
            "content": "a",
            "content_parts": [
                {"type": "thinking", "thinking": "Hm."},
                {"type": "text", "text": "a"},
            ],
        },
    ),
    "content that is an object": ([chunk({"content": {"a": "b"}})], {"content": '{"a":"b"}'}),
    "a call": ([chunk({"tool_calls": [CALL]})], {"tool_calls": [CALL | {"index": None}]}),
    "arguments as an object": (
        [chunk({"tool_calls": [CALL | {"function": {"name": "f", "arguments": {"a": 1}}}]})],
        {"tool_calls": [{"function": {"name": "f", "arguments": '{"a":1}'}}]},
    ),
    "a call without an id or arguments": (
        [chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": None}}]})],
        {"tool_calls": [{"id": f"call_{NAME}0", "type": "function"}]},
    ),
    "two calls without ids": (
        [
            chunk({"tool_calls": [{"index": n, "function": {"name": "f", "arguments": "{}"}}]})
            for n in range(2)
        ],
        {"tool_calls": [{"id": f"call_{NAME}0"}, {"id": f"call_{NAME}1"}]},
    ),
    "a type of its own": (
        [chunk({"tool_calls": [CALL | {"type": "builtin_function"}]})],
        {"tool_calls": [{"id": "a", "type": "function"}]},
    ),
    "a custom tool": (
        [
            chunk({"tool_calls": [{"index": 0, "id": "a", "custom": {"name": "p", "input": "x"}}]}),
            chunk({"tool_calls": [{"index": 0, "custom": {"input": "y"}}]}),
        ],
        {"tool_calls": [{"type": "custom", "custom": {"name": "p", "input": "xy"}}]},
    ),
    "calls that are none": ([chunk({"content": "a", "tool_calls": "none"})], {"tool_calls": None}),
    "a function call": (
        [chunk({"function_call": {"name": "f"}}), chunk({"function_call": {"arguments": "{}"}})],
        {"function_call": {"name": "f", "arguments": "{}"}},
    ),
    "audio": (
        [
            chunk({"audio": {"id": "a", "transcript": "Fi"}}),
            chunk({"audio": {"data": "QUJD", "transcript": "ne."}}),
            chunk({"audio": {"expires_at": 9}}),
        ],
        {"audio": {"id": "a", "data": "QUJD", "transcript": "Fine.", "expires_at": 9}},
    ),
    "half of audio": (
        [chunk({"audio": {"transcript": "Fine."}})],
        {"audio": {"id": "", "data": "", "transcript": "Fine.", "expires_at": 0}},
    ),
    "citations": (
        [chunk({"content": "a", "annotations": [{"type": "url_citation", "url_citation": CITED}]})],
        {"annotations": [{"type": "url_citation", "url_citation": CITED}]},
    ),
    "citations of another kind": (
        [chunk({"content": "a", "annotations": [{"type": "file"}, {"url_citation": CITED}, 5]})],
        {"annotations": []},
    ),
    "a field of next year": ([chunk({"content": "a", "x": {"y": "z"}})], {"x": {"y": "z"}}),
}


@pytest.mark.parametrize(("chunks", "message"), CHOICES.values(), ids=CHOICES)
def test_a_message(chunks, message):
    made = last(chunks)["message"]
    for name, value in message.items():
        assert is_within(value, made.get(name)), (name, made)


def is_within(part, whole):
    """Whether all that one says is in the other; None stands for nothing there."""
    if isinstance(part, dict):
        return all(is_within(value, whole.get(name)) for name, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(is_within, part, whole))
    return part == whole


@pytest.mark.parametrize(
    ("said", "calls", "reason"),
    [
        ("stop", False, "stop"),
        ("length", False, "length"),
        ("STOP", False, "stop"),
        ("MAX_TOKENS", False, "length"),
        ("model_length", False, "length"),
        ("model_context_window_exceeded", False, "length"),
        ("insufficient_system_resource", False, "length"),
        ("SAFETY", False, "content_filter"),
        ("guardrail_intervened", False, "content_filter"),
        ("sensitive", False, "content_filter"),
        ("eos", False, "stop"),
        ("end_turn", True, "tool_calls"),
        ("tool_use", True, "tool_calls"),
        (None, False, "stop"),
        (None, True, "tool_calls"),
        ("", True, "tool_calls"),
        ("next_years", False, "stop"),
    ],
)
def test_a_reason(said, calls, reason):
    delta = {"content": "a"} | ({"tool_calls": [CALL]} if calls else {})
    choice = last([chunk(delta, reason=said)])
    assert choice["finish_reason"] == reason
    assert choice.get("native_finish_reason") == (said if said and said != reason else None)


@pytest.mark.parametrize(
    ("token", "kept"),
    [
        ({"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}, True),
        ({"token": "a", "logprob": 0}, True),
        ({"token": "a", "logprob": -1, "bytes": None, "top_logprobs": None}, True),
        ({"token": "a", "logprob": -1, "top_logprobs": [{"token": "b"}, 5]}, True),
        ({"token": "a"}, False),
        ({"token": 5, "logprob": -1}, False),
    ],
)
def test_probabilities(token, kept):
    logprobs = last([logged(**token), STOP])["logprobs"]
    assert len(logprobs["content"]) == kept


def test_probabilities_in_lists_of_their_own():
    old = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [{"a": -1.0}]}
    assert last([chunk({"content": "a"}, choice={"logprobs": old})])["logprobs"]["content"] is None


def test_several_choices_stay_apart():
    chunks = [chunk({"content": f"{n}"}, index=n) for n in (1, 0, 1)]
    document = collect([*chunks, chunk(reason="stop", index=0), chunk(reason="length", index=1)])
    told = [(c["index"], c["message"]["content"], c["finish_reason"]) for c in document["choices"]]
    assert told == [(0, "0", "stop"), (1, "11", "length")]


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        ({"id": "c2", "created": 5, "model": "n"}, {"id": "c2", "created": 5, "model": "n"}),
        ({"created": 5.0}, {"created": 5}),
        ({"id": None, "model": None}, {"id": f"chatcmpl-{NAME}", "model": "asked-for"}),
        ({"id": 7, "model": ""}, {"id": f"chatcmpl-{NAME}", "model": "asked-for"}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
        ({"service_tier": "on_demand"}, {"service_tier": None}),
        ({"system_fingerprint": 5}, {"system_fingerprint": None}),
        ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
        ({"metadata": {"a": 5}}, {"metadata": None}),
        ({"citations": ["u"]}, {"citations": ["u"]}),
    ],
)
def test_the_head(head, kept):
    document = collect([{"choices": [{"delta": {"content": "a"}}]} | head])
    assert {name: document.get(name) for name in kept} == kept


@pytest.mark.parametrize("created", [None, "soon", -1, 1.5, True, []])
def test_a_time_that_is_none_is_now(created):
    document = collect([chunk({"content": "a"}) | {"created": created}])
    assert document["created"] > 1_700_000_000


TOLD = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
USAGES = {
    "as OpenAI's": (TOLD, TOLD),
    "floats": ({"prompt_tokens": 3.0, "completion_tokens": 2.0}, TOLD),
    "texts": ({"prompt_tokens": "3", "completion_tokens": "2"}, TOLD),
    "other words": ({"input_tokens": 3, "output_tokens": 2}, TOLD),
    "no total": ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": None}, TOLD),
    "details": (
        TOLD | {"prompt_tokens_details": {"cached_tokens": 1.0, "audio_tokens": "x", "y": "z"}},
        TOLD | {"prompt_tokens_details": {"cached_tokens": 1, "y": "z"}},
    ),
    "details that are none": (TOLD | {"completion_tokens_details": 5}, TOLD),
    "half": ({"prompt_tokens": 3}, None),
    "nothing": (None, None),
    "words": ("many", None),
}


@pytest.mark.parametrize(("told", "kept"), USAGES.values(), ids=USAGES)
def test_usage(told, kept):
    document = collect([chunk({"content": "a"}), STOP, {"choices": [], "usage": told}])
    usage = document.get("usage")
    assert (usage and {name: usage.get(name) for name in kept}) == kept
    assert not usage or usage.get("completion_tokens_details") is None


@settings(max_examples=60)
@given(completions, st.integers(0, 2**32))
def test_any_stream_is_valid_as_a_document(completion, seed):
    chunks = chunks_of(copy.deepcopy(completion), Random(seed))
    document = collect(chunks)
    for made, meant in zip(document["choices"], completion["choices"], strict=True):
        if not isinstance(meant["message"]["content"], list):
            assert made["message"]["content"] == meant["message"]["content"]


ODD = st.sampled_from([None, "", "x", 5, -1, 1.5, True, [], {}, [None], ["x"], {"x": "y"}])


@settings(max_examples=150)
@given(completions, st.integers(0, 2**32), st.lists(ODD, min_size=1, max_size=4))
def test_any_misspelt_stream_is_valid_or_no_answer(completion, seed, odd):
    """Values anywhere in the events are replaced."""
    chance = Random(seed)
    chunks = chunks_of(copy.deepcopy(completion), chance)
    for value in odd:
        misspell(chance.choice(chunks), copy.deepcopy(value), chance)
    collect(chunks)


def misspell(value, odd, chance):
    """Replace one of the values in an event, on any level."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not keys:
        return
    key = chance.choice(keys)
    if isinstance(value[key], dict | list) and value[key] and chance.random() < 0.8:
        misspell(value[key], odd, chance)
    else:
        value[key] = odd
