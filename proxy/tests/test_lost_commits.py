"""The database commits, and the connection is lost before the gateway hears it."""

import json
import secrets
from pathlib import Path
from urllib.parse import quote

import pytest

from conversations.models import Snapshot
from proxy.tests.conftest import parameters
from proxy.tests.forwarder import Forwarder
from proxy.tests.gateway import CHAT, eventually, marked, said, the
from proxy.tests.wire import ANSWER, DONE, SSE, Held, chunk, exactly, json_reply, word


@pytest.fixture(scope="module")
def forwarder(database, tmp_path_factory):
    known = parameters("")
    folder = tmp_path_factory.mktemp("f")
    with Forwarder(folder, Path(known["host"], f".s.PGSQL.{known['port']}")) as forwarder:
        yield forwarder


@pytest.fixture
def gateway(forwarder, database, shared, wire):
    """A gateway whose database is behind the forwarder."""
    known = parameters("")
    url = database.replace(quote(known["host"], safe=""), quote(str(forwarder.folder), safe=""))
    assert url != database
    gateway = shared(DATABASE_URL=url, LLM_ENDPOINT=f"{wire.url}{CHAT}", LLM_STREAM_TIMEOUT=30)
    eventually(lambda: b"database" not in gateway.call("/readyz").body)
    Snapshot.objects.filter(status="pending").delete()
    forwarder.cuts = 0
    return gateway


def answer(id: str, *, stream: bool):
    """An upstream's answer with this id: the close of its call is the one statement that has it."""
    if not stream:
        return json_reply(json.dumps(ANSWER | {"id": id}).encode())
    event = word("Fine.", "stop").replace(b'"id": "c"', b'"id": "%s"' % id.encode())
    return exactly(SSE, chunk(event) + chunk(DONE) + b"0\r\n\r\n")


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("before", [False, True], ids=["committed", "not committed"])
def test_at_close_the_caller_is_told_what_is_on_record(before, stream, gateway, forwarder, wire):
    id = secrets.token_hex(8)
    wire.answer = answer(id, stream=stream)
    forwarder.cut_at(id.encode(), before=before)
    reply = gateway.ask(marked(), stream=stream)
    assert forwarder.cuts == 1
    assert reply.status == 200
    if stream:
        assert said(reply.events) == "Fine."
        assert reply.events[-1] == "[DONE]"
    else:
        assert reply.text == "Fine."
    assert (the(reply).status, the(reply).reply.text) == ("ok", "Fine.")


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("before", [False, True], ids=["committed", "not committed"])
def test_at_close_with_no_way_to_know(before, stream, gateway, forwarder, wire):
    id = secrets.token_hex(8)
    wire.answer = answer(id, stream=stream)
    forwarder.cut_at(id.encode(), before=before, for_good=True)
    calls = len(wire.seen)
    reply = gateway.ask(marked(), stream=stream)
    error = reply.events[-1]["error"] if stream else reply.error
    assert error["code"] == "record_not_writable"
    assert "did not pass" not in error["message"]  # it did
    assert len(wire.seen) == calls + 1
    if not stream:
        assert (reply.status, reply.headers["x-should-retry"]) == (503, "false")
        assert "retry-after" not in reply.headers
    forwarder.open()
    snapshot = eventually(
        lambda: Snapshot.objects.exclude(status="pending").filter(id=reply.id).first()
    )
    assert snapshot.status == ("failed" if before else "ok")
    assert snapshot.reply.text == "Fine."


def test_at_open_no_row_stays_pending(gateway, forwarder, wire):
    held = Held(wire, *json_document())
    words = marked()
    with gateway.open_chat(marked()) as slow:
        eventually(lambda: held.begun)
        calls = len(wire.seen)
        forwarder.cut_at(words.encode())
        reply = gateway.ask(words)
        assert (reply.status, reply.error["code"]) == (503, "record_not_writable")
        assert "did not pass" in reply.error["message"]
        assert "x-should-retry" not in reply.headers
        assert (forwarder.cuts, len(wire.seen)) == (1, calls)
        unheard = Snapshot.objects.filter(head__text__contains=words)
        assert unheard.get().status in ("pending", "failed")
        eventually(lambda: unheard.get().status == "failed")
        assert (unheard.get().error_code, unheard.get().reply) == ("record_not_writable", None)
        assert Snapshot.objects.filter(status="pending").count() == 1  # what is open stays open
        held.let_go.set()
        reply = slow.finish()
    assert (reply.status, the(reply).status) == (200, "ok")


def test_at_open_before_the_commit_there_is_no_row(gateway, forwarder, wire):
    words = marked()
    calls = len(wire.seen)
    forwarder.cut_at(words.encode(), before=True)
    reply = gateway.ask(words)
    assert (reply.status, forwarder.cuts, len(wire.seen)) == (503, 1, calls)
    assert not Snapshot.objects.filter(head__text__contains=words).exists()


def json_document() -> tuple[bytes, bytes]:
    body = json.dumps(ANSWER).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body
