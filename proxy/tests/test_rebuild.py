"""The record holds what the upstream received: rebuilt equal, and proven by its commitment."""

import base64
import json
from hashlib import sha256

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversations.models import Snapshot
from conversations.record import rebuild
from conversations.record.attachments import MARK
from proxy.tests.gateway import ALICE, CHAT, SHARED
from proxy.tests.wire import json_reply

ANSWER = {
    "id": "c",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Fine."}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 1},
}

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)  # NUL among them
files = st.binary(min_size=1600, max_size=3000).map(
    lambda data: f"data:image/png;base64,{base64.b64encode(data).decode()}"
)
texts = (
    words
    | files
    | st.just("A paste of 50 KB. " * 2800)
    | st.sampled_from(
        ["", "hi", "\0", "\u2028", "😀", " a ", "data:;base64,", "QUJD" * 800, "gw-" * 800]
    )
)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
keys = words | st.sampled_from([MARK, "$message", "content", "role", "cache_control", "index"])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
parts = st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts})
    | st.fixed_dictionaries(
        {"type": st.just("image_url"), "image_url": st.fixed_dictionaries({"url": files})}
    )
    | values,
    max_size=3,
)
calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": words,
            "type": st.just("function"),
            "function": st.fixed_dictionaries(
                {"name": words, "arguments": texts | st.just('{"a": 1e2}')}
            ),
        }
    )
    | values,
    max_size=2,
)
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(
            ["user", "user", "assistant", "assistant", "system", "developer", "tool", "", "\0"]
        )
    },
    optional={
        "content": texts | parts | values,
        "tool_calls": calls,
        "name": values,
        "refusal": st.none() | words,
        "cache_control": values,
        MARK: values,
    },
)
bodies = st.fixed_dictionaries(
    {"model": st.just("gpt-4o")},
    optional={
        "user": values,
        "temperature": numbers,
        "seed": numbers,
        "tools": values,
        "response_format": values,
        "n": st.just(1),
        "metadata": values,
    },
)


steps = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 8),
        st.booleans(),
        st.lists(messages, min_size=1, max_size=3),
        bodies,
    ),
    min_size=1,
    max_size=4,
)


@settings(
    max_examples=60,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(steps=steps, key=st.sampled_from([ALICE, SHARED]))
def test_any_request_is_rebuilt_as_it_left(wired, wire, steps, key):
    """Each continues a part of an earlier one: branches, echoes and forgeries."""
    wire.answer = json_reply(json.dumps(ANSWER).encode())
    histories: list[list] = [[]]
    for earlier, upto, answered, more, rest in steps:
        history = [
            *histories[earlier % len(histories)][:upto],
            *([ANSWER["choices"][0]["message"]] if answered else []),
            *more,
        ]
        histories.append(history)
        body = rest | {"messages": history}
        reply = wired.call(CHAT, orjson.dumps(body), key)
        assert reply.status == 200, reply.body
        snapshot, left = Snapshot.objects.get(id=reply.id), wire.seen[-1].body
        assert same(rebuild.rebuild_request(snapshot), orjson.loads(left))
        assert same(orjson.loads(left), body)
        assert sha256(bytes(snapshot.salt) + left).digest() == bytes(snapshot.commitment)
        assert same(rebuild.rebuild_response(snapshot), ANSWER)


def same(one, other) -> bool:
    """To the type of a number and the spelling of a string."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        other, option=orjson.OPT_SORT_KEYS
    )


def test_every_kind_of_call_is_rebuilt_as_it_left(gateway, demo_upstream):
    for path, body in (
        (
            "embeddings",
            {"model": "text-embedding-3-small", "input": ["a", "\0", "ü" * 4000], "dimensions": 8},
        ),
        (
            "embeddings",
            {"model": "text-embedding-3-small", "input": [1, 2, 3], "encoding_format": "base64"},
        ),
        (
            "images/generations",
            {
                "model": "dall-e-2",
                "prompt": "A lighthouse",
                "size": "256x256",
                "response_format": "b64_json",
                "user": "x",
            },
        ),
        ("images/generations", {"prompt": "A \0 lighthouse"}),
        (
            "chat/completions",
            {"model": "gpt-4o", "messages": [{"role": "system", "content": "Be brief."}]},
        ),
    ):
        reply = gateway.call(f"/v1/{path}", body, ALICE)
        assert reply.status == 200, reply.body
        sent = next(
            request["body"]
            for request in reversed(demo_upstream.seen)
            if request["path"] == f"/v1/{path}"
        )
        assert rebuild.rebuild_request(Snapshot.objects.get(id=reply.id)) == sent == body


def test_a_stream_is_rebuilt_as_the_reply_that_it_amounts_to(gateway, demo_upstream):
    asked = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "List three ideas"}],
        "stream": True,
    }
    streamed = Snapshot.objects.get(id=gateway.call(CHAT, asked, ALICE).id)
    assert (
        rebuild.rebuild_request(streamed)
        == demo_upstream.seen[-1]["body"]
        == asked | {"stream_options": {"include_usage": True}}
    )
    whole = Snapshot.objects.get(id=gateway.call(CHAT, asked | {"stream": False}, ALICE).id)
    one, two = (rebuild.rebuild_response(snapshot) for snapshot in (streamed, whole))
    assert one.keys() == two.keys()
    assert one["choices"][0]["message"].items() <= two["choices"][0]["message"].items()
    assert (one["usage"], one["object"], one["choices"][0]["finish_reason"]) == (
        two["usage"],
        two["object"],
        two["choices"][0]["finish_reason"],
    )
