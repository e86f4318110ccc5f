"""Spellings of one message are seen as one; messages that say another thing never are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.record import threads
from conversations.speech import plain, seen
from conversations.speech.seen import see_message
from conversations.tests import anything

from .parts import parts
from .parts import said as broken

TEXT = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}
SAID = {"type": "message", "role": "assistant", "content": [TEXT]}
CALL = {"type": "function_call", "call_id": "c1", "name": "ls", "arguments": '{"a": 1}'}
THOUGHT = {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "E"}
USE = {"type": "tool_use", "id": "t1", "name": "ls", "input": {"a": 1}}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "42"}
QUOTE = {"type": "char_location", "cited_text": "q"}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "42"}


def reply(*items):
    return {"role": "assistant", "items": [*items]}


def said(*blocks):
    return {"role": "assistant", "content": [*blocks]}


def given_back(**fields):
    return {"role": "user", "content": [RESULT | fields]}


def see(message, dialect):
    return threads.encode_canonical(see_message(message, dialect))


@settings(max_examples=200, deadline=None)
@given(anything.messages)
def test_a_message_of_chat_is_itself(messages):
    """Its path hash is stored: nothing may be read into it."""
    for message in messages:
        assert see_message(message, "chat") is message


SAME = {
    "responses": [
        (reply(THOUGHT, SAID, CALL), reply(SAID | {"id": "m", "status": "completed"}, CALL)),
        (reply(CALL), reply(CALL | {"id": "f", "status": "completed"})),
        (reply(CALL), reply(CALL | {"arguments": '{"a":1}'})),
        (reply(SAID), reply(SAID | {"phase": "final_answer", "content": "Hi"})),
        (reply(THOUGHT, SAID), reply(THOUGHT | {"content": None}, SAID)),
        (
            {"role": "user", "content": "Hi"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        ),
        ({"role": "$instructions", "content": "Be"}, {"role": "developer", "content": "Be"}),
    ],
    "messages": [
        (said({"type": "text", "text": "Hi"}), {"role": "assistant", "content": "Hi"}),
        (said({"type": "thinking", "thinking": "Hm", "signature": "S"}, USE), said(USE)),
        (said({"type": "text", "text": "Hi", "citations": [QUOTE]}), said("Hi")),
        (given_back(cache_control={"type": "ephemeral"}), given_back()),
        (given_back(content=[{"type": "text", "text": "42"}]), given_back(content=["42"])),
    ],
}
OTHER = {
    "responses": [
        (reply(SAID), reply(SAID, CALL)),
        (reply(CALL), reply(CALL | {"arguments": '{"a": 2}'})),
        (reply(CALL), reply(CALL | {"name": "rm"})),
        (reply(CALL), reply(CALL | {"namespace": "x"})),
        (reply(SAID), reply(SAID | {"content": [TEXT | {"text": "Ho"}]})),
        (reply(SAID), reply(SAID, {"type": "hologram", "x": 1})),
        (
            {"role": "tool", "items": [OUTPUT]},
            {"role": "tool", "items": [OUTPUT | {"output": "4"}]},
        ),
        (
            reply({"type": "web_search_call", "action": {"query": "a"}}),
            reply({"type": "web_search_call", "action": {"query": "b"}}),
        ),
    ],
    "messages": [
        (said(USE), said(USE | {"input": {"a": 2}})),
        (given_back(), given_back(is_error=True)),
        (given_back(), given_back(tool_use_id="t2")),
        (given_back(content="a"), given_back(content="b")),
        (
            {"role": "user", "content": [{"type": "thinking", "thinking": "a"}]},
            {"role": "user", "content": [{"type": "thinking", "thinking": "b"}]},
        ),
        (said("Hi"), said("Hi", {"type": "image", "source": {"type": "url", "url": "u"}})),
    ],
}


def pairs(table):
    return [(dialect, *pair) for dialect, rows in table.items() for pair in rows]


@pytest.mark.parametrize(("dialect", "one", "other"), pairs(SAME))
def test_spellings_of_a_message_are_seen_as_one(dialect, one, other):
    assert one != other
    assert see(one, dialect) == see(other, dialect)


@pytest.mark.parametrize(("dialect", "one", "other"), pairs(OTHER))
def test_what_says_another_thing_is_never_seen_as_the_same(dialect, one, other):
    assert see(one, dialect) != see(other, dialect)


PARTS = [
    *(TEXT, CALL, THOUGHT, USE, OUTPUT, RESULT, SAID),
    {"type": "thinking", "thinking": "Hm", "signature": "S"},
    {"type": "redacted_thinking", "data": "D"},
    {"type": "text", "text": "Hi"},
    {"type": "input_text", "text": "Hi"},
]
FIELDS = sorted(
    {
        *plain.OF_MESSAGE,
        *plain.OF_TEXT,
        *plain.OF_USE,
        *plain.OF_CALL,
        *plain.OF_RESULT,
        *plain.OF_OUTPUT,
        *plain.OF_THOUGHT,
        "namespace",
        "is_error",
    }
)
usual = st.builds(
    lambda part, gone, more: {k: v for k, v in part.items() if k != gone} | more,
    st.sampled_from(PARTS),
    st.none() | st.sampled_from(FIELDS),
    st.dictionaries(
        st.sampled_from(FIELDS), parts | st.sampled_from(["completed", "", 0]), max_size=1
    ),
)
histories = st.builds(
    lambda role, field, held, more: {"role": role, field: held} | more,
    st.sampled_from(["user", "assistant", "tool", "system", "$system"]),
    st.sampled_from(["content", "items"]),
    st.lists(usual, max_size=3) | parts | st.sampled_from(["Hi", ""]),
    st.dictionaries(st.sampled_from(FIELDS), parts, max_size=1),
)


@settings(max_examples=400, deadline=None)
@given(histories | broken)
def test_a_plain_part_is_seen_as_a_whole_reading_sees_it(message):
    try:
        found = plain.see_parts(message)
    except plain.NotPlain:
        return
    assert found == seen._see_segments(message)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
def test_usual_parts_are_plain(part, role):
    """Else they cost an agent's call a whole reading each."""
    if role != "assistant" and part in (THOUGHT, *PARTS[7:9]):
        return  # a thought of a client is its words
    assert plain.see_parts({"role": role, "items": [part]}) is not None
