"""Replies as upstreams were seen to send them: what the caller gets, and what the record holds.

Each case in `cases/` says the bytes piece by piece, and only what matters of the two ends.
"""

import json
from pathlib import Path

import pytest

from conversations.record import rebuild, threads
from proxy.tests.gateway import marked, said
from proxy.tests.wire import exactly

CASES = [
    case
    for file in sorted((Path(__file__).parent / "cases").glob("*.json"))
    for case in json.loads(file.read_text())
]


def bytes_of(piece) -> bytes:
    [(kind, value)] = piece.items()
    match kind:
        case "event":
            return b"data: %s\n\n" % json.dumps(value).encode()
        case "json":
            return json.dumps(value).encode()
        case "hex":
            return bytes.fromhex(value)
        case "repeat":
            return value[0].encode() * value[1]
    return value.encode()


def is_within(part, whole) -> bool:
    """Whether all that one says is in the other."""
    if isinstance(part, dict):
        return all(key in whole and is_within(each, whole[key]) for key, each in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(is_within, part, whole))
    return part == whole


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_reply_as_it_was_seen(wired, wire, recorded, case):
    head = f"HTTP/1.1 {case['status']}\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in case["headers"].items()
    )
    pieces = [bytes_of(piece) for piece in case["body"]]
    wire.answer = exactly(f"{head}\r\n".encode(), *pieces, pause=0.002)
    before = len(wire.seen)
    reply = wired.ask(marked(), stream=case["stream"])
    check_client(reply, case["client"], streams=case["stream"])
    [snapshot] = recorded()
    check_record(snapshot, case["record"])
    assert len(wire.seen) - before == case["record"].get("tries", len(wire.seen) - before)


def check_client(reply, expected, *, streams):
    assert reply.status == expected.get("status", 200), reply.body
    events = reply.events if streams and reply.status == 200 else []
    if "end" in expected:
        assert events[-1] == expected["end"]
    if "error" in expected:
        error = events[-1]["error"] if events else reply.error
        assert expected["error"] in error["message"]
        assert error["code"] == expected.get("code", error["code"])
    if "said" in expected:
        assert said(events[:-1]) == expected["said"]
    if "text" in expected:
        assert reply.text == expected["text"]
    if "arguments" in expected:
        [call] = reply.json()["choices"][0]["message"]["tool_calls"]
        assert call["function"]["arguments"] == expected["arguments"]
    if expected.get("usage") is False:
        assert b'"usage"' not in reply.body
    assert reply.headers.get("retry-after") == expected.get("retry_after")


def check_record(snapshot, expected):
    assert (snapshot.status, snapshot.error) == (
        expected["status"],
        expected.get("error", snapshot.error),
    )
    for column in ("finish_reason", "error_code", "prompt_tokens", "completion_tokens"):
        key = {"finish_reason": "finish", "error_code": "code"}.get(column, column)
        assert getattr(snapshot, column) == expected.get(key, getattr(snapshot, column))
    if "text" in expected:
        assert snapshot.reply.text == expected["text"]
    response = rebuild.rebuild_response(snapshot) or {}
    assert is_within(expected.get("response", {}), response)
    message = response["choices"][0]["message"] if response.get("choices") else {}
    assert is_within(expected.get("message", {}), message)
    assert expected.get("words", "") in threads.extract_text(message)
    assert expected.get("found", "") in threads.extract_searchable_text(message)
    if "files" in expected:
        assert snapshot.conversation.attachments.count() == expected["files"]
