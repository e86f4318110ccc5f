"""Rows of one account are locked, or its commits slow: its calls wait, and no other's do."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psycopg
import pytest
from django.db import OperationalError, connection, transaction
from psycopg_pool import PoolTimeout

from conversations import record
from conversations.aged_cache import OLDEST
from conversations.database import RowsBusy
from conversations.models import Process, Snapshot, User
from conversations.record import Call, Outcome, orphans, processes
from conversations.record.permits import Permits
from conversations.tests.calls import answer, ask, person, user
from proxy.models import ApiKey
from proxy.relay import watcher
from proxy.relay.exchange import Unclosed, process
from proxy.tests.gateway import BOB, CHAT, Gateway, eventually, marked
from proxy.tests.wire import ANSWER, Held, json_reply

CALLS = 30  # of alice at the same time: more than connections and slots
# Rows of hers that her calls write, or refer to.
ROWS = {
    "usage": "SELECT FROM conversations_usage WHERE owner_id = %s FOR UPDATE",
    "conversations": "SELECT FROM conversations_conversation WHERE owner_id = %s FOR UPDATE",
    "account": "SELECT FROM conversations_user WHERE id = %s FOR UPDATE",
    "key": "SELECT FROM proxy_apikey WHERE owner_id = %s FOR UPDATE",
}
WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()"""


@contextmanager
def locked(database: dict[str, str], rows: str, owner: int) -> Iterator[psycopg.Connection]:
    """Hold these rows until the block ends."""
    with psycopg.connect(**database) as connection:
        assert connection.execute(rows, [owner]).rowcount >= 1
        yield connection


def count_waiting(database: dict[str, str]) -> int:
    with psycopg.connect(**database, autocommit=True) as connection:
        return connection.execute(WAITING).fetchone()[0]


@pytest.fixture
def gateway(shared, wire) -> Gateway:
    wire.answer = json_reply(json.dumps(ANSWER).encode())
    gateway = shared(LLM_ENDPOINT=f"{wire.url}{CHAT}", DB_POOL=3, OPEN_CALLS=9)
    ApiKey.objects.update(last_used=None)
    return gateway


@pytest.mark.parametrize("rows", ROWS)
def test_calls_of_others_pass(rows, gateway, committed, wire):
    first = gateway.ask(marked())
    assert first.status == 200
    ApiKey.objects.update(last_used=None)
    alice = User.objects.get(username="alice").pk
    where = {"x_conversation_id": str(first.root)}
    calls = len(wire.seen)
    with ThreadPoolExecutor(CALLS) as pool:
        with locked(committed, ROWS[rows], alice):
            if rows == "key":
                time.sleep(OLDEST)  # the key is read anew, and its use noted
            hers = [pool.submit(gateway.ask, marked(), headers=where) for _ in range(CALLS)]
            if rows == "key":  # its use is noted when its row is free
                assert 200 in [call.result().status for call in hers]
            else:
                eventually(lambda: count_waiting(committed) >= 1)
            for _ in range(10):
                reply = gateway.ask(marked(), key=BOB)
                assert (reply.status, reply.text) == (200, "Fine.")
                assert gateway.call("/admin/login/").status == 200
                assert count_waiting(committed) <= 1
            if rows != "key":
                assert len(wire.seen) - calls - 10 <= 6  # two thirds of the slots are hers at most
        replies = [call.result() for call in hers]
    assert {reply.status for reply in replies} <= {200, 503}
    assert sum(reply.status == 200 for reply in replies) >= 1
    eventually(lambda: not Snapshot.objects.filter(status="pending").exists())
    for reply in replies:
        if reply.status == 200:
            assert Snapshot.objects.get(id=reply.id).status == "ok"
    assert gateway.ask(marked()).status == 200  # every slot and permit was given back


def test_a_call_has_its_slot_until_it_is_closed(gateway, committed, wire):
    """Slow closes have no more threads than calls may be open."""
    assert gateway.ask(marked()).status == 200
    body = json.dumps(ANSWER).encode()
    held = Held(wire, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    alice = User.objects.get(username="alice").pk
    with ThreadPoolExecutor(6) as pool, locked(committed, ROWS["usage"], alice):
        hers = [pool.submit(gateway.ask, marked()) for _ in range(6)]
        eventually(lambda: held.begun == 6)
        held.let_go.set()
        eventually(lambda: count_waiting(committed) == 1)
        time.sleep(2 * watcher.LOOK)  # which sets the gauges
        shown = gateway.call("/metrics").body
        assert b'llmgateway_open{what="whole"} 6.0' in shown
        assert b'llmgateway_open{what="followed"} 0.0' in shown
        assert not any(call.done() for call in hers)
    assert {call.result().status for call in hers} == {200}


# What closes calls one after the other ------------------------------------------------------------


def close_late(calls: list[Call]) -> None:
    """They ended while the database was away."""
    for call in calls:
        process.unclosed[call.id] = Unclosed(call, Outcome(status="ok"))
    watcher.close_late()


def close_orphans(calls: list[Call]) -> None:
    """Their process died."""
    Process.objects.filter(id=processes.CURRENT.id).delete()
    orphans.close_orphans()


def close_unheard(calls: list[Call]) -> None:
    """Their opening was committed unheard."""
    for call in calls:
        record.let_go(call)
    orphans.close_unheard()


@pytest.mark.parametrize("close", [close_late, close_orphans, close_unheard])
def test_no_account_waits_behind_another(close, database, committed):
    processes.beat()
    owners = [person(name) for name in ("alice", "alice", "bob", "alice")]
    for owner in owners:
        answer(ask(owner, [user(marked())]), "ok")
    calls = [ask(owner, [user(marked())]) for owner in owners]

    def statuses() -> list[str]:
        return [Snapshot.objects.get(id=call.id).status for call in calls]

    with locked(committed, ROWS["usage"], owners[0].pk):
        close(calls)
        assert [status == "pending" for status in statuses()] == [True, True, False, True]
    close(calls)
    assert "pending" not in statuses()
    assert not process.unclosed


# Permits ------------------------------------------------------------------------------------------


def test_an_account_has_a_third_of_the_connections(database):
    """Of a pool of two or three that is one; one that waits for a permit holds none."""
    pool = connection.pool
    share = max(1, pool.max_size // 3)
    held = Permits()
    with ExitStack() as stack:
        for _ in range(share):
            stack.enter_context(held.hold(1, 0))
        connection.ensure_connection()
        with pytest.raises(RowsBusy), held.hold(1, 0.1):
            pass
        assert connection.connection is None
        with held.hold(2, 0):
            pass
    with held.hold(1, 0):
        pass
    assert not held.accounts


def test_where_the_database_is_away_all_are_told_at_once(database):
    """One after the other would wait in vain for it, each as long as the first."""
    held, all_there = Permits(), threading.Event()
    share = max(1, connection.pool.max_size // 3)

    def wait_in_vain() -> None:
        with held.hold(1, 60):
            eventually(lambda: all_there.is_set() or held.accounts[1].wanted == 12)
            all_there.set()
            raise OperationalError from PoolTimeout()

    with ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(wait_in_vain) for _ in range(12)]
        problems = [call.exception(60) for call in calls]
    assert {type(problem) for problem in problems} == {OperationalError}
    in_vain = [problem for problem in problems if problem.__cause__ is not None]
    assert 1 <= len(in_vain) <= 2 * share
    assert not held.accounts


def test_a_transaction_needs_no_permit(database):
    held = Permits()
    with held.hold(1, 0), transaction.atomic():
        for _ in range(20):
            with held.hold(1, 0):
                assert connection.connection is not None
