"""A client that sends a call once more without saying so: the record takes it for a retry."""

from datetime import UTC, datetime, timedelta
from itertools import product

import orjson
import pytest

from conversations import record
from conversations.models import Conversation, Snapshot, Usage
from conversations.record import CallRequest
from conversations.tests.calls import answer, ask, assistant, person, turn, user

pytestmark = pytest.mark.django_db
KEY = {"key": "gw-one", "is_retry": None}
HISTORIES = {
    "one question": [user("hi")],
    "a preamble": [{"role": "system", "content": "Be brief."}, user("hi")],
    "a history": [user("hi"), assistant("Hello!"), user("More.")],
    "system messages only": [{"role": "system", "content": "Be brief."}],
}


def failed(owner, messages, status="failed", **how):
    call = ask(owner, messages, **how)
    record.close(call, record.Outcome(status=status))
    return Snapshot.objects.get(id=call.id)


@pytest.mark.parametrize("status", ["failed", "cancelled", "interrupted"])
@pytest.mark.parametrize("messages", HISTORIES.values(), ids=HISTORIES)
def test_what_failed_is_repeated_in_its_conversation(messages, status):
    alice = person()
    first = failed(alice, messages, status, **KEY)
    second = failed(alice, messages, **KEY)
    third = turn(alice, messages, "Hello!", **KEY)
    assert [second.retry_of_id, third.retry_of_id] == [first.id, second.id]
    assert {first.conversation_id} == {second.conversation_id, third.conversation_id}
    assert {first.head_id} == {second.head_id, third.head_id}
    conversation = Conversation.objects.get()
    assert (conversation.turns, conversation.prompt_tokens) == (1, 3)
    assert conversation.messages.filter(role="user").count() == sum(
        message["role"] == "user" for message in messages
    )
    usage = Usage.objects.get()
    assert (usage.calls, usage.failures, usage.prompt_tokens) == (3, 2, 3)


@pytest.mark.parametrize("kind", ["embedding", "image", "chat"])
def test_each_kind_of_call_is_repeated(kind):
    alice = person()
    messages = [] if kind == "embedding" else [user("a fox")]
    how = {"owner": alice.pk, "kind": kind, "model": "m", "body": {}, "messages": messages}
    calls = []
    for _ in range(2):
        calls.append(record.open(CallRequest(**how, sent=b"the same", **KEY)))
        record.close(calls[-1], record.Outcome(status="failed"))
    first, second = calls
    assert Snapshot.objects.get(id=second.id).retry_of_id == first.id
    assert first.conversation == second.conversation


def test_a_refused_call_is_repeated():
    """As one that found no slot; it was in no conversation."""
    alice = person()
    body = {"model": "m", "messages": [user("hi")]}
    first = failed(alice, [user("hi")], **KEY)
    sent = {"sent": orjson.dumps(body), "messages": [user("hi")]}
    request = CallRequest(owner=alice.pk, kind="chat", model="m", body=body, **sent, **KEY)
    refused = record.refuse(request, "overloaded", "Too many.")
    third = turn(alice, [user("hi")], "Hello!", **KEY)
    assert third.retry_of_id == refused
    assert third.conversation_id == first.conversation_id


OTHERS = {  # what comes after a failure, and is no retry of it
    "another key": {"key": "gw-two"},
    "no key: a page asks": {"key": ""},
    "another end user": {"end_user": "ben"},
    "a shared key without an end user": {"threads_by_content": False},
    "other words": {"messages": [user("hi!")]},
    "another parameter": {"params": {"temperature": 1}},
    "another model": {"model": "n"},
    "what no program sends": {"is_retry": False},
    "another session": {"session_key": "two"},
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_what_is_no_retry_is_none(change):
    alice = person()
    how = KEY | {"messages": [user("hi")], "end_user": "ann"} | change
    first = failed(alice, [user("hi")], end_user="ann", **KEY)
    other = turn(alice, how.pop("messages"), "Hello!", **how)
    assert other.retry_of_id is None
    assert other.conversation_id != first.conversation_id


def test_another_owner_or_conversation_is_another_call():
    alice, root = person(), turn(person(), [user("Before.")], "Yes?").conversation_id
    first = failed(alice, [user("hi")], **KEY)
    hers = turn(alice, [user("hi")], "Hello!", root=root, **KEY)
    assert (hers.retry_of_id, hers.conversation_id) == (None, root)
    his = turn(person("bob"), [user("hi")], "Hello!", **KEY)
    assert (his.retry_of_id, his.conversation_id == first.conversation_id) == (None, False)


def test_a_session_keeps_its_retry():
    alice = person()
    first = failed(alice, [user("hi")], session_key="one", **KEY)
    second = turn(alice, [user("hi")], "Hello!", session_key="one", **KEY)
    assert (second.retry_of_id, second.conversation_id) == (first.id, first.conversation_id)


@pytest.mark.parametrize("status", ["ok", "pending"])
def test_what_did_not_fail_is_not_repeated(status):
    alice = person()
    call = ask(alice, [user("hi")], **KEY)
    if status == "ok":
        answer(call, "Hello!")
    other = turn(alice, [user("hi")], "Hello!", **KEY)
    assert (other.retry_of_id, other.conversation_id == call.conversation) == (None, False)


def test_after_its_retry_the_same_words_are_asked_anew():
    alice = person()
    failed(alice, [user("hi")], **KEY)
    second = turn(alice, [user("hi")], "Hello!", **KEY)
    third = turn(alice, [user("hi")], "Hello!", **KEY)
    assert second.retry_of_id
    assert third.retry_of_id is None
    assert third.conversation_id != second.conversation_id


@pytest.mark.parametrize(("ended", "is_repeated"), [(4, True), (6, False)])
def test_only_what_failed_a_moment_ago(ended, is_repeated):
    """However long it took: its end counts, so many minutes ago."""
    alice, now = person(), datetime.now(UTC)
    call = ask(alice, [user("hi")], opened=now - timedelta(minutes=14), **KEY)
    record.close(call, record.Outcome(status="failed", closed=now - timedelta(minutes=ended)))
    again = turn(alice, [user("hi")], "Hello!", **KEY)
    assert (again.retry_of_id == call.id) is is_repeated
    assert (again.conversation_id == call.conversation) is is_repeated


def test_it_is_found_among_many_that_failed():
    alice = person()
    first = failed(alice, [user("hi")], **KEY)
    for number, model in product(range(60), "mn"):
        failed(alice, [user(f"other {number}")], model=model, **KEY)
    assert turn(alice, [user("hi")], "Hello!", **KEY).retry_of_id == first.id
