"""The worker goes on, whatever is taken from it: its sessions under load, or its life in parts."""

import signal
import threading
import time

import psycopg
import pytest
import requests

from llmgateway.tests.serving import Served
from proxy.tests.gateway import eventually

pytestmark = pytest.mark.drill

BACKLOG = """
    SELECT (SELECT count(*) FROM conversations_unsealed)
        + (SELECT count(*) FROM conversations_snapshot WHERE status = 'pending')"""
ALL_SESSIONS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"""


class Load:
    """Callers, one call after the other each, until the end."""

    def __init__(self, gateway: Served, callers: int = 4) -> None:
        self.gateway, self.over, self.answered = gateway, threading.Event(), 0
        self.threads = [threading.Thread(target=self.call) for _ in range(callers)]

    def call(self) -> None:
        address = f"http://127.0.0.1:{self.gateway.port}/v1/chat/completions"
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "!echo Hello"}]}
        headers = {"Authorization": "Bearer gw-demo-alice"}
        while not self.over.is_set():
            reply = requests.post(address, json=body, headers=headers, timeout=60)
            self.answered += reply.status_code == 200
            time.sleep(0.02)

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(90)


def database(gateway: Served) -> psycopg.Connection:
    folder = str(gateway.var / "pg")
    return psycopg.connect(host=folder, user="postgres", dbname="llmgateway", autocommit=True)


def worker(gateway: Served):
    """The worker's process, a new one after it was replaced."""
    return next((each for each in gateway.left() if each.cmdline()[-2:-1] == ["worker"]), None)


def seals_all(connection: psycopg.Connection, within: float) -> None:
    eventually(lambda: connection.execute(BACKLOG).fetchone() == (0,), within)


def test_sessions_that_end_nine_times_and_a_worker_that_hangs(var):
    gateway = Served(var, DEMO="1").start().up()
    first = worker(gateway)
    with Load(gateway) as load:
        eventually(lambda: load.answered > 20)
        for _ in range(9):
            with database(gateway) as connection:
                assert connection.execute(ALL_SESSIONS).fetchone()[0] > 0
            time.sleep(1)
        before = load.answered
        eventually(lambda: load.answered > before + 20)
    with database(gateway) as connection:
        seals_all(connection, 30)
        assert worker(gateway) == first  # it held out by itself
        assert first.memory_info().rss < 400 << 20

        first.send_signal(signal.SIGSTOP)
        with Load(gateway) as load:
            eventually(lambda: load.answered > 5)
        gateway.until(lambda: "The worker process hangs" in gateway.text, 60)
        seals_all(connection, 60)
    assert worker(gateway) != first
    gateway.process.terminate()
    assert gateway.ended() == 0
