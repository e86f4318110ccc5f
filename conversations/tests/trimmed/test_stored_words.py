"""Word hashes that rows hold already: a table of them that may be added to, never changed."""

import json
from pathlib import Path

import pytest

from conversations.record import threads, words
from conversations.tests.calls import assistant, user
from conversations.tests.trimmed.shapes import RESPELLED, call, follow_up, result, text_part

KEY = bytes(range(32))
STORED = json.loads(Path(__file__).with_name("stored_words.json").read_text())
PATHS = {client: [user("2+2?"), reply] for client, (reply, _) in RESPELLED.items()} | {
    "results of parallel calls": [
        user([text_part(" a\r\n"), {"type": "note", "x": 1}]),
        assistant("", tool_calls=[call("f", "[1.0, 2]", "a"), call("g", "no JSON", "b")]),
        result("2", "b"),
        result("1", "a"),
        assistant(""),
        {"role": "developer", "content": "Be brief."},
        assistant("<think>Hm.</think> So."),
    ],
}


def test_the_table_is_whole():
    assert list(STORED) == list(PATHS)


@pytest.mark.parametrize("name", PATHS)
def test_stored_word_hashes_never_change(name):
    messages = PATHS[name]
    hashes = words.hash_words(KEY, messages)
    assert [each.hex() for each in hashes] == STORED[name]
    assert words.hash_next(KEY, hashes[-2], messages[-1]) == hashes[-1]
    path_hashes = threads.hash_path(KEY, threads.TURNS, messages)
    assert words.hash_words(KEY, messages, path_hashes) == hashes
    for length in range(1, len(messages)):
        if messages[length - 1]["role"] == "assistant":
            known = words.Known(length, hashes[length - 1])
            assert words.hash_words(KEY, messages, known=known)[length:] == hashes[length:]


@pytest.mark.parametrize("client", RESPELLED)
def test_the_word_hash_of_what_comes_back_is_the_same(client):
    reply, back = RESPELLED[client]
    histories = ([user("2+2?"), each, *follow_up(each)] for each in (reply, back))
    kept, sent = (words.hash_words(KEY, history) for history in histories)
    assert kept == sent
