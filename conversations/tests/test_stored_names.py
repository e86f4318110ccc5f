"""Path hashes and ids that rows hold already: a table of them that may be added to, never changed.

A conversation is found by names that were stored years ago. Where one of these changes, every
history that clients still hold begins a conversation anew.
"""

import json
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from conversations.record import threads

KEY = bytes(range(32))
CONVERSATION = UUID("01234567-89ab-7def-8123-456789abcdef")
STORED = json.loads(Path(__file__).with_name("stored_names.json").read_text())
PREAMBLE = [
    {"role": "developer", "content": "Be brief."},
    {"role": "system", "content": [{"type": "text", "text": "x"}]},
]


@pytest.mark.parametrize("path", STORED, ids=[path["name"] for path in STORED])
def test_stored_names_of_turns_never_change(path):
    messages = path["messages"]
    hashes = threads.hash_path(KEY, threads.TURNS, messages)
    assert [name.hex() for name in hashes] == path["hashes"]
    ids = threads.make_message_ids(KEY, CONVERSATION, threads.TURNS, messages)
    assert [name.hex for name in ids] == path["ids"]
    assert threads.hash_next(KEY, None, messages[0]).hex() == path["hashes"][0]
    for (above, below), message in zip(pairwise(hashes), messages[1:], strict=True):
        assert threads.hash_next(KEY, above, message) == below


@pytest.mark.parametrize("path", STORED, ids=[path["name"] for path in STORED])
def test_stored_names_of_replies_never_change(path):
    replies = [threads.fold_reply(message) for message in path["messages"]]
    ids = threads.make_message_ids(KEY, CONVERSATION, threads.TURNS, replies)
    assert [name.hex for name in ids] == path["reply_ids"]
    # A reply's row hangs from the request's last message by the hash that a client's history has.
    assert [name.hex() for name in threads.hash_path(KEY, threads.TURNS, replies)] == path["hashes"]


def test_stored_names_of_a_preamble_never_change():
    assert [name.hex() for name in threads.hash_path(KEY, threads.PREAMBLE, PREAMBLE)] == HASHES
    ids = threads.make_message_ids(KEY, CONVERSATION, threads.PREAMBLE, PREAMBLE)
    assert [name.hex for name in ids] == IDS


HASHES = [
    "21932e686f4c7cb7c19b5ef726d8ff96dc006e57dc81f8efa8892413e4399936",
    "1a3490d7ecc59c7c9ac41290f9b87713588d92557bde4e22811095cb1404d2f3",
]
IDS = [
    "0123456789ab5c126880d84883200c21",
    "0123456789abb65d8d389cd21e7089cc",
]
