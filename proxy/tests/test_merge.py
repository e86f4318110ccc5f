"""Any completion, cut into any deltas, is recorded equal to its JSON. No process, no database."""

import copy
import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.protocols import chat, events
from proxy.tests.completions import chunks_of, completions


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


THOUGHT = {"type": "thinking", "thinking": "Two and "}
PICTURES = [
    {"type": "image_url", "index": 0, "image_url": {"url": f"data:image/png;base64,{name}"}}
    for name in ("AAAA", "BBBB")
]


@pytest.mark.parametrize(
    ("deltas", "message"),
    {
        "a role of null": ([{"role": None, "content": "Fine."}] * 2, {"content": "Fine.Fine."}),
        "an empty role": ([{"role": "", "content": "Fine."}] * 2, {"content": "Fine.Fine."}),
        "parts with all of their fields": (
            [
                {"content": [{"type": "text", "text": "Fi", "annotations": [], "extra": None}]},
                {"content": [{"type": "text", "text": "ne.", "annotations": [], "extra": None}]},
            ],
            {"content": [{"type": "text", "text": "Fine.", "annotations": [], "extra": None}]},
        ),
        "thoughts that are closed in each (Mistral)": (
            [
                {"content": [THOUGHT | {"closed": True}]},
                {"content": [THOUGHT | {"thinking": "two", "closed": True}]},
            ],
            {"content": [{"type": "thinking", "thinking": "Two and two", "closed": True}]},
        ),
        "a refusal as a part": (
            [
                {"content": [{"type": "refusal", "refusal": "I can"}]},
                {"content": [{"type": "refusal", "refusal": "not."}]},
            ],
            {"content": [{"type": "refusal", "refusal": "I cannot."}]},
        ),
        "signatures behind their thoughts (LiteLLM)": (
            [
                {"thinking_blocks": [THOUGHT]},
                {"thinking_blocks": [THOUGHT | {"thinking": "two", "signature": None}]},
                {"thinking_blocks": [{"type": "thinking", "signature": "S"}]},
                {"thinking_blocks": [THOUGHT]},
                {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "T"}]},
            ],
            {
                "content": None,
                "thinking_blocks": [
                    THOUGHT | {"thinking": "Two and two", "signature": "S"},
                    THOUGHT | {"signature": "T"},
                ],
            },
        ),
        "two pictures, each counted as the first": (
            [{"images": [picture]} for picture in PICTURES],
            {"content": None, "images": PICTURES},
        ),
    }.values(),
)
def test_what_servers_send_in_their_own_way(deltas, message):
    reply = reply_to([{"choices": [{"index": 0, "delta": delta}]} for delta in deltas])
    assert reply.whole()["choices"][0]["message"] == {"role": "assistant"} | message


def test_choices_counted_in_floats_are_told_apart():
    choices = [{"index": float(n), "delta": {"content": f"{n}"}} for n in (0, 1)]
    answers = reply_to([{"choices": choices}]).whole()["choices"]
    assert [(each["index"], each["message"]["content"]) for each in answers] == [(0, "0"), (1, "1")]


def test_tokens_of_a_choice_grow():
    choices = [{"index": 0, "delta": {"content": "x"}, "token_ids": [n]} for n in (7, 8)]
    [answer] = reply_to([{"choices": [choice]} for choice in choices]).whole()["choices"]
    assert answer["token_ids"] == [7, 8]


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
