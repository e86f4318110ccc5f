"""Whatever a client may send: strategies of JSON and of messages."""

from hypothesis import strategies as st

numbers = st.one_of(
    st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["", " ", "\0", "a\0b", "\u202e", "null", "{}", "$attachment", "$message"]
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
tool_calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": texts,
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": texts, "arguments": texts}),
        }
    ),
    max_size=2,
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "developer", "tool", "x\0", ""])},
        optional={
            "content": texts | values,
            "tool_calls": tool_calls,
            "cache_control": values,
            "refusal": st.none() | texts,
            "reasoning": texts,
            "$message": texts,
            "name": values,
        },
    ),
    min_size=1,
    max_size=6,
)
