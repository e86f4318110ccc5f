"""Null, empty and absent fields, which servers of OpenAI's kind write out: they break nothing."""

import copy
import json

import pytest

from conversations.record import CallRequest, rebuild, threads, words
from proxy import outcome
from proxy.protocols import chat, documents, events
from proxy.providers import openai
from proxy.providers.base import Endpoint
from proxy.tests.gateway import marked
from proxy.tests.wire import SSE, chunk, exactly, json_reply

CITATION = {"start_index": 0, "end_index": 1, "title": "t", "url": "u"}
TOKENS = {"content": [{"token": "F", "logprob": -1, "bytes": [70], "top_logprobs": []}]}
CALLS = [
    {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
    {"id": "t2", "type": "custom", "custom": {"name": "g", "input": "i"}},
]
MESSAGE = {
    "role": "assistant",
    "content": "Fine.",
    "refusal": "no",
    "reasoning_content": "hm",
    "annotations": [{"type": "url_citation", "url_citation": CITATION}],
    "audio": {"id": "a", "data": "QUJD", "transcript": "x", "expires_at": 1},
    "function_call": {"name": "f", "arguments": "{}"},
    "tool_calls": CALLS,
    "reasoning_details": [{"type": "reasoning.text", "text": "th", "signature": "s", "index": 0}],
    "thinking_blocks": [{"type": "thinking", "thinking": "x", "signature": "s"}],
}
PARTS = [
    {"type": "text", "text": "Fine."},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]},
]
USAGE = {
    "prompt_tokens": 1,
    "completion_tokens": 2,
    "total_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
HEAD = {"id": "c", "created": 1, "model": "m", "system_fingerprint": "f", "service_tier": "flex"}
WAYS = {"null": None, "absent": ..., "empty text": "", "empty list": [], "false": False}


def document(message, **more):
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": TOKENS}
    return HEAD | {"object": "chat.completion", "choices": [choice], "usage": USAGE} | more


def chunks():
    deltas = [{name: value} for name, value in MESSAGE.items()]
    deltas[5:5] = [{"content": PARTS}, {"tool_calls": [call | {"index": 0} for call in CALLS]}]
    events = [
        HEAD
        | {
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": TOKENS}],
            "usage": USAGE,
        }
        for delta in [*deltas, {}]
    ]
    events[-1]["choices"][0]["finish_reason"] = "stop"
    return events


def list_paths(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from list_paths(inner, (*path, key))


def with_field(value, path, field):
    changed = inner = copy.deepcopy(value)
    for key in path[:-1]:
        inner = inner[key]
    if field is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = field
    return changed


def check_record(answer, request):
    """What the record does with each reply, less the writing."""
    ended = outcome.read_outcome(request, answer, "ok")
    for reply in ended.replies:
        message = threads.fold_reply(reply)
        threads.take_apart(message)
        threads.encode_canonical(message)
        threads.extract_searchable_text(reply)
        words.hash_next(b"k" * 32, None, message)
        words.list_extras([message])


@pytest.fixture
def request_of_chat():
    return CallRequest(owner=1, kind="chat", model="m", body={"messages": []})


@pytest.mark.parametrize("field", WAYS.values(), ids=WAYS)
def test_no_field_of_a_stream_has_to_be_there(request_of_chat, field):
    events_of_it = chunks()
    for path in list_paths(events_of_it):
        if len(path) == 1 and field not in (None, ...):
            continue  # no event at all: another promise
        changed = with_field(events_of_it, path, field)
        reply = chat.new_reply()
        reply.feed(events.hush(b"".join(map(events.write, changed)) + chat.END))
        assert (reply.bad, reply.error, reply.done) == (False, None, True), path
        answer = reply.whole()
        assert answer["choices"][0]["message"]["role"] == "assistant", path
        check_record(answer, request_of_chat)
        documents.as_document(answer, "m", "n" * 32)


@pytest.mark.parametrize("message", [MESSAGE, MESSAGE | {"content": PARTS}], ids=["text", "parts"])
@pytest.mark.parametrize("field", WAYS.values(), ids=WAYS)
def test_no_field_of_a_document_has_to_be_there(request_of_chat, message, field):
    whole = document(message)
    for path in list_paths(whole):
        if path in [("choices",), ("choices", 0)]:
            continue  # without a choice it is no answer
        answer = openai.reply(Endpoint.CHAT, {}, with_field(whole, path, field))
        assert chat.find_failure(answer) is None, path
        check_record(answer, request_of_chat)
        reply = chat.new_reply()
        reply.feed(chat.as_stream(answer))
        assert (reply.bad, reply.error, reply.done) == (False, None, True), path


ROLES = {"null": None, "absent": ..., "empty": "", "a list": [], "another": "model"}


@pytest.mark.parametrize("wants_stream", [True, False])
@pytest.mark.parametrize("sends_stream", [True, False])
@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)
def test_a_reply_is_an_assistants_by_whatever_role_it_came(
    wired, wire, recorded, role, sends_stream, wants_stream
):
    message = {"content": "Fine."} if role is ... else {"role": role, "content": "Fine."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {"id": "c", "model": "m", "choices": [choice]}
    wire.answer = json_reply(json.dumps(answer).encode())
    if sends_stream:
        event = {"id": "c", "choices": [{"index": 0, "delta": message, "finish_reason": "stop"}]}
        pieces = [chunk(events.write(event)), chunk(chat.END), b"0\r\n\r\n"]
        wire.answer = exactly(SSE, *pieces)
    question = {"role": "user", "content": marked()}
    first = wired.ask(question, stream=wants_stream)
    said = {"role": "assistant", "content": "Fine."}
    second = wired.ask(question, said, "And then?", stream=wants_stream)
    assert first.root == second.root
    before, after = recorded(2)
    assert (before.status, before.reply.role, before.reply.text) == ("ok", "assistant", "Fine.")
    assert (after.head.parent.origin, after.head.parent.role) == ("relayed", "assistant")
    kept = rebuild.rebuild_response(before)["choices"][0]["message"]
    if not sends_stream:
        assert kept == said | message
