"""Calls are counted for the machine, whichever process has them, and shared out fairly."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from proxy.faults import Fault
from proxy.limits.slots import ACCOUNTS, Slots, Table, make_own_slots
from proxy.tests.gateway import ALICE, BOB, CHAT, SHARED, Gateway, eventually, marked
from proxy.tests.wire import Held

HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
END = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}\n\n'


@pytest.fixture
def nine(settings) -> Slots:
    """Slots of a machine that holds nine calls."""
    settings.OPEN_CALLS, settings.WEB_WORKERS = 3, 3
    return make_own_slots()


def taken_by(slots: Slots, *owners: int) -> list[bool]:
    return [is_taken(slots, owner) for owner in owners]


def is_taken(slots: Slots, owner: int) -> bool:
    try:
        slots.take(owner)
    except Fault:
        return False
    return True


# One process --------------------------------------------------------------------------------------


def test_as_many_calls_as_the_machine_has(nine):
    assert taken_by(nine, *range(10)) == [True] * 9 + [False]
    nine.give(4)
    assert taken_by(nine, 7, 8) == [True, False]


def test_one_account_gets_two_thirds_where_no_other_asks(nine):
    assert taken_by(nine, *[1] * 8) == [True] * 6 + [False] * 2
    with pytest.raises(Fault, match="overloaded") as refused:
        nine.take(1)
    assert "more than a third" in refused.value.text
    assert (refused.value.status, refused.value.retry_after) == (503, "2")


def test_the_last_third_is_for_others(nine):
    assert all(taken_by(nine, *[1] * 6))
    assert taken_by(nine, 1, 2, 2, 1, 3, 4) == [False, True, True, False, True, False]


def test_a_third_is_everybodys(nine):
    assert taken_by(nine, *[1, 2, 3] * 3) == [True] * 9


def test_what_is_refused_takes_nothing(nine):
    for _ in range(50):
        taken_by(nine, 1)
    assert nine.taken == 6
    for _ in range(6):
        nine.give(1)
    assert nine.taken == 0
    assert all(taken_by(nine, *range(9)))


def test_accounts_far_apart_are_told_apart(nine):
    assert all(taken_by(nine, *[1] * 6))
    assert taken_by(nine, ACCOUNTS) == [True]


def test_threads_lose_no_count(nine, settings):
    settings.OPEN_CALLS = 1_000_000

    def turn(owner: int) -> None:
        for _ in range(2000):
            nine.take(owner)
            nine.give(owner)

    threads = [threading.Thread(target=turn, args=[n]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(nine.table.cells[1:])


# Several processes --------------------------------------------------------------------------------


def test_processes_share_what_the_machine_has(settings):
    settings.OPEN_CALLS, settings.WEB_WORKERS = 3, 3
    table = Table(2)
    ours, theirs = Slots(table, table.claim()), Slots(table, table.claim())
    context = multiprocessing.get_context("fork")
    ready, stop = context.Event(), context.Event()

    def hold() -> None:
        for owner in (1, 1, 1, 2):
            theirs.take(owner)
        ready.set()
        stop.wait(60)

    child = context.Process(target=hold)
    child.start()
    assert ready.wait(60)
    assert taken_by(ours, 1, 3, 1, 3, 4, 5, 6) == [True, True, False, True, True, True, False]
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert not is_taken(ours, 7)  # until the master has seen its end
    table.clear(theirs.row)
    assert taken_by(ours, 7, 8, 9, 10, 11) == [True] * 4 + [False]
    assert table.claim() == theirs.row


@pytest.fixture
def held(wire) -> Iterator[Held]:
    held = Held(wire, HEADERS + b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n', END)
    yield held
    held.let_go.set()


def test_a_machines_calls_fit_whichever_process_they_reach(started, wire, held):
    """12 streams on two processes of six, of which one is killed: its slots come back."""
    gateway = started(
        LLM_ENDPOINT=f"{wire.url}{CHAT}",
        WEB_WORKERS=2,
        OPEN_CALLS=6,
        LLM_TIMEOUT=60,
        LLM_STREAM_TIMEOUT=60,
    )
    eventually(lambda: len(gateway.workers()) == 2)
    with ExitStack() as stack:
        for n in range(12):
            call = gateway.open_chat(marked(), key=(ALICE, BOB, SHARED)[n % 3], stream=True)
            assert stack.enter_context(closing(call)).begin().status == 200
        assert gateway.ask(marked(), key=BOB).error["code"] == "overloaded"
        os.kill(gateway.workers()[0], signal.SIGKILL)
        os.kill(gateway.workers()[-1], signal.SIGKILL)
        assert open_twelve(gateway, stack) == 12


def open_twelve(gateway: Gateway, stack: ExitStack) -> int:
    """Open streams until twelve are: the processes may still be starting."""
    opened = 0

    def one_more() -> bool:
        nonlocal opened
        call = gateway.open_chat(marked(), key=(ALICE, BOB, SHARED)[opened % 3], stream=True)
        stack.callback(call.close)
        try:
            opened += call.begin().status == 200
        except OSError:
            pass  # it reached a process that was being killed
        return opened == 12

    eventually(one_more, 60)
    return opened
