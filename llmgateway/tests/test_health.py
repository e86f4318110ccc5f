"""/healthz and /readyz: what a probe is told, and how little it costs."""

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


def test_while_one_asks_the_others_hear_what_was_last_said(
    client, fresh, django_assert_num_queries
):
    with health._lock, django_assert_num_queries(0):
        assert said(client) == (503, "not ready: database")
