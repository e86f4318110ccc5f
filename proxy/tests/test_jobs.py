"""Jobs as the worker itself does them."""

import asyncio
import threading
from contextlib import suppress
from uuid import uuid4

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import ConnectorException
from psycopg_pool import PoolTimeout

from conversations.database import release
from conversations.models import Conversation, User
from conversations.tests.calls import turn, user
from llmgateway.management.commands import worker
from proxy import tasks
from proxy.tests.conftest import made_database
from proxy.tests.gateway import CANARY, CHAT, marked


@pytest.fixture(scope="module")
def committed(django_db_blocker, worker_id):
    """The worker does all that is due: here that is what these tests leave."""
    with django_db_blocker.unblock(), made_database(f"test_jobs_{worker_id}") as made:
        yield made


@pytest.fixture
def asking(settings, demo_upstream, tmp_path):
    """This process asks the demo upstream, and keeps its checkpoints to itself."""
    settings.LLM_ENDPOINT, settings.LLM_TIMEOUT = f"{demo_upstream.url}{CHAT}", 2
    settings.CHECKPOINT_FILE = tmp_path / "checkpoints.jsonl"


def test_conversations_are_titled_and_a_silent_model_holds_nobody(
    database, asking, recorded, caplog
):
    alice = User.objects.get(username="alice")
    said = ("Rotate signing keys", "!silent")
    fine, silent = (
        turn(alice, [user(f"{words} {marked()}")], CANARY, model="gpt-4o").conversation
        for words in said
    )
    for made in (fine, silent):
        tasks.title.defer(conversation=str(made.id))
    worker.work_once()
    assert CANARY not in caplog.text
    assert Conversation.objects.get(id=fine.id).titled_by == "model"
    assert Conversation.objects.get(id=silent.id).titled_by == ""
    assert {call.status: call.error_code for call in recorded(4) if call.kind == "title"} == {
        "ok": "",
        "failed": "upstream_timeout",
    }
    worker.work_once()
    recorded(4)  # none is tried again


def test_periodic_jobs_go_on_when_the_database_dropped_their_session(database):
    conversation = str(uuid4())

    def session() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return cursor.fetchone()[0]

    async def drop_and_go_on() -> None:
        """All on asgiref's thread, where the worker puts periodic jobs into the queue."""
        dropped = await sync_to_async(session)()
        with psycopg.connect(database, autocommit=True) as server:
            server.execute("SELECT pg_terminate_backend(%s, 5000)", [dropped])
        with suppress(ConnectorException):
            await worker.do_jobs(wait=False)
        await tasks.title.defer_async(conversation=conversation)
        await sync_to_async(release)()

    asyncio.run(drop_and_go_on())
    assert ProcrastinateJob.objects.filter(args={"conversation": conversation}).exists()


@pytest.mark.parametrize("problem", [ConnectorException, PoolTimeout, psycopg.OperationalError])
def test_a_database_that_is_away_for_long_ends_no_worker(problem, monkeypatch):
    """Its pool gives up after half a minute: that ended the process, and its seals with it."""
    stopping, tries = threading.Event(), []

    async def do_jobs() -> None:
        tries.append(problem)
        if len(tries) < 2:
            raise problem
        stopping.set()

    monkeypatch.setattr(worker, "do_jobs", do_jobs)
    monkeypatch.setattr(worker, "PAUSE", 0.01)
    asyncio.run(worker.keep_doing_jobs(stopping))
    assert len(tries) == 2
