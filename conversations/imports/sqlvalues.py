"""Values of an SQL dump, as PostgreSQL itself reads them. Pure.

What it reads in another way than this, or not at all, is unreadable, and never something else.
"""

import re
from decimal import Decimal

ESCAPED = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
FIELD = re.compile(rb"(?:^|\t)((?:\\.|[^\\\t])*)", re.DOTALL)
LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
# Types that keep a text as it is, or as this reads it. Others cut it, round it, or are no text.
TYPES = {
    *(" text varchar json jsonb uuid boolean bool numeric decimal float8").split(" "),
    "character varying",
    "double precision",
}
TIMES = re.compile(
    r"timestamp(?:\(6\))?(?: without time zone)?"
    r"|(?P<zoned>timestamptz(?:\(6\))?|timestamp(?:\(6\))? with time zone)"
)
ZONE = re.compile(rb":\d\d.*[-+A-Za-z]")  # of a time
LARGEST_EXPONENT = 1000  # of a number: enough for a real one, and little to write down


class UnreadableDump(ValueError):
    """Why a row cannot be read: fit to show, without any of its content."""


class BrokenDump(UnreadableDump):
    """Why the rest of the dump cannot be read."""


def check_type(column: str, name: bytes, text: bytes) -> None:
    """Raise UnreadableDump where a value of this type is another than its text."""
    spelled = name.decode(errors="replace").lower()
    time = TIMES.fullmatch(spelled)
    if spelled not in TYPES and not time:
        raise UnreadableDump(f"{column} is of the type {spelled[:50]}, which is not read here")
    if time and not time["zoned"] and ZONE.search(text):
        raise UnreadableDump(f"{column} has a time zone, which its type {spelled} drops")


def write_number(column: str, text: str) -> str:
    """Write a number as PostgreSQL prints it."""
    number = Decimal(text)
    if abs(number.adjusted()) > LARGEST_EXPONENT:
        raise UnreadableDump(f"{column} is a number of more than {LARGEST_EXPONENT} digits")
    return f"{number if number else abs(number):f}"


def decode(text: bytes) -> str:
    if b"\0" in text:
        raise UnreadableDump("it has a character NUL, which no text of PostgreSQL has")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise UnreadableDump("it is not UTF-8") from None


def split_fields(line: bytes) -> list[bytes]:
    """The fields of a copied row, still escaped. Raises UnreadableDump."""
    if b"\r" in line and b"\r" in ESCAPED.sub(b"", line):
        raise UnreadableDump("it has a carriage return that COPY does not take")
    if b"\\\t" not in line:
        return line.split(b"\t")
    return [field[1] for field in FIELD.finditer(line)]


def unescape_copied(field: bytes) -> bytes:
    """What a field of a COPY stands for. Raises UnreadableDump."""
    if b"\\." in field and any(each[3] == b"." for each in ESCAPED.finditer(field)):
        raise UnreadableDump("it has an end of the COPY inside of it")
    return ESCAPED.sub(_copied, field)


def unescape_text(text: bytes) -> bytes:
    """What stands in E'…'. Raises UnreadableDump."""
    return ESCAPED.sub(_character, text)


def _character(match: re.Match[bytes]) -> bytes:
    if match[3] and match[3] in b"uU":
        raise UnreadableDump("it has escapes of a kind that pg_dump does not write")
    return _copied(match)


def _copied(match: re.Match[bytes]) -> bytes:
    if octal := match[1]:
        return bytes([int(octal, 8) & 255])
    if byte := match[2]:
        return bytes([int(byte, 16)])
    return LETTERS.get(match[3], match[3])
