"""Each string of a message is in a segment, as what it is or by the name of its field."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.speech import messages, reading, responses
from conversations.speech.segments import walk

from .parts import FIELDS, TYPES, list_strings, names, parts, said


def show(found):
    """All that the segments hold, as one text."""
    return "\0\0".join(
        [
            "\0\0".join([each.text, each.name, each.call, each.address, each.type])
            + "".join(f"\0\0{text}" for value in (each.file, each.value) for text in all_of(value))
            for each in walk(found)
        ]
    )


def all_of(value):
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in [key, *all_of(inner)]]
    if isinstance(value, list):
        return [text for inner in value for text in all_of(inner)]
    return [value] if isinstance(value, str) else []


@settings(max_examples=200, deadline=None)
@given(said)
def test_no_string_of_a_message_is_lost(message):
    before = copy.deepcopy(message)
    shown = show(reading.read_message(message))
    assert message == before
    rest = {name: value for name, value in message.items() if name != "role"}
    for text in list_strings(rest):
        assert text in shown, text
    if not isinstance(message["role"], str):
        for text in list_strings(message["role"]):
            assert text in shown, text


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(names, parts, max_size=5), TYPES)
def test_no_role_inside_a_message_is_lost(fields, kind):
    item = {"type": kind, "role": "critic§"} | fields
    shown = show(reading.read_message({"role": "assistant", "items": [item]}))
    assert "critic§" in shown or item["role"] != "critic§"


def test_the_table_has_fields_to_try():
    assert {"input", "tool_use_id", "image_url", "action", "summary"} <= {*FIELDS}
    assert responses.SHAPES.keys() & {"function_call"}
    assert messages.SHAPES.keys() & {"tool_use"}
