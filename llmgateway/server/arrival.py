"""What has come of a request, before a thread takes it. Pure.

Only how much there is to wait for is read here. Whether it is HTTP, and what it means, is for
gunicorn's parser; where that is in doubt, a thread is to look.
"""

import re
from enum import Enum

SMALL = 32 << 10  # bytes of a body that is waited for without a thread
LONGEST_HEAD = 64 << 10  # bytes
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
DIGITS = 16  # of a length; with more it is larger than any that is read
# The body is of unknown length, or its sender waits for a word.
LONG = re.compile(rb"\r\n(transfer-encoding|expect):", re.IGNORECASE)
BARE = re.compile(rb"(?<!\r)\n")


class Arrival(Enum):
    NOTHING = "nothing"
    HEAD = "a part of its head"
    BODY = "its head, and a part of a small body"
    LONG = "its head, and a part of a body that a thread has to read"
    WHOLE = "all of it"


def judge(data: bytes, most: int) -> Arrival:
    """Tell what bytes from a connection amount to, from the start of a request on.

    A body that says to have more than `most` bytes is not waited for: its refusal is a reader's,
    since who never sends the rest holds the thread that closes the connection.
    """
    data = data.lstrip(b"\r\n")
    if not data:
        return Arrival.NOTHING
    end = data.find(b"\r\n\r\n")
    head = data if end < 0 else data[: end + 4]
    if BARE.search(head):
        return Arrival.WHOLE  # no HTTP: the parser says so at once
    if end < 0:
        return Arrival.HEAD if len(data) < LONGEST_HEAD else Arrival.LONG
    if LONG.search(head):
        return Arrival.LONG
    length = LENGTH.search(head)
    said = int(length[1].lstrip(b"0")[:DIGITS] or 0) if length else 0
    missing = said - (len(data) - len(head))
    if missing <= 0:
        return Arrival.WHOLE
    is_small = missing <= most and len(data) - len(head) < SMALL
    return Arrival.BODY if is_small else Arrival.LONG
