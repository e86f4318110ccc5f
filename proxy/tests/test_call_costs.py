"""What is on record of a call's tokens and cost, whatever its upstream tells of them."""

import json
from decimal import Decimal

import pytest

from conversations.models import Snapshot
from proxy.tests.gateway import ALICE, marked
from proxy.tests.wire import ANSWER, DONE, SSE, Held, chunk, json_reply

LONG = "A long answer. " * 40  # 600 bytes
USED = {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000}


def reply(usage: object, text: str = "Fine.", **fields: object) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps(ANSWER | {"choices": [choice], "usage": usage} | fields).encode()


def figures(call: Snapshot) -> tuple[int | None, int | None, bool, Decimal | None, str]:
    cost = call.cost and call.cost.normalize()
    return (call.prompt_tokens, call.completion_tokens, call.estimated, cost, call.cost_source)


RECORDED = {
    "as told": ("gpt-4o", reply(USED), (1000, 1000, False, "0.0125", "list")),
    "by what served": (
        "my-azure-deployment",
        reply(USED, model="gpt-4o-2024-08-06"),
        (1000, 1000, False, "0.0125", "list"),
    ),
    "served cheaper than asked": (
        "gpt-4o",
        reply(USED, model="gpt-4o-mini"),
        (1000, 1000, False, "0.00075", "list"),
    ),
    "by a name with its maker": (
        "openai/gpt-4o",
        reply(USED),
        (1000, 1000, False, "0.0125", "list"),
    ),
    "as the provider states": (
        "openai/gpt-4o",
        reply(USED | {"cost": 0.0123}),
        (1000, 1000, False, "0.0123", "provider"),
    ),
    "a zero that is stated where there is a price": (
        "gpt-4o",
        reply(USED | {"cost": 0}),
        (1000, 1000, False, "0.0125", "list"),
    ),
    "a zero that is stated where there is none": (
        "vendor/free",
        reply(USED | {"cost": 0}),
        (1000, 1000, False, "0", "provider"),
    ),
    "by the terms of the answer": (
        "gpt-5",
        reply(USED, service_tier="flex"),
        (1000, 1000, False, "0.005625", "list"),
    ),
    "by terms without a price": (
        "gpt-4o",
        reply(USED, service_tier="scale"),
        (1000, 1000, False, None, ""),
    ),
    "without the price of audio": (
        "gpt-4o-audio-preview",
        reply(USED | {"prompt_tokens_details": {"audio_tokens": 900}}),
        (1000, 1000, False, None, ""),
    ),
    "zeros beside words": (
        "gpt-4o",
        reply({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, LONG),
        ("asked", 150, True, "some", "estimate"),
    ),
    "zeros beside a stated cost": (
        "gpt-4o",
        reply({"prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0123}, LONG),
        ("asked", 150, True, "0.0123", "provider"),
    ),
    "fewer tokens than words can be made of": (
        "gpt-4o",
        reply({"prompt_tokens": 9, "completion_tokens": 1}, LONG),
        (9, 150, True, "some", "estimate"),
    ),
    "the sum alone": (
        "gpt-4o",
        reply({"total_tokens": 1150}, LONG),
        (1000, 150, True, "some", "estimate"),
    ),
    "the prompt alone": (
        "gpt-4o",
        reply({"prompt_tokens": 1000}, LONG),
        (1000, 150, True, "some", "estimate"),
    ),
    "nothing that is a number": (
        "gpt-4o",
        reply({"prompt_tokens": -1, "completion_tokens": True, "total_tokens": "?"}, LONG),
        ("asked", 150, True, "some", "estimate"),
    ),
    "a list": ("gpt-4o", reply([1, 2], LONG), ("asked", 150, True, "some", "estimate")),
    "more than a column holds, in parts": (
        "m",
        reply(
            {
                "input_tokens": 2**31 - 1,
                "output_tokens": 5,
                "cache_read_input_tokens": 2**31 - 1,
            },
            LONG,
        ),
        ("asked", 150, True, None, ""),
    ),
    "a cost beyond all sense": (
        "m",
        reply(USED | {"cost": 1e12}),
        (1000, 1000, False, None, ""),
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_on_record_of_a_counted_answer(wired, wire, recorded, name):
    model, body, expected = RECORDED[name]
    wire.answer, text = json_reply(body), marked()
    assert wired.ask(text, model=model).status == 200
    [call] = recorded()
    prompt, completion, estimated, cost, source = expected
    found = figures(call)
    prompt = -(-len(text) // 4) if prompt == "asked" else prompt
    assert found[:3] == (prompt, completion, estimated)
    assert found[4] == source
    assert found[3] > 0 if cost == "some" else found[3] == (cost and Decimal(cost))
    assert call.conversation.cost == (call.cost or 0)


def test_token_arrays_are_counted(wired, wire, recorded):
    wire.answer = json_reply(b'{"object": "list", "data": [{"embedding": [0.1]}], "model": "e"}')
    for given, count in (
        ([[*range(1000)]], 1000),
        ([*range(500)], 500),
        ([[1, 2], [3]], 3),
        (["12345678", [1]], 3),
        ([True, None, {"text": "12345678"}], 2),
    ):
        body = {"model": "text-embedding-3-small", "input": given}
        assert wired.call("/v1/embeddings", body, ALICE).status == 200
        call = Snapshot.objects.latest("opened")
        assert (call.prompt_tokens, call.estimated, call.cost_source) == (count, True, "estimate")
        assert call.cost.normalize() == Decimal("0.00000002") * count
    wire.answer = json_reply(b'{"object": "list", "data": [], "usage": {"total_tokens": 8}}')
    body = {"model": "text-embedding-3-small", "input": "hi"}
    assert wired.call("/v1/embeddings", body, ALICE).status == 200
    call = Snapshot.objects.latest("opened")
    assert (call.prompt_tokens, call.completion_tokens, call.estimated) == (8, None, False)
    recorded(6)


PARAMETERS = {"type": "object", "properties": {"place": {"type": "string"}}}
FUNCTION = {"name": "get_weather", "description": "Current weather", "parameters": PARAMETERS}
OFFERED = {
    "tools": [{"type": "function", "function": FUNCTION}],
    "functions": [FUNCTION],
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": PARAMETERS}},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("names", [*[[name] for name in OFFERED], list(OFFERED), []], ids=str)
def test_what_a_model_is_offered_is_part_of_an_estimated_prompt(
    wired, wire, recorded, names, stream
):
    wire.answer, text = json_reply(reply(None, LONG)), marked()
    offered = {name: OFFERED[name] for name in names}
    assert wired.ask(text, model="gpt-4o", stream=stream, **offered).status == 200
    [call] = recorded()
    sizes = [len(text)] + [
        len(json.dumps(each, separators=(",", ":"))) for each in offered.values()
    ]
    assert (call.prompt_tokens, call.estimated) == (sum(-(-size // 4) for size in sizes), True)


def event(usage: object = None, **delta: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    body = {"id": "c", "model": "gpt-4o", "choices": [choice], "usage": usage}
    return chunk(b"data: %s\n\n" % json.dumps(body).encode())


STREAMED = {
    "in parts": [
        event({"prompt_tokens": 900, "completion_tokens": 1}, content="Hello"),
        event({"completion_tokens": 333}),
    ],
    "with zeros at its end": [
        event({"prompt_tokens": 900, "completion_tokens": 333}, content="Hello"),
        event({"prompt_tokens": 0, "completion_tokens": 0}),
    ],
}


@pytest.mark.parametrize("name", STREAMED)
def test_usage_that_comes_in_several_events(wired, wire, recorded, name):
    held = Held(wire, SSE + b"".join(STREAMED[name]) + chunk(DONE) + b"0\r\n\r\n")
    held.let_go.set()
    wired.ask(marked(), model="gpt-4o", stream=True)
    [call] = recorded()
    assert figures(call) == (900, 333, False, Decimal("0.00558"), "list")


THOUGHT = "I weigh the next possibility with care. "


@pytest.mark.parametrize(
    "delta",
    [
        {"content": THOUGHT},
        {"reasoning_content": THOUGHT},
        {"reasoning": THOUGHT},
        {"refusal": THOUGHT},
        {"tool_calls": [{"index": 0, "function": {"arguments": THOUGHT}}]},
    ],
    ids=lambda delta: next(iter(delta)),
)
@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 9, "completion_tokens": 1}])
def test_who_hangs_up_pays_for_all_words_that_came(wired, wire, recorded, delta, usage):
    Held(wire, SSE + event(usage, **delta) + 99 * event(**delta) + event(content="end"))
    with wired.open_chat(marked(), stream=True, model="gpt-4o") as call:
        call.read_until(b"end")
    [call] = recorded()
    assert call.status == "cancelled"
    assert (call.completion_tokens // 100, call.estimated) == (10, True)
    assert (call.cost > 0, call.cost_source) == (True, "estimate")
