"""Each string of a message is in a segment, as what it is or by the name of its field."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.speech import chat, messages, reading, responses
from conversations.speech.segments import walk
from conversations.tests import anything

FIELDS = sorted(
    {
        name
        for shape in [*reading.SHAPES.values(), chat.TOOL, chat.RESULT]
        for names in (
            *(shape.text, shape.name, shape.call, shape.address, shape.file),
            *(shape.value, shape.inner, shape.tools, shape.opened),
        )
        for name in names
    }
)
TYPES = st.sampled_from([*reading.SHAPES, "message", "reasoning.text", "hologram", "base64"])
ROLES = ("user", "assistant", "system", "developer", "tool", "function")


def unique(marker):
    """A string that is in no other place."""
    return st.integers(0, 10**9).map(lambda number: f"{marker}{number}§")


texts = unique("s") | anything.texts
names = st.sampled_from(FIELDS) | st.sampled_from(["role", "type", "id", "status"]) | unique("k")
references = st.builds(lambda digest: {"$attachment": [digest, "data:"]}, unique("d"))
parts = st.recursive(
    texts | references | anything.values,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.builds(
            lambda kind, fields: ({"type": kind} if kind else {}) | fields,
            TYPES | st.none() | texts,
            st.dictionaries(names, inner, max_size=4),
        )
    ),
    max_leaves=12,
)
said = st.builds(
    lambda role, fields: {"role": role} | fields,
    st.sampled_from([*ROLES, "$tools", "$system"]) | texts,
    st.dictionaries(
        st.sampled_from(
            [
                *("content", "items", "tool_calls", "function_call", "refusal", "audio", "images"),
                *("annotations", "tools", "tool_call_id", "name", "type", "role"),
                *chat.THOUGHTS,
                *chat.THOUGHT_PARTS,
            ]
        )
        | names,
        parts | st.lists(parts, max_size=4),
        max_size=6,
    ),
)


def list_strings(value):
    """Each string of a value; keys, too, but those that a segment's kind tells, or of nothing."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from list_strings(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key.endswith("§") and inner not in (None, "", [], {}):
                yield key
            if not (key in ("type", "role") and isinstance(inner, str)):
                yield from list_strings(inner)
            elif inner.endswith("§") and key == "type":
                yield inner  # a type that is not known


def show(found):
    """All that the segments hold, as one text."""
    return "\0\0".join(
        [
            "\0\0".join([each.text, each.name, each.call, each.address])
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


@settings(max_examples=400, deadline=None)
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


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(names, parts, max_size=5), TYPES)
def test_no_role_inside_a_message_is_lost(fields, kind):
    item = {"type": kind, "role": "critic§"} | fields
    shown = show(reading.read_message({"role": "assistant", "items": [item]}))
    assert "critic§" in shown or item["role"] != "critic§"


def test_the_table_has_fields_to_try():
    assert {"input", "tool_use_id", "image_url", "action", "summary"} <= {*FIELDS}
    assert responses.SHAPES.keys() & {"function_call"}
    assert messages.SHAPES.keys() & {"tool_use"}
