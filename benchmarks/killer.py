"""What the drill kills: processes of the gateway, PostgreSQL's sessions, and PostgreSQL itself."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException

import psutil
import psycopg
from callers import post_form
from gateway import Gateway, postgres

BETWEEN = (1.5, 4.0)  # seconds from one kill to the next
EXPORT = "/admin/exports/new/?of=calls"
ALL_SESSIONS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"""


class Killer:
    """Ends one thing after the other, as chance has it."""

    def __init__(self, gateway: Gateway, reviewer: str, seed: int, only: list[str]) -> None:
        self.gateway, self.reviewer = gateway, reviewer  # a session
        self.chance = random.Random(seed)
        self.data = gateway.folder / "var" / "pg"
        self.kills: dict[str, Callable[[], object]] = {
            "web": self.end_web_process,
            "master": lambda: os.kill(gateway.pid("web"), signal.SIGKILL),
            "worker": self.end_worker,
            "export": self.end_export,
            "sessions": self.end_sessions,
            "stop": lambda: self.end_database(signal.SIGINT),
            "database": lambda: self.end_database(signal.SIGKILL),
        }
        self.names = [name for name in self.kills if not only or name in only]
        self.done: Counter[str] = Counter()

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self.chance.uniform(*BETWEEN))
            name = self.chance.choice(self.names)
            with suppress(ProcessLookupError, psutil.NoSuchProcess, psycopg.Error):
                self.kills[name]()
                self.done[name] += 1

    def end_web_process(self) -> None:
        if found := psutil.Process(self.gateway.pid("web")).children():
            self.chance.choice(found).kill()

    def end_worker(self) -> None:
        os.kill(self.gateway.pid(self.chance.choice(self.gateway.workers)), signal.SIGKILL)

    def end_export(self) -> None:
        """Ask for an export, and end both workers, one of which may be in its middle."""
        form = {"format": self.chance.choice(("turns", "jsonl", "transcript")), "purpose": "drill"}
        with suppress(OSError, HTTPException):
            post_form(self.gateway, self.reviewer, EXPORT, form)
        for name in self.gateway.workers:
            time.sleep(self.chance.uniform(0, 0.5))
            with suppress(ProcessLookupError):
                os.kill(self.gateway.pid(name), signal.SIGKILL)

    def end_sessions(self) -> None:
        with connect(self.gateway) as sql:
            sql.execute(ALL_SESSIONS)

    def end_database(self, number: signal.Signals) -> None:
        """Stop or kill PostgreSQL itself, and start it again after a moment."""
        if server := postgres.postmaster(self.data):
            server.send_signal(number)
            with suppress(psutil.TimeoutExpired):
                server.wait(30)
        time.sleep(self.chance.uniform(0, 2))
        self.start_database()

    def start_database(self) -> None:
        postgres.stop(self.data)  # lets go only: others use it
        postgres.start(self.data)


def connect(gateway: Gateway) -> psycopg.Connection:
    data = str(gateway.folder / "var" / "pg")
    return psycopg.connect(host=data, user="postgres", dbname="llmgateway", autocommit=True)
