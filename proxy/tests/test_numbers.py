"""Numbers travel with the value that they came with, both ways, and the record has it."""

import json
from decimal import Decimal

import pytest

from conversations import exact_json
from conversations.record import rebuild
from proxy.tests.gateway import ALICE, CHAT, marked
from proxy.tests.wire import DONE, SSE, chunk, exactly, json_reply

NUMBERS = [
    "12345678901234567890123",
    "18446744073709551616",
    "-9223372036854775809",
    "0.30000000000000004441",
    "0.1000000000000000055",
    "1e400",
    "-1E-400",
    "-0.0",
    "18446744073709551615",
]
LIST = f"[{', '.join(NUMBERS)}]"


def same(text: bytes | str):
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def digits(value) -> object:
    return same(exact_json.dumps(value))


def request(**how: object) -> bytes:
    """A chat that has the numbers wherever a number may stand."""
    text = json.dumps(
        {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "user", "content": marked(), "weights": "LIST"},
                {
                    "role": "assistant",
                    "content": [{"type": "text", "text": "So"}, {"type": "x", "x": "LIST"}],
                    "tool_calls": [
                        {
                            "id": "c",
                            "type": "function",
                            "function": {"name": "f", "arguments": {"x": "LIST"}},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "c", "content": [{"type": "x", "x": "LIST"}]},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": "LIST"}}],
            "seed": "SEED",
            "metadata": {"deep": {"deeper": "LIST"}},
        }
        | how
    )
    return text.replace('"LIST"', LIST).replace('"SEED"', NUMBERS[0]).encode()


def completion(key: str) -> bytes:
    """A choice, its message under this key, that has the numbers."""
    said = {"role": "assistant", "content": "Fine.", "numbers": "LIST"}
    choice = {"index": 0, key: said, "finish_reason": "stop", "scores": "LIST"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "cost": "COST"}
    event = {"id": "c", "model": "m", "choices": [choice], "usage": usage, "more": "LIST"}
    text = json.dumps(event).replace('"LIST"', LIST).replace('"COST"', "0.10000000000000000555")
    return text.encode()


ANSWERS = {
    "JSON": json_reply(completion("message")),
    "a stream": exactly(
        SSE, chunk(b"data: %s\n\n" % completion("delta")), chunk(DONE), b"0\r\n\r\n"
    ),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("counts", [False, True])
def test_each_number_arrives_and_is_on_record(wired, wire, recorded, answer, streams, counts):
    wire.answer = answer
    body = request(stream=streams, stream_options={"include_usage": counts})
    reply = wired.call(CHAT, body, ALICE)
    assert reply.status == 200, reply.body
    ours = {"stream_options": {"include_usage": True}} if streams else {}
    assert same(wire.seen[-1].body) == same(body) | ours
    [snapshot] = recorded()
    assert digits(rebuild.rebuild_request(snapshot)) == same(wire.seen[-1].body)
    kept = rebuild.rebuild_response(snapshot)
    [choice] = kept["choices"]
    assert digits(kept["more"]) == digits(choice["scores"]) == same(LIST)
    assert digits(choice["message"]["numbers"]) == same(LIST)
    assert snapshot.cost == Decimal("0.1")
    assert reply.body.count(NUMBERS[0].encode()) >= 3
    for number in NUMBERS:
        assert reply.body.count(number.encode()) >= 3, number
    assert (b"0.10000000000000000555" in reply.body) == (counts or not streams)


def test_history_and_pages_show_them(wired, wire, recorded):
    wire.answer = ANSWERS["JSON"]
    first = wired.call(CHAT, request(), ALICE)
    rows = wired.call("/api/history", None, ALICE)
    assert rows.status == 200
    [row] = [row for row in same(rows.body)["Historical_list"] if row["id"] == str(first.id)]
    assert row["request"]["metadata"] == {"deep": {"deeper": same(LIST)}}
    assert row["response"]["more"] == same(LIST)


NO_NUMBERS = ["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "1e", "0x10", "1" * 1001]


@pytest.mark.parametrize("number", NO_NUMBERS)
def test_what_is_no_number_is_refused(wired, wire, recorded, number):
    before = len(wire.seen)
    body = request().replace(b'"seed": ', b'"seed": %s, "other": ' % number.encode())
    reply = wired.call(CHAT, body, ALICE)
    assert (reply.status, reply.error["code"]) == (400, "invalid_json")
    assert [snapshot.status for snapshot in recorded()] == ["refused"]
    assert len(wire.seen) == before
