"""JSON whose numbers leave with the value that they came with.

What a double or 64 bits would change (12345678901234567890123, 0.1000000000000000055, 1e400) is
read as a Number: a float near it, which keeps its digits. Few texts have such a number, and their
bytes tell; all others are read by orjson alone. NaN and Infinity are no JSON.
"""

import json
import re
from decimal import Decimal
from functools import partial
from typing import Any, NoReturn

import orjson

# What a number may have: PostgreSQL's jsonb and Python's Decimal take as much.
LONGEST = 1000  # characters
LARGEST = 9999  # of its exponent
TOO_LONG = f"a number has more than {LONGEST:,} characters"
TOO_LARGE = f"a number's exponent is beyond {LARGEST:,}"
SAFE_DIGITS = 15  # of a decimal: a double keeps them
MOST_DIGITS = 17  # that tell a double from all others
INTEGERS = range(-(2**63), 2**64)  # that orjson reads and writes
DIGITS = bytes.maketrans(b"123456789.E", b"0000000000e")
# What a text with such a number has, its digits as zeros and without signs.
LONG, LARGE = b"0" * (SAFE_DIGITS + 1), b"0e000"
CANDIDATE = re.compile(rb"-?\d[\d.]{15,}(?:[eE][+-]?\d+)?|-?\d[\d.]*[eE][+-]?\d{3,}")
# A string, or a number that may be too large for a double.
INFINITE = re.compile(
    rb'("(?:[^"\\]|\\.)*+")|-?\d(?:[\d.]*+[eE][+-]?\d{3,}|[\d.]{300,}+(?:[eE][+-]?\d+)?)', re.DOTALL
)


class Number(float):
    """A number that a float only comes near to: `digits` say it as it was written."""

    digits: str

    def __new__(cls, digits: str) -> "Number":
        number = super().__new__(cls, digits)
        number.digits = digits
        return number

    def __repr__(self) -> str:
        return self.digits


def loads(text: bytes | str) -> Any:
    """Parse a text. Raises ValueError."""
    data = text if isinstance(text, bytes) else text.encode(errors="replace")
    return _load_exactly(data) if _has_numbers(data) else orjson.loads(text)


def dumps(value: Any, option: int = 0) -> bytes:
    """Write a value, each Number by its digits."""
    return orjson.dumps(value, default=write_number, option=option)


def dumps_nearly(value: Any, option: int = 0) -> bytes:
    """Write a value, each Number as the float that is next to it; null where that is infinite."""
    return orjson.dumps(value, default=float.__pos__, option=option)


def write_number(value: Any) -> orjson.Fragment:
    """Write what orjson does not know. Raises TypeError for all but a Number."""
    if isinstance(value, Number):
        return orjson.Fragment(value.digits)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _has_numbers(data: bytes) -> bool:
    """Tell whether a text has a number that is read as Number. Raises ValueError."""
    if not _has_signs(data):
        return False
    # Backslashes stand in strings only; the first of a row begins an escape.
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in data else data
    outside = b'"'.join(bare.split(b'"')[::2])
    if not _has_signs(outside):
        return False
    candidates = CANDIDATE.findall(outside)
    if max(map(len, candidates), default=0) > LONGEST:
        raise ValueError(TOO_LONG)
    near = orjson.dumps(list(map(float, candidates)))[1:-1].split(b",")
    return any(
        digits != same and type(_read_number(digits.decode())) is Number
        for digits, same in zip(candidates, near, strict=False)
    )


def _has_signs(data: bytes) -> bool:
    zeros = data.translate(DIGITS, b"+-")
    return LONG in zeros or LARGE in zeros


def _read_number(digits: str) -> int | float | Number:
    """Read one number. Raises ValueError, also for one too long to be kept."""
    if len(digits) > LONGEST:
        raise ValueError(TOO_LONG)
    if digits.lstrip("-").isdecimal():
        whole = int(digits)
        return whole if whole in INTEGERS else Number(digits)
    mantissa, exponent = digits.lower().partition("e")[::2]
    if exponent and abs(int(exponent)) > LARGEST:
        raise ValueError(TOO_LARGE)
    if len(mantissa.replace(".", "").strip("-0")) > MOST_DIGITS:
        return Number(digits)
    near = float(digits)
    if repr(near) == digits or Decimal(digits) == Decimal(repr(near)):
        return near
    return Number(digits)


def _load_exactly(data: bytes) -> Any:
    """Parse slowly what orjson would take but for its numbers. Raises ValueError."""
    orjson.loads(INFINITE.sub(_stand_in, data))  # it takes all but infinite ones
    try:
        return _loads(data)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _stand_in(token: re.Match[bytes]) -> bytes:
    return token[1] or b"0"


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


_loads = partial(
    json.loads, parse_int=_read_number, parse_float=_read_number, parse_constant=_refuse
)
