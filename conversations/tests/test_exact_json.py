"""Numbers of JSON keep their value, whatever doubles and 64 bits hold."""

import json
import time
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.exact_json import LONGEST, Number, dumps, dumps_nearly, loads
from conversations.tests.anything import values

KEPT = [
    "12345678901234567890123",
    "-9223372036854775809",
    "18446744073709551616",
    "0.1000000000000000055",
    "0.30000000000000004441",
    "1e400",
    "-1E+400",
    "2.5e-400",
    "1e9999",
    "-1.5E-009999",
    "1" * LONGEST,
]
HELD = [  # by doubles and 64 bits: these cost nothing
    "18446744073709551615",
    "-9223372036854775808",
    "0.30000000000000004",
    "0.1000000000000000000000",
    "1e308",
    "5e-324",
    "-0.0",
    "0",
]
written = st.from_regex(
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?", fullmatch=True
)
digits = st.sampled_from(KEPT + HELD) | written


def same(text: bytes):
    """A text with all its numbers as decimals: equal where their values are."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


@given(st.lists(digits, max_size=5), st.text(max_size=20), digits)
def test_every_number_leaves_with_its_value(numbers, words, last):
    quoted = json.dumps(words + last)
    text = f'{{"a": [{", ".join(numbers)}], {quoted}: {quoted}, "b": {{"c": {last}}}}}'.encode()
    assert same(dumps(loads(text))) == same(text)
    assert loads(dumps(loads(text.decode()))) == loads(text)


@pytest.mark.parametrize("text", KEPT)
def test_a_number_that_no_float_is_keeps_its_digits(text):
    [number] = loads(f"[{text}]")
    assert isinstance(number, Number)
    assert (str(number), dumps(number)) == (text, text.encode())
    assert float(number) == float(text)


@pytest.mark.parametrize("text", HELD)
def test_all_others_are_what_they_always_were(text):
    [number], [plain] = loads(f"[{text}]"), orjson.loads(f"[{text}]")
    assert (type(number), dumps(number)) == (type(plain), orjson.dumps(plain))


@given(values)
def test_a_text_without_such_numbers_is_read_and_written_as_before(value):
    text = orjson.dumps(value)
    assert loads(text) == value
    assert dumps(value) == text == dumps_nearly(value)


NO_JSON = {
    "NaN": "[NaN, 1e400]",
    "Infinity": "[Infinity, 1e400]",
    "minus Infinity": "[-Infinity, 12345678901234567890123]",
    "a zero ahead": "[012345678901234567890123]",
    "two points": "[1.2.34567890123456789]",
    "no digits behind the point": "[12345678901234567890.]",
    "two exponents": "[1e400e4]",
    "half of a pair": '["\\ud800", 1e400]',
    "no UTF-8": b'["\xff", 1e400]',
    "half of it": '{"a": 12345678901234567890123',
    "two": "1e400 1e400",
    "in a string without end": '["1e400',
    "2,000 levels": "[" * 2000 + "1e400" + "]" * 2000,
    "1,000 levels": "[" * 1000 + "1e400" + "]" * 1000,
    "too many digits": "1" * (LONGEST + 1),
    "a large exponent": "[1e10000]",
    "a small one": "[1e-10000]",
    "one beyond all": "[1e99999999999999999999]",
    "very many digits": "1" * 1_000_000 + ".5",
}


@pytest.mark.parametrize("text", NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - it comes from two parsers
        loads(text)


def test_digits_in_strings_are_letters():
    text = rb'{"1e400": "12345678901234567890123 \" 1e400 \\", "b\\": "1e400"}'
    assert loads(text) == orjson.loads(text)


def test_the_work_is_linear_in_the_numbers():
    def took(count: int) -> float:
        text = b"[%s]" % b",".join([b"0.00123456789012345678"] * count)
        began = time.process_time()
        loads(text)
        return time.process_time() - began

    took(1000)
    assert took(80_000) < 30 * took(20_000)
