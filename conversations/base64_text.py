"""Base64 as clients write it: its bytes, and how to write the same text again.

In lines or with other space in it, in the alphabet of URLs, without padding, or in pieces that are
padded each (as a stream's deltas are when they are joined). It needs the standard library alone:
exports carry it, beside the program that checks them.
"""

import re
from base64 import b64decode, b64encode
from itertools import groupby, islice
from typing import Any

# How a text differs from what b64encode makes: {} where it does not. "alphabet": "url";
# "padding": False; "lines": [times, characters, space behind] …; "pieces": [times, bytes] ….
Spelling = dict[str, Any]
SPACE = re.compile(r"([ \t\r\n]+)")
BEGINNING = re.compile(r"[A-Za-z0-9+/_= \t\r\n-]*")
WHOLE = re.compile(r"[A-Za-z0-9+/]*={0,2}")
PIECE = re.compile(r"[^=]+={0,2}")
SHORTEST = 32  # characters of a line or piece, on average: words have fewer
URL, STANDARD = str.maketrans("+/", "-_"), str.maketrans("-_", "+/")


def read(text: str) -> tuple[bytes, Spelling] | None:
    """Return the bytes of a text and its spelling; None where it is no base64."""
    if not BEGINNING.fullmatch(text, 0, 256):
        return None
    spelling: Spelling = {}
    try:
        text = _close_up(text, spelling)
        text = _translate(text, spelling)
        pieces = _cut(text, spelling)
        decoded = [b64decode(piece, validate=True) for piece in pieces]
    except ValueError:
        return None
    if "".join(b64encode(piece).decode() for piece in decoded) != text:
        return None  # signs that no encoder writes
    return b"".join(decoded), spelling


def _close_up(text: str, spelling: Spelling) -> str:
    """Return a text without space, and note where it stood. Raises ValueError where it is words."""
    most = len(text) // SHORTEST
    if next(islice(SPACE.finditer(text), most, None), None):
        raise ValueError  # before millions of words are split
    parts = SPACE.split(text)
    if len(parts) == 1:
        return text
    spelling["lines"] = _count(zip(map(len, parts[::2]), [*parts[1::2], ""], strict=True))
    return "".join(parts[::2])


def _translate(text: str, spelling: Spelling) -> str:
    """Return a text in the standard alphabet and with padding. Raises ValueError."""
    if "-" in text or "_" in text:
        if "+" in text or "/" in text:
            raise ValueError
        spelling["alphabet"] = "url"
        text = text.translate(STANDARD)
    if len(text) % 4:
        if "=" in text:
            raise ValueError
        spelling["padding"] = False
        text += "=" * (-len(text) % 4)
    return text


def _cut(text: str, spelling: Spelling) -> list[str]:
    """Return the pieces of a text that are padded each. Raises ValueError."""
    if WHOLE.fullmatch(text):
        return [text]
    if text.count("=") // 2 * SHORTEST > len(text):
        raise ValueError
    pieces = PIECE.findall(text)
    spelling["pieces"] = _count((3 * len(piece) // 4 - piece.count("="),) for piece in pieces)
    return pieces


def write(data: bytes, spelling: Spelling) -> str:
    """Return the text that has these bytes and this spelling."""
    at, encoded = 0, []
    for times, size in spelling.get("pieces", [[1, len(data)]]):
        for _ in range(times):
            encoded.append(b64encode(data[at : at + size]).decode())
            at += size
    text = "".join(encoded)
    if "padding" in spelling:
        text = text.rstrip("=")
    if "alphabet" in spelling:
        text = text.translate(URL)
    if "lines" not in spelling:
        return text
    at, lines = 0, []
    for times, length, space in spelling["lines"]:
        for _ in range(times):
            lines += [text[at : at + length], space]
            at += length
    return "".join(lines)


def _count(items: Any) -> list[list[Any]]:
    """Return each run of equal items as one, with its length ahead."""
    return [[len(list(run)), *item] for item, run in groupby(items)]
