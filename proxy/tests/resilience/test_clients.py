"""Upstreams that fail under 50 clients, and the breaker that passes them over."""

import itertools
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from proxy.tests.gateway import ALICE, eventually, marked, said
from proxy.tests.resilience.upstreams import FINE, NO_ANSWERS, STREAM, tries
from proxy.tests.wire import Request
from proxy.upstreams import gate


def said_in(request: Request) -> str:
    return json.loads(request.body)["messages"][0]["content"]


def test_one_dies_under_50_clients_and_comes_back(gateway, first, second, recorded):
    """Before a first byte no client sees an error that the other could have served.

    Only calls that the dead one had taken are lost.
    """

    def slowly(sock: socket.socket, request: Request) -> None:
        time.sleep(0.01)
        FINE(sock, request)

    first.answer = slowly
    texts = [f"{marked()} {n}" for n in range(250)]
    begun = threading.Semaphore(0)

    def ask(text: str):
        begun.release()
        return text, gateway.ask(text, model="chain", stream=False)

    with ThreadPoolExecutor(50) as pool:
        replies = [pool.submit(ask, text) for text in texts]
        for _ in range(100):
            begun.acquire()
        first.die()
        answered = dict(reply.result() for reply in replies)
    # Those that had left when it died, and may have been done, are lost:
    # some of them unread, or read in part.
    assert sum(reply.status != 200 for reply in answered.values()) <= 50
    took = {
        name: [
            said_in(request)
            for request in wire.seen
            if len(request.body) == int(request.headers["content-length"])
        ]
        for name, wire in (("ONE", first), ("TWO", second))
    }
    snapshots = {snapshot.id: snapshot for snapshot in recorded(len(texts))}
    for text, reply in answered.items():
        snapshot, served = (
            snapshots.pop(reply.id),
            "TWO" if text in took["TWO"] else "ONE",
        )  # one each
        assert (snapshot.status, snapshot.head.text) == (
            "ok" if reply.status == 200 else "failed",
            text,
        )
        assert [*took["ONE"], *took["TWO"]].count(text) in (
            (1,) if reply.status == 200 else (0, 1)
        )  # never sent twice
        assert snapshot.upstream == served
        told = tries(snapshot)
        assert told == [] or told[-1] == ("two", 200, "") or (reply.status, served) == (502, "ONE")
        assert all(upstream == "one" and status is None for upstream, status, _ in told[:-1])
    assert any(tries(snapshot) for snapshot in recorded(len(texts)))

    first.seen.clear()
    first.answer = FINE
    first.revive()
    eventually(
        lambda: gateway.ask(marked(), model="chain").status == 200 and first.seen
    )  # half open: one call tries it
    first.seen.clear()
    second.seen.clear()
    assert {gateway.ask(marked(), model="chain", key=ALICE).status for _ in range(10)} == {200}
    assert (len(first.seen), len(second.seen)) == (10, 0)  # closed


def test_one_that_only_seems_to_answer_under_50_clients(gateway, first, second, recorded):
    """It answers 200, and then says that it failed, or nothing.

    No client notices, and soon it gets no calls any more.
    """
    kinds = [answer for answer, stream, *_ in NO_ANSWERS.values() if stream]
    turn = itertools.count()
    first.answer = lambda sock, request: kinds[next(turn) % len(kinds)](sock, request)
    second.answer = STREAM
    with ThreadPoolExecutor(50) as pool:
        replies = list(
            pool.map(
                lambda n: gateway.ask(f"{marked()} {n}", model="chain", stream=True), range(150)
            )
        )
    assert {(reply.status, said(reply.events)) for reply in replies} == {(200, "Fine.")}
    snapshots = recorded(150)
    assert {
        (snapshot.status, snapshot.upstream, snapshot.reply.text) for snapshot in snapshots
    } == {("ok", "TWO", "Fine.")}
    assert len(second.seen) == 150
    assert (
        len(first.seen)
        == sum(upstream == "one" for snapshot in snapshots for upstream, *_ in tries(snapshot))
        < 150
    )


def test_a_breaker(monkeypatch, settings):
    now = [100.0]
    monkeypatch.setattr(gate.time, "monotonic", lambda: now[0])
    settings.UPSTREAM_PAUSE = 10
    one = gate.Gate()
    for _ in range(gate.FAILURES - 1):
        one.judge(healthy=False)
    one.judge(healthy=None)
    assert (one.state, one.admits()) == ("closed", True)
    one.judge(healthy=False)
    assert (one.state, one.admits()) == ("open", False)
    now[0] += 10
    assert one.state == "half-open"
    assert [one.admits() for _ in range(3)] == [True, False, False]  # one probe
    one.judge(healthy=False)
    assert (one.state, one.admits()) == ("open", False)
    now[0] += 10
    assert one.admits()
    one.judge(healthy=None)  # the probe's caller went away: the next may try
    assert one.admits()
    one.judge(healthy=True)
    assert (one.state, one.admits(), one.admits()) == ("closed", True, True)
    for _ in range(gate.FAILURES - 1):
        one.judge(healthy=False)
    assert one.state == "closed"  # a success had ended the row
