"""Path hashes and ids that rows hold already: a table of them that may be added to, never changed.

A conversation is found by names that were stored years ago. Where one of these changes, every
history that clients still hold begins a conversation anew.
"""

import json
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import orjson
import pytest

from conversations import exact_json
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


@pytest.mark.parametrize("load", [orjson.loads, exact_json.loads])
def test_stored_names_of_numbers_that_were_floats_never_change(load):
    hashes = threads.hash_path(KEY, threads.TURNS, [load(message) for message in NUMBERS])
    assert [name.hex() for name in hashes] == HASHES_OF_NUMBERS


def test_a_number_has_an_id_of_its_digits():
    """A row that holds 1.5e+22 is no row of 15000000000000000000001."""
    ids = {
        threads.make_message_ids(KEY, CONVERSATION, threads.TURNS, [load(message)])[0]
        for message in NUMBERS[:2]
        for load in (orjson.loads, exact_json.loads)
    }
    assert len(ids) == 3  # the second's are in a string


# As JSON: a number that a double or 64 bits do not hold was one of those until it kept its digits.
NUMBERS = [
    r'{"role":"user","content":[{"type":"x","seed":12345678901234567890123},'
    r'{"type":"y","share":0.1000000000000000055}]}',
    r'{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":'
    r'{"name":"f","arguments":"{\"a\": 12345678901234567890123, \"b\": 1e400}"}}]}',
    r'{"role":"assistant","content":null,"tool_calls":[{"id":"c2","type":"function","function":'
    r'{"name":"f","arguments":"{\"a\": 12345678901234567890123, \"b\": -0.0}"}}]}',
    r'{"role":"tool","tool_call_id":"c1","content":"18446744073709551616",'
    r'"score":18446744073709551616,"nothing":-0.0,"small":1e-400,"most":18446744073709551615}',
    r'{"role":"assistant","content":null,"tool_calls":[{"id":"c3","type":"function","function":'
    r'{"name":"f","arguments":{"a":-9223372036854775809}}}]}',
]
HASHES_OF_NUMBERS = [
    "ef261ec926a250b7cdde61843bb06606612225f052eede9ac22ea34836f52959",
    "b1359afa6cbe1bcdeacc8541306917b2098ce5eadd55c1c7a60118e0bfc775cd",
    "94cc30589890a4a5c6503d2c44a40a1d335187db6c6c07731f4650c4e9b07766",
    "f16c2c03872254c5b32ee74a55f20d7160fe62be3c6165e518ffc656555a6593",
    "197851e5c628152aa97c24e860290ba95279ca51c9a59d7f0cf3306592a688bd",
]
HASHES = [
    "21932e686f4c7cb7c19b5ef726d8ff96dc006e57dc81f8efa8892413e4399936",
    "1a3490d7ecc59c7c9ac41290f9b87713588d92557bde4e22811095cb1404d2f3",
]
IDS = [
    "0123456789ab5c126880d84883200c21",
    "0123456789abb65d8d389cd21e7089cc",
]
