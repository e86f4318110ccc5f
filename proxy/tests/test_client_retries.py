"""Clients that send a failed call again: with OpenAI's count, one that begins anew, or none."""

import json

import pytest

from conversations.models import Conversation
from proxy.tests.gateway import ALICE, BOB, CHAT, SHARED, chat, marked
from proxy.tests.replies import completion
from proxy.tests.wire import SSE, chunk, exactly, json_reply, word

LATER = json_reply(
    b'{"error": {"message": "Later."}}', "503 Unavailable", headers=b"Retry-After: 60\r\n"
)
BROKEN = exactly(SSE, chunk(word("Fi")))
FINE = json_reply(json.dumps(completion()).encode())
COUNTS = {"none": {}, "an empty one": {"x-stainless-retry-count": ""}} | {
    f"{count}": {"x-stainless-retry-count": str(count)} for count in range(3)
}


@pytest.mark.parametrize("count", COUNTS.values(), ids=COUNTS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_failed_and_is_sent_again_is_one_turn(wired, wire, recorded, count, stream):
    text = marked()
    wire.answer = BROKEN if stream else LATER
    failed = wired.ask(text, stream=stream)
    wire.answer = FINE
    again = wired.ask(text, stream=stream, headers=count)
    assert again.status == 200
    first, second = recorded(2)
    assert (first.id, first.status) == (failed.id, "failed")
    assert (second.retry_of_id, second.status) == (first.id, "ok")
    assert first.conversation_id == second.conversation_id == again.root
    assert first.head_id == second.head_id
    later = wired.ask(text, stream=stream)  # answered: the same words are asked anew
    assert later.root != again.root


CALLS = {
    "chat": (CHAT, chat("hi")),
    "images": ("/v1/images/generations", {"prompt": "a fox"}),
    "embeddings": ("/v1/embeddings", {"model": "m", "input": "a"}),
}


@pytest.mark.parametrize(("path", "body"), CALLS.values(), ids=CALLS)
def test_every_call_may_be_a_retry(wired, wire, recorded, path, body):
    wire.answer = LATER
    body = body | {"metadata": {"mark": marked()}}
    for _ in range(2):
        assert wired.call(path, body, ALICE).status == 502
    first, second = recorded(2)
    assert (first.retry_of_id, second.retry_of_id) == (None, first.id)
    assert first.conversation_id == second.conversation_id


def test_what_others_send_is_no_retry(wired, wire, recorded):
    """Another caller, people behind one key, the same caller in another conversation."""
    body = chat(marked())
    wire.answer = LATER
    assert wired.call(CHAT, body, ALICE).status == 502
    wired.call(CHAT, body, BOB)
    wired.call(CHAT, body, SHARED)
    wired.call(CHAT, body, SHARED)
    wired.call(CHAT, body, ALICE, X_Session_Id=marked())
    calls = recorded(5)
    assert [call.retry_of_id for call in calls] == [None] * 5
    roots = {call.conversation_id for call in calls}
    assert Conversation.objects.filter(id__in=roots).count() == 5


LIMIT = b"x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 1m0s\r\n"
WAITS = {  # headers, a body, and the wait that the caller is told
    "retry-after": (b"Retry-After: 7.5\r\n" + LIMIT, "", "8"),
    "milliseconds": (b"Retry-After-Ms: 7500\r\n", "", "8"),
    "Azure's": (b"x-ms-retry-after-ms: 20000\r\n", "", "20"),
    "a limit": (LIMIT, "", "60"),
    "Google's": (b"", '"details": [{"retryDelay": "34s"}]', "34"),
    "words": (b"", '"message": "Please try again in 1m30s."', "90"),
}


@pytest.mark.parametrize("status", ["429 Too Many", "503 Unavailable", "529 Odd"])
@pytest.mark.parametrize(("headers", "said", "wait"), WAITS.values(), ids=WAITS)
def test_a_wait_reaches_the_caller_in_whole_seconds(
    wired, wire, recorded, status, headers, said, wait
):
    wire.answer = json_reply(b'{"error": {%s}}' % said.encode(), status, headers=headers)
    before = len(wire.seen)
    reply = wired.ask(marked())
    assert reply.status == (429 if status.startswith("429") else 502)
    assert (reply.headers["retry-after"], len(wire.seen) - before) == (wait, 1)
    assert "x-should-retry" not in reply.headers
    recorded()
