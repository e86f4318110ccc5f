"""Values of a JSON text are counted before it is parsed, and only those outside strings."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations import bounded_json
from conversations.bounded_json import TooManyValues, has_more_values, parse
from conversations.reading.turn_pieces import tool_call
from conversations.record import threads
from conversations.report import assessments

MOST = bounded_json.MOST_VALUES
FULL_OF_MARKS = ',[{"},[\\",\\\\"\\' * 3
texts = st.text(alphabet=st.sampled_from('ab,[{}]":\\ \n/u0'), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)


def count_marks(value: object) -> int:
    """Commas and opening brackets that the parsed value was written with."""
    if isinstance(value, list):
        return 1 + max(0, len(value) - 1) + sum(map(count_marks, value))
    if isinstance(value, dict):
        return 1 + max(0, len(value) - 1) + sum(map(count_marks, value.values()))
    return 0


@given(values, st.booleans(), st.sampled_from([None, 1]))
def test_only_marks_outside_strings_count(value, is_ascii, indent):
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode()
    count = count_marks(value)
    assert not has_more_values(text, count)
    assert parse(text, count) == value
    if count:
        assert has_more_values(text, count - 1)


@pytest.mark.parametrize(
    "piece",
    [
        "[],",
        "{},",
        "0,",
        '"",',
        '"a",',
        "[[[]]],",
        '{"":0},',
        '{"a":[]},',
        "null,",
        "[ ] ,",
        '"\\\\",',
    ],
)
def test_many_small_values_are_not_parsed(piece):
    text = f"[{piece * (MOST + 1)}0]".encode()
    tracemalloc.start()
    with pytest.raises(TooManyValues):
        parse(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(text) + (160 << 20)


@pytest.mark.parametrize(
    "start", ["", '{"a', '{"a"', '["a","', "[\\", '[\\"', '"', "[0 0", "[}", "\ufeff", "[1,]"]
)
def test_mistakes_hide_no_values(start):
    """A mistake that would end a string too many must not make a parser see more than we do."""
    text = (start + "[],0," * MOST).encode()
    with pytest.raises(ValueError, match=r"more than|line 1"):
        parse(text)


def test_ten_megabytes_of_text_are_one_value():
    table = '1,"a ""quoted"" cell",[x],{y}\r\n' * (10 << 20 >> 5)
    assert parse(json.dumps({"content": table})) == {"content": table}


@pytest.mark.parametrize("text", ["[" + "[]," * MOST + "[]]", "[" * 100_000, "[" * 300 + "]" * 300])
def test_json_inside_a_message_is_bounded_too(text):
    """Tool arguments and assessments are JSON in a string of what a client or a model wrote."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": text}}
    assert threads.encode_canonical({"role": "assistant", "tool_calls": [call]})
    assert text[:100] in tool_call(call).text.replace("\n", "").replace(" ", "")
    with pytest.raises(assessments.Unsound):
        assessments.read({"choices": [{"message": {"role": "assistant", "content": text}}]})
