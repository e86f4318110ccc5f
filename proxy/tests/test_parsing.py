"""What a request may cost before it is refused: values, and bytes that are parsed at one time."""

import threading
from contextlib import ExitStack

import pytest

from conversations.record.rebuild import rebuild_request
from proxy import faults
from proxy.faults import Fault
from proxy.limits import parsing
from proxy.limits.parsing import Room
from proxy.tests.gateway import ALICE, CHAT, chat, marked
from proxy.tests.wire import json_reply

MANY = b"[" + b"[]," * 3_000_000 + b"[]]"
MB = 1 << 20


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/images/generations",
        "/api/chat",
        "/api/checkchat",
        "/api/update_title",
    ],
)
def test_many_values_are_refused_on_every_path(gateway, path):
    reply = gateway.call(path, b'{"model": "gpt-4o-mini", "x": %s}' % MANY, ALICE)
    assert (reply.status, reply.json()["error"]["code"]) == (413, "request_too_large")
    assert "400,000 values" in reply.json()["error"]["message"]


def test_ten_megabytes_of_a_table_pass_as_one_message(gateway, recorded):
    table = marked() + '\n1,"a ""quoted"" cell",[x],{y}' * (10 * MB >> 5)
    body = chat(table)
    assert gateway.call(CHAT, body, ALICE).status == 200
    assert rebuild_request(recorded()[0]) == body


def test_a_reply_of_many_values_is_not_parsed(wired, wire, recorded):
    wire.answer = json_reply(b'{"choices": [%s]}' % (b"[]," * 5_000_000 + b"[]"))
    reply = wired.ask(marked())
    assert (reply.status, reply.error["code"]) == (502, "upstream_bad_reply")
    assert recorded()[0].status == "failed"


def test_memory_is_given_back_once_after_large_bodies(settings):
    room = Room()
    assert not room.is_over()
    with room.hold(parsing.SMALL, 1):
        pass
    assert not room.is_over()  # small ones need no look
    with room.hold(settings.MAX_BODY, 1):
        assert not room.is_over()
    assert [room.is_over(), room.is_over()] == [True, False]


def test_room_is_given_back(settings):
    room, size = Room(), settings.MAX_BODY
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), room.hold(size, 1):
            raise ZeroDivisionError
    assert not room.taken


def test_there_is_room_for_so_many_bytes_and_half_of_it_for_one_account(settings, monkeypatch):
    monkeypatch.setattr(parsing, "PATIENCE", 0.05)
    room, size = Room(), settings.MAX_BODY
    with ExitStack() as held:
        for _ in range(parsing.BODIES // 2):
            held.enter_context(room.hold(size, 1))
        with pytest.raises(Fault) as refused:
            held.enter_context(room.hold(size, 1))
        assert refused.value.error == faults.no_room_to_parse().error
        assert (refused.value.status, refused.value.retry_after) == (503, "2")
        for _ in range(parsing.BODIES // 2):
            held.enter_context(room.hold(size, 2))
        with pytest.raises(Fault):
            held.enter_context(room.hold(size, 3))
        held.enter_context(room.hold(parsing.SMALL, 3))  # small ones pass


def test_one_that_waits_gets_the_room_of_one_that_ends(settings):
    room, size = Room(), settings.MAX_BODY
    passed = threading.Event()

    def take() -> None:
        with room.hold(size, 1):
            passed.set()

    with ExitStack() as held:
        for _ in range(parsing.BODIES // 2):
            held.enter_context(room.hold(size, 1))
        waiting = threading.Thread(target=take)
        waiting.start()
        assert not passed.wait(0.1)
    waiting.join(60)
    assert passed.is_set()
