"""/healthz and /readyz: what a probe is told, and how little it costs."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from conversations.models import Process
from conversations.record import processes
from llmgateway.ops import health


@pytest.fixture
def fresh(db, monkeypatch):
    """A process that was never asked."""
    monkeypatch.setattr(health, "_at", float("-inf"))
    monkeypatch.setattr(health, "_migrated", False)
    monkeypatch.setattr(processes.CURRENT, "id", None)


def said(client):
    response = client.get("/readyz")
    assert response["Cache-Control"] == "no-store"
    return response.status_code, response.text.strip()


def test_alive_without_a_database(client):
    """Whatever it is called: probes name a host by its address."""
    response = client.get("/healthz", headers={"host": "10.0.0.7:8008"})
    assert (response.status_code, response.text) == (200, "alive\n")


def test_ready_while_a_worker_beats(client, fresh, django_assert_num_queries):
    processes.beat(Process.Role.WORKER)
    assert said(client) == (200, "ready")
    with django_assert_num_queries(0):
        for _ in range(10):
            assert said(client) == (200, "ready")


def test_a_web_process_is_no_worker(client, fresh):
    processes.beat()
    assert said(client) == (503, "not ready: worker")


def test_a_worker_that_fell_silent(client, fresh):
    processes.beat(Process.Role.WORKER)
    Process.objects.update(seen=timezone.now() - timedelta(seconds=40))
    assert said(client) == (503, "not ready: worker")


def test_a_worker_that_ended(client, fresh):
    processes.beat(Process.Role.WORKER)
    processes.unregister()
    assert said(client) == (503, "not ready: worker")


def test_a_migration_that_is_missing(client, fresh):
    processes.beat(Process.Role.WORKER)
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations WHERE app = 'conversations' AND name = '0001_initial'"
        )
    assert said(client) == (503, "not ready: migrations")


def test_one_that_this_version_does_not_know_is_of_the_next(client, fresh):
    processes.beat(Process.Role.WORKER)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied)"
            " VALUES ('conversations', '9999_later', now())"
        )
    assert said(client) == (200, "ready")


class Asked:
    """The database's answer, which waits until it is let go."""

    def __init__(self) -> None:
        self.count, self.begun, self.let_go = 0, threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.count += 1
        self.begun.set()
        assert self.let_go.wait(60)
        return ""


@pytest.fixture
def asked(monkeypatch) -> Iterator[Asked]:
    asked = Asked()
    monkeypatch.setattr(health, "examine", asked)
    yield asked
    asked.let_go.set()


def answered(monkeypatch, answer: str, age: float) -> None:
    monkeypatch.setattr(health, "_answer", answer)
    monkeypatch.setattr(health, "_at", time.monotonic() - age)


def test_while_one_asks_the_others_hear_what_was_last_said(monkeypatch, asked):
    answered(monkeypatch, "worker", age=health.FRESH + 1)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(health.missing)
        assert asked.begun.wait(60)
        assert [health.missing() for _ in range(5)] == ["worker"] * 5
        asked.let_go.set()
        assert first.result() == ""
    assert (asked.count, health.missing()) == (1, "")


@pytest.mark.parametrize("age", [health.LATE + 1, 3600, float("inf")])
def test_after_a_long_silence_all_wait_for_the_one_that_asks(age, monkeypatch, asked):
    """They said that the database was away, because the last answer was old."""
    answered(monkeypatch, "", age)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(health.missing)
        assert asked.begun.wait(60)
        others = [pool.submit(health.missing) for _ in range(5)]
        assert wait(others, timeout=0.3).done == set()
        asked.let_go.set()
        assert [each.result() for each in (first, *others)] == [""] * 6
    assert asked.count == 1


def test_a_database_that_answers_none_is_away_in_time(monkeypatch, asked):
    monkeypatch.setattr(health, "LATE", 0.2)
    answered(monkeypatch, "", age=health.FRESH + 1)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(health.missing)
        assert asked.begun.wait(60)
        assert [health.missing() for _ in range(5)] == ["database"] * 5
        assert not first.done()
        asked.let_go.set()
    assert (asked.count, health.missing()) == (1, "")
