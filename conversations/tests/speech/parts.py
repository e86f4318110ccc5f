"""Whatever a message may hold: parts of all dialects, of none, and broken ones."""

from hypothesis import strategies as st

from conversations.speech import chat, reading
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


def list_strings(value, *, with_types=True):
    """Each string of a value; keys, too, but those that a segment's kind tells, or of nothing."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from list_strings(item, with_types=with_types)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key.endswith("§") and inner not in (None, "", [], {}):
                yield key
            is_told = key == "type" and (inner in ("message", *reading.TOLD) or not with_types)
            if not (is_told or (key == "role" and isinstance(inner, str))):
                yield from list_strings(inner, with_types=with_types)
