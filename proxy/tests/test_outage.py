"""PostgreSQL goes away and comes back: nothing passes unrecorded meanwhile.

What was open is closed afterwards.
"""

import json
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from conversations.models import Snapshot
from llmgateway.embedded import postgres
from proxy.tests import sdk
from proxy.tests.conftest import cast, is_discreet, move_to
from proxy.tests.gateway import ALICE, BOB, CHAT, Open, eventually, marked
from proxy.tests.wire import ANSWER, DONE, SSE, Held, chunk, json_reply, word

pytestmark = pytest.mark.drill


@pytest.fixture
def server(django_db_blocker):
    """A PostgreSQL of the test's own: its folder. The ORM goes there too."""
    folder = Path(tempfile.mkdtemp(prefix="gw-", dir="/tmp")).resolve() / "pg"
    postgres.start(folder, fsync="off")
    with django_db_blocker.unblock():
        theirs = move_to(
            HOST=str(folder),
            PORT="5432",
            USER="postgres",
            PASSWORD="",
            NAME="llmgateway",
            OPTIONS={},
        )
        call_command("migrate", verbosity=0, interactive=False)
        cast()
        yield folder
        move_to(**theirs)
    postgres.stop(folder)
    shutil.rmtree(folder.parent)


def test_a_database_that_stops_and_comes_back(server, started, wire):
    gateway = started(
        DATABASE_URL=f"postgres://postgres@/llmgateway?host={server}",
        LLM_ENDPOINT=f"{wire.url}{CHAT}",
        LLM_TIMEOUT=30,
        LLM_STREAM_TIMEOUT=30,
    )
    body = json.dumps(ANSWER).encode()
    held = Held(wire, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    document = gateway.open_chat(marked())
    eventually(lambda: held.begun)
    story = Held(
        wire, SSE + chunk(word("Once ")), chunk(word("upon", "stop")) + chunk(DONE) + b"0\r\n\r\n"
    )
    stream = gateway.open_chat(marked(), stream=True)
    stream.read_until(b"Once")
    assert gateway.call("/readyz").body == b"not ready: worker\n"  # the database is there
    connection.close()
    connection.close_pool()
    postgres.stop(server)

    calls, began = len(wire.seen), time.monotonic()
    with ThreadPoolExecutor() as pool:
        hers = pool.submit(gateway.ask, marked())  # her key is known to the process
        his = pool.submit(gateway.ask, marked(), key=BOB, stream=True)  # his is not
        garbage = pool.submit(gateway.call, CHAT, b"{", ALICE)
        client = pool.submit(sdk.use, "error", gateway.url, ALICE, {"question": marked()})
        counted = pool.submit(gateway.call, "/metrics")
        assert gateway.call("/healthz").status == 200
        for reply in (hers.result(), his.result(), garbage.result()):
            assert (reply.status, reply.error["type"], reply.error["code"]) == (
                503,
                "server_error",
                "record_not_writable",
            )
            assert reply.headers["retry-after"]
        assert client.result()["class"] == "InternalServerError"
        assert b"llmgateway_database_up 0.0" in counted.result().body
    assert time.monotonic() - began < 60
    eventually(lambda: gateway.call("/readyz").body == b"not ready: database\n")
    assert len(wire.seen) == calls

    held.let_go.set()
    story.let_go.set()
    with ThreadPoolExecutor() as pool:
        reply, rest = pool.map(Open.finish, (document, stream))
    assert (reply.status, reply.error["code"]) == (503, "record_not_writable")
    assert b"[DONE]" not in rest.body
    assert (
        json.loads(rest.body.removesuffix(b"\n\n").rpartition(b"data: ")[2])["error"]["code"]
        == "record_not_writable"
    )

    postgres.start(server, fsync="off")
    eventually(
        lambda: (
            Snapshot.objects.count() == 2 and not Snapshot.objects.filter(status="pending").exists()
        )
    )
    for snapshot, text in zip(Snapshot.objects.order_by("id"), ("Fine.", "Once upon"), strict=True):
        assert (snapshot.status, snapshot.error_code, snapshot.reply.text) == (
            "failed",
            "record_not_writable",
            text,
        )
    wire.answer = json_reply(body)
    assert [gateway.ask(marked(), key=key).status for key in (ALICE, BOB) * 5] == [200] * 10
    connection.close()
    connection.close_pool()
    postgres.stop(server)  # nobody calls meanwhile
    postgres.start(server, fsync="off")
    calls = len(wire.seen)
    statuses = [gateway.ask(marked(), key=key).status for key in (ALICE, BOB) * 5]
    assert (
        statuses.count(503) <= 2
    )  # a pooled connection is found dead when it is used: a call each, and DB_POOL is 2
    assert statuses.count(200) == len(wire.seen) - calls == 10 - statuses.count(503)
    assert not Snapshot.objects.filter(status="pending").exists()
    eventually(lambda: gateway.call("/readyz").body == b"not ready: worker\n")
    is_discreet(
        server.parent / "postgresql.log"
        if (server.parent / "postgresql.log").exists()
        else server / "postgresql.log"
    )


def test_a_worker_that_dies_while_the_database_is_away(server, started, wire):
    settings = {
        "DATABASE_URL": f"postgres://postgres@/llmgateway?host={server}",
        "LLM_ENDPOINT": f"{wire.url}{CHAT}",
    }
    gateway = started(**settings)
    held = Held(wire, SSE + chunk(word("Once ")))
    stream = gateway.open_chat(marked(), stream=True)
    stream.read_until(b"Once")
    assert held.begun
    connection.close()
    connection.close_pool()
    postgres.stop(server)
    gateway.kill()
    stream.close()
    postgres.start(server, fsync="off")
    assert Snapshot.objects.get().status == "pending"
    started(**settings)
    snapshot = Snapshot.objects.get()
    assert (snapshot.status, snapshot.reply.text) == ("interrupted", "Once ")  # as it was read
