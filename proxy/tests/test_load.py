"""Many calls at once: silent ones hold no connection to the database, and no row is lost."""

import asyncio
import json
import subprocess
import sys
import time
from contextlib import ExitStack, closing

import pytest
from django.conf import settings
from django.db import connection

from conversations.models import Snapshot
from proxy.models import ApiKey
from proxy.tests.gateway import ALICE, BOB, CHAT, SHARED, chat, eventually, fields, marked
from proxy.tests.wire import ANSWER, Held, json_reply

STREAMS = 300
OWNERS = (ALICE, BOB, SHARED)  # one account alone would not get the last third


def test_pages_answer_while_60_silent_calls_are_open_on_two_connections(started, wire, recorded):
    gateway = started(
        LLM_ENDPOINT=f"{wire.url}{CHAT}",
        LLM_TIMEOUT=60,
        OPEN_CALLS=60,
        RESERVED_THREADS=8,
        DB_POOL=2,
    )
    body = json.dumps(ANSWER).encode()
    held = Held(
        wire,
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body)
        + body,
    )
    with ExitStack() as stack:
        calls = [
            stack.enter_context(
                closing(gateway.open_chat(marked(), key=OWNERS[n % 3], stream=bool(n % 2)))
            )
            for n in range(60)
        ]
        eventually(lambda: held.begun == 60)
        for path, status in (
            ("/ping", 200),
            ("/admin/login/", 200),
            ("/history/", 302),
            ("/v1/models/x", 200),
        ):
            wire.answer = json_reply(b'{"data": []}')
            for key in (ALICE, BOB):
                assert (
                    gateway.call(path, key=key if path.startswith("/v1") else "").status == status
                ), path
        reply = gateway.ask(marked())
        assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (
            503,
            "overloaded",
            "2",
        )
        held.let_go.set()
        assert {call.finish().status for call in calls} == {200}
    snapshots = recorded(61)
    assert [snapshot.status for snapshot in snapshots].count("ok") == 60
    assert [
        (snapshot.id, snapshot.status, snapshot.error_code)
        for snapshot in snapshots
        if snapshot.status != "ok"
    ] == [(reply.id, "refused", "overloaded")]
    wire.answer = json_reply(body)
    assert gateway.ask(marked()).status == 200  # every place was given back


def test_those_who_send_slowly_hold_no_connection(wired, wire):
    """Not even where their key had to be looked up first."""
    assert wired.environment["DB_POOL"] == "2"
    wire.answer = json_reply(json.dumps(ANSWER).encode())
    owner = ApiKey.objects.get(digest=ApiKey.objects.presented(ALICE).get().digest).owner
    keys = [ApiKey.make(owner, f"slow {n}")[1] for n in range(6)]
    with ExitStack() as stack:
        for key in keys:
            slow = stack.enter_context(
                closing(wired.open(CHAT, b'{"model":', key, Content_Length="500"))
            )
        time.sleep(0.3)
        assert wired.ask(marked()).status == 200
        assert slow.response is None


@pytest.fixture
def slow_upstream():
    """Five seconds a stream, in a process of its own: its port."""
    command = [sys.executable, "-m", "proxy.demo.server", "--port", "0", "--pace", "5"]
    with subprocess.Popen(
        command, cwd=settings.BASE_DIR, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.terminate()


async def stream(port: int, data: bytes) -> tuple[bytes, float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        began = time.monotonic()
        writer.write(data)
        return await reader.read(), time.monotonic() - began
    finally:
        writer.close()
        await writer.wait_closed()


async def all_at_once(port: int, requests: list[bytes]) -> list[tuple[bytes, float]]:
    return await asyncio.gather(*(stream(port, request) for request in requests))


@pytest.mark.drill
def test_300_streams_of_five_seconds(started, slow_upstream, recorded):
    gateway = started(
        LLM_ENDPOINT=f"http://127.0.0.1:{slow_upstream}{CHAT}",
        WEB_WORKERS=2,
        OPEN_CALLS=500,
        DB_POOL=4,
        LLM_TIMEOUT=30,
        LLM_STREAM_TIMEOUT=30,
    )
    body = json.dumps(chat(f"List three ideas. {marked()}", stream=True, max_tokens=30)).encode()
    head = fields(ALICE, {"Host": "x", "Connection": "close", "Content-Length": str(len(body))})
    request = (
        f"POST {CHAT} HTTP/1.1\r\n".encode()
        + "".join(f"{name}: {value}\r\n" for name, value in head.items()).encode()
        + b"\r\n"
        + body
    )
    replies = asyncio.run(all_at_once(gateway.port, [request] * STREAMS))
    assert (
        sum(
            reply.startswith(b"HTTP/1.1 200 OK") and reply.count(b"data: [DONE]") == 1
            for reply, _ in replies
        )
        == STREAMS
    )
    assert min(took for _, took in replies) > 4
    snapshots = recorded(STREAMS)
    assert [snapshot.status for snapshot in snapshots] == ["ok"] * STREAMS
    assert {
        (snapshot.completion_tokens, snapshot.estimated, snapshot.finish_reason)
        for snapshot in snapshots
    } == {(30, False, "length")}
    assert len({snapshot.conversation_id for snapshot in snapshots}) == STREAMS
    assert not Snapshot.objects.filter(status="pending").exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM conversations_partial")
        assert cursor.fetchone() == (0,)
