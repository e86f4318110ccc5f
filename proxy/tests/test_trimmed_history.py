"""A history that its client has trimmed: one conversation, at every place where it is read."""

import json

import pytest

from conversations.models import Message
from proxy.tests.gateway import ALICE, BOB, CHAT, SHARED, chat, marked
from proxy.tests.wire import ANSWER, DONE, SSE, chunk, exactly, json_reply

THOUGHTS = "Two and two, four."
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
SIGNED = CALL | {"extra_content": {"google": {"thought_signature": "s"}}}
# The answer of the upstream, and the answer in the caller's next request.
RESPELLED = {
    "thoughts": ({"content": f"<think>{THOUGHTS}</think>\n\nFour."}, {"content": "Four."}),
    "reasoning": ({"content": "4", "reasoning_content": THOUGHTS}, {"content": "4", "name": "m"}),
    "refusal": ({"content": None, "refusal": "No."}, {"content": "No."}),
    "signature": ({"content": None, "tool_calls": [SIGNED]}, {"content": "", "tool_calls": [CALL]}),
    "id": (
        {"content": "I look.", "tool_calls": [CALL]},
        {"content": "I look.", "tool_calls": [CALL | {"id": "other"}]},
    ),
}


def answer_with(message):
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": "stop"}
    return json_reply(json.dumps(ANSWER | {"choices": [choice]}).encode())


def stream_with(message):
    """Each field in an event of its own, with the index that a stream has."""
    calls = [each | {"index": n} for n, each in enumerate(message.get("tool_calls", []))]
    message = message | ({"tool_calls": calls} if calls else {})
    deltas = [{"role": "assistant"}, *({name: value} for name, value in message.items())]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [b"data: %s\n\n" % json.dumps({"choices": [choice]}).encode() for choice in choices]
    return exactly(SSE, *map(chunk, [*events, DONE]), b"0\r\n\r\n")


def history(opener, back):
    calls = [call["id"] for call in back.get("tool_calls", [])]
    results = [{"role": "tool", "tool_call_id": call, "content": "hot"} for call in calls]
    later = results or [{"role": "user", "content": "sure?"}]
    return [{"role": "user", "content": opener}, {"role": "assistant"} | back, *later]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("what", RESPELLED)
def test_a_trimmed_history_goes_on(wired, wire, recorded, what, streams):
    (message, back), opener = RESPELLED[what], marked()
    wire.answer = stream_with(message) if streams else answer_with(message)
    first = wired.ask(opener, stream=streams)
    wire.answer = answer_with({"content": "Yes."})
    sent = history(opener, back)
    second = wired.call(CHAT, chat(*sent), ALICE)
    third = wired.call(
        CHAT,
        chat(*sent, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "So?"}),
        ALICE,
    )
    assert {first.root, second.root, third.root} == {first.root}
    messages = Message.objects.filter(conversation=first.root)
    assert not messages.filter(origin=Message.Origin.CLAIMED).exists()
    recorded(3)
    assert json.loads(wire.seen[-2].body)["messages"] == sent
    body = wired.call(f"/api/conversations/{first.root}", key=ALICE).json()
    assert {each["origin"] for each in body["messages"]} == {"sent", "relayed"}
    assert len(body["messages"]) == len(sent) + 3
    assert len(body["snapshots"]) == 3


def test_a_trimmed_history_of_another_is_nothing(wired, wire, recorded):
    opener, (message, back) = marked(), RESPELLED["thoughts"]
    wire.answer = answer_with(message)
    hers = wired.ask(opener)
    anns = wired.ask(opener, key=SHARED, user="ann")
    sent = history(opener, back)
    for key, how in ((BOB, {}), (SHARED, {"user": "ben"}), (SHARED, {})):
        assert wired.ask(*sent, key=key, **how).root not in (hers.root, anns.root)
    assert wired.ask(*sent).root == hers.root
    assert wired.ask(*sent, key=SHARED, user="ann").root == anns.root
    recorded(7)
