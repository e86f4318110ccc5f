"""What has come of a request, before a thread takes it. Pure.

Only how much there is to wait for is read here. Whether it is HTTP, and what it means, is for
gunicorn's parser; where that is in doubt, a thread is to look.
"""

import re
from enum import Enum

SMALL = 32 << 10  # bytes of a body that is waited for without a thread
LONGEST_HEAD = 64 << 10  # bytes
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r\n", re.IGNORECASE)
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

    A body that says to have more than `most` bytes is not waited for: nothing of it is read.
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
    missing = int(length[1]) - (len(data) - len(head)) if length else 0
    if missing <= 0 or missing > most:
        return Arrival.WHOLE
    return Arrival.BODY if len(data) - len(head) < SMALL else Arrival.LONG
