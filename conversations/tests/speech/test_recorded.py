"""A request in the form of its record, and made again from it: equal, in each dialect."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.record import threads
from conversations.speech import dialects, messages, responses
from conversations.tests import anything

TOOLS = [{"name": "ls", "input_schema": {}}]
EPHEMERAL = {"type": "ephemeral"}
U1 = {"role": "user", "content": "Hi"}
A1 = {"role": "assistant", "content": [{"type": "text", "text": "Yes?"}]}


def block(text, **fields):
    return {"type": "text", "text": text, **fields}


def split(dialect, body):
    return dialects.split_request(body, dialect)


def test_messages_are_recorded_without_their_marks():
    marked = {"role": "user", "content": [block("a"), block("b", cache_control=EPHEMERAL)]}
    body = {"model": "m", "max_tokens": 9, "system": "Be", "tools": TOOLS}
    recorded = split("messages", body | {"messages": [U1, A1, marked]})
    assert recorded.params == {
        "$as": "messages",
        "model": "m",
        "max_tokens": 9,
        "$marks": [[2, [1], EPHEMERAL]],
    }
    assert recorded.preamble == [
        {"role": "$tools", "tools": TOOLS},
        {"role": "$system", "content": "Be"},
    ]
    assert recorded.turns == [U1, A1, {"role": "user", "content": [block("a"), block("b")]}]


def test_a_mark_that_wanders_makes_no_other_row():
    """The newest message has it; in the next call it comes back as a text without."""
    marked = {"role": "user", "content": [block("Hi", cache_control=EPHEMERAL)]}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [block("x")]}
    inner = result | {"content": [block("x", cache_control=EPHEMERAL)]}
    before = split("messages", {"messages": [marked, A1, {"role": "user", "content": [inner]}]})
    after = split("messages", {"messages": [U1, A1, {"role": "user", "content": [result]}]})
    assert before.turns == after.turns
    assert before.params == {
        "$as": "messages",
        "$marks": [[0, None, EPHEMERAL], [2, [0, 0], EPHEMERAL]],
    }
    assert after.params == {"$as": "messages"}


def test_items_are_recorded_in_groups():
    developer = {"role": "developer", "content": "Be"}
    user = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    kinds = ["reasoning", "message", "function_call", "tool_search_call", "function_call_output"]
    model = [{"type": kind, "id": kind} for kind in kinds[:4]]
    client = [
        {"type": kinds[4], "call_id": "c"},
        {"type": "tool_search_output", "execution": "client"},
    ]
    server = {"type": "tool_search_output", "execution": "server"}
    items = [developer, user, *model, *client, server, user]
    body = {"model": "m", "tools": TOOLS, "instructions": "Now", "input": items, "store": False}
    recorded = split("responses", body)
    assert recorded.params == {"$as": "responses", "model": "m", "store": False}
    assert recorded.preamble == [
        {"role": "$tools", "tools": TOOLS},
        {"role": "$instructions", "content": "Now"},
        developer,
    ]
    assert recorded.turns == [
        user,
        responses.group_reply(model),
        {"role": "tool", "items": client},
        responses.group_reply([server]),
        user,
    ]


def test_an_input_that_is_a_text_is_a_message():
    recorded = split("responses", {"input": "Hi"})
    assert recorded.params == {"$as": "responses", "$input": "text"}
    assert recorded.turns == [U1]


def test_tools_of_chat_are_said_ahead():
    system = {"role": "system", "content": "Be"}
    recorded = split("chat", {"model": "m", "tools": TOOLS, "messages": [system, U1]})
    assert recorded == ({"model": "m"}, [{"role": "$tools", "tools": TOOLS}, system], [U1])


blocks = st.recursive(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "image", "odd"])},
        optional={
            "text": anything.texts,
            "cache_control": st.sampled_from([EPHEMERAL, None, "x"]),
            "x": anything.values,
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {"type": st.just("tool_result"), "content": st.lists(inner | anything.values, max_size=3)},
        optional={"cache_control": st.just(EPHEMERAL)},
    ),
    max_leaves=6,
)
rows = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "developer", "tool", ""])},
    optional={
        "content": st.lists(blocks | anything.values, max_size=4) | anything.texts | st.none(),
        "cache_control": st.just(EPHEMERAL),
        "items": anything.values,
        "x": anything.values,
    },
)
kinds = st.sampled_from(["message", *responses.SHAPES, *responses.CLIENT_ITEMS, "odd"])
items = st.builds(
    lambda kind, fields: {"type": kind} | fields,
    kinds,
    st.dictionaries(
        st.sampled_from(["id", "role", "execution", "items", "output"]), anything.values
    ),
)
field = anything.values | st.lists(blocks, max_size=2)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "model": anything.texts,
        "messages": st.lists(rows, max_size=5) | field,
        "input": st.lists(rows | items, max_size=6) | field,
        "system": field,
        "instructions": field,
        "tools": st.lists(anything.values, max_size=3) | field,
        "cache_control": st.just(EPHEMERAL),
        "x": anything.values,
    },
).filter(lambda body: not dialects.find_reserved(body))


@settings(max_examples=300, deadline=None)
@given(bodies, st.sampled_from(sorted(dialects.DIALECTS)))
def test_each_request_is_made_again_from_its_record(body, dialect):
    before = copy.deepcopy(body)
    recorded = split(dialect, body)
    assert body == before
    assert dialects.join_request(recorded) == body
    kept = [
        threads.put_together(*threads.take_apart(json.loads(json.dumps(row))))
        for row in [*recorded.preamble, *recorded.turns]
    ]
    assert kept == [*recorded.preamble, *recorded.turns]
    assert body == before


@settings(max_examples=200, deadline=None)
@given(st.lists(rows, min_size=1, max_size=5))
def test_no_mark_is_left_in_a_row(history):
    recorded = split("messages", {"messages": history})
    for row in recorded.turns:
        content = row.get("content")
        for part in content if isinstance(content, list) else []:
            if isinstance(part, dict):
                assert messages.MARK not in part
                inner = part.get("content")
                for each in inner if isinstance(inner, list) else []:
                    assert not isinstance(each, dict) or messages.MARK not in each


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"$marks": []}, "$marks"),
        ({"messages": [U1, {"role": "$tools"}]}, "messages[1].role"),
        ({"input": [{"role": "$instructions"}]}, "input[0].role"),
        ({"messages": [U1, 5, {"role": 5}], "input": "$as", "model": "$as"}, ""),
    ],
)
def test_names_of_ours_are_found(body, path):
    assert dialects.find_reserved(body) == path


def test_a_dialect_is_read_or_refused():
    assert dialects.read_dialect({}) == "chat"
    assert dialects.read_dialect({"$as": "responses"}) == "responses"
    for unknown in ("esperanto", None, ["chat"]):
        with pytest.raises(ValueError, match="unknown dialect"):
            dialects.read_dialect({"$as": unknown})
