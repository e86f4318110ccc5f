"""What a caller had read of a stream is on record, also where its process is killed."""

import errno
import http.client
import json
import os
import signal
import stat
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as configured

from conversations import record
from conversations.models import Partial, Process, Snapshot
from conversations.record import growth, orphans, processes, rebuild
from conversations.tests.calls import ask, person, user
from proxy.relay import journal, watcher
from proxy.relay.journal import Journal
from proxy.tests.gateway import CHAT, eventually, marked
from proxy.tests.wire import DONE, SSE, Held, chunk, word

LAST = "the last piece"


def event(index: int, **delta: Any) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": None}
    return b"data: %s\n\n" % json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()


def call_tool(arguments: str, **first: str) -> dict[str, Any]:
    name = {"name": "f"} if first else {}
    call = {"index": 0, "function": {"arguments": arguments} | name} | first
    return {"tool_calls": [call]}


# Pieces of an answer, and where in the record's messages their string stands.
STRINGS = {
    "text": ([event(0, content="Once "), event(0, content=LAST)], (0, "content")),
    "reasoning": (
        [event(0, reasoning_content="Once "), event(0, reasoning_content=LAST)],
        (0, "reasoning_content"),
    ),
    "arguments": (
        [event(0, **call_tool("Once ", id="a", type="function")), event(0, **call_tool(LAST))],
        (0, "tool_calls", 0, "function", "arguments"),
    ),
    "second choice": (
        [event(0, content="No."), event(1, content="Once "), event(1, content=LAST)],
        (1, "content"),
    ),
}


@pytest.fixture(scope="module")
def killed(shared, wire) -> dict[str, str]:
    """A process is killed with a stream of each in mid-answer: the ids of their calls."""
    gateway = shared(LLM_ENDPOINT=f"{wire.url}{CHAT}", LLM_STREAM_TIMEOUT=60)
    calls = {}
    with ExitStack() as stack:
        for name, (pieces, _) in STRINGS.items():
            Held(wire, SSE + b"".join(map(chunk, pieces)))
            calls[name] = stack.enter_context(gateway.open_chat(marked(), stream=True))
            calls[name].read_until(LAST.encode())
        [worker] = gateway.workers()
        os.kill(worker, signal.SIGKILL)
        for call in calls.values():
            with pytest.raises((http.client.HTTPException, OSError)):
                call.finish()
    ids = {name: call.response.headers["x-request-id"] for name, call in calls.items()}
    theirs = Snapshot.objects.filter(id__in=ids.values(), status="pending")
    eventually(lambda: not theirs.exists())
    return ids


@pytest.mark.parametrize("name", STRINGS)
def test_what_was_read_before_the_kill_is_on_record(name, killed):
    snapshot = Snapshot.objects.get(id=killed[name])
    assert (snapshot.status, snapshot.error_code) == ("interrupted", "gateway_stopped")
    choice, *path = STRINGS[name][1]
    value = rebuild.rebuild_response(snapshot)["choices"][choice]["message"]
    for key in path:
        value = value[key]
    assert value == "Once " + LAST
    assert not Partial.objects.filter(snapshot=snapshot.id).exists()
    assert str(snapshot.id) not in list_files()


def list_files() -> set[str]:
    return {path.name for path in Path(configured.VAR_DIR, "growing").glob("*")}


@pytest.mark.parametrize("ends", [b"", DONE, b"data: no event\n\n", b"data: {}\n\n"])
def test_no_file_stays_of_a_call_that_is_closed(ends, wired, wire, recorded):
    then = chunk(word("more", "stop")) + (chunk(ends) if ends else b"") + b"0\r\n\r\n"
    held = Held(wire, SSE + chunk(word("Once ")), then)
    with closing(wired.open_chat(marked(), stream=True)) as call:
        call.read_until(b"Once")
        [snapshot] = Snapshot.objects.filter(status="pending").order_by("-opened")[:1]
        file = Path(configured.VAR_DIR, "growing", str(snapshot.id))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        held.let_go.set()
        call.finish()
    recorded()
    assert str(snapshot.id) not in list_files()


def test_no_file_stays_of_a_caller_who_has_gone(wired, wire, recorded):
    Held(wire, SSE + chunk(word("Once ")))
    with closing(wired.open_chat(marked(), stream=True)) as call:
        call.read_until(b"Once")
    [snapshot] = recorded()
    assert snapshot.status == "cancelled"
    assert eventually(lambda: str(snapshot.id) not in list_files())


# The file itself ----------------------------------------------------------------------------------


@pytest.fixture
def growing(tmp_path, settings) -> Path:
    settings.VAR_DIR = tmp_path
    return tmp_path / "growing"


def die() -> None:
    Process.objects.filter(id=processes.CURRENT.id).delete()


@pytest.mark.parametrize(("at", "saved"), [(0, "Once "), (5, "upon")])
def test_it_takes_the_place_of_what_the_database_has(at, saved, growing, db):
    """That is the beginning, or what a crash of PostgreSQL left: a part from the middle."""
    processes.beat()
    call = ask(person(), [user("Tell me a story")])
    growth.save_pieces(call.id, [growth.Piece(growth.TEXT, at, saved)])
    written = Journal()
    for text in ("Once ", "upon ", "a time"):
        written.add(call.id, event(0, content=text))
    written.add(call.id, event(0, content="half of an event")[:20])
    die()
    assert orphans.close_orphans(journal.bring_in) == 1
    assert Snapshot.objects.get(id=call.id).reply.text == "Once upon a time"
    assert not Partial.objects.exists()
    assert [*growing.iterdir()] == []


def test_without_it_nothing_behind_a_gap_is_taken_for_the_beginning(db):
    processes.beat()
    call = ask(person(), [user("Tell me a story")])
    for at, text in ((0, "Once "), (10, "a time")):
        growth.save_pieces(call.id, [growth.Piece(growth.TEXT, at, text)])
    growth.save_pieces(call.id, [growth.Piece((1, "content"), 3, "lost")])
    assert growth.read_growth(call.id) == "Once "
    assert growth.read_growth(call.id, 10) == "a time"
    assert growth.read_growth(call.id, 5) == ""
    die()
    assert orphans.close_orphans() == 1
    snapshot = Snapshot.objects.get(id=call.id)
    assert snapshot.reply.text == "Once "
    assert [each["index"] for each in rebuild.rebuild_response(snapshot)["choices"]] == [0]


def test_a_call_without_a_file_is_closed_with_what_was_saved(growing, db):
    processes.beat()
    call = ask(person(), [user("Tell me a story")])
    growth.save_pieces(call.id, [growth.Piece(growth.TEXT, 0, "Once")])
    die()
    assert orphans.close_orphans(journal.bring_in) == 1
    assert Snapshot.objects.get(id=call.id).reply.text == "Once"


def test_a_disk_that_takes_nothing_ends_no_stream(growing, caplog):
    growing.write_text("a file in its place")
    written = Journal()
    for call in (first := uuid4(), second := uuid4()):
        for _ in range(3):
            written.add(call, event(0, content="Once "))
    assert len(caplog.records) == 1  # not one a call
    for call in (first, second):
        written.end(call)
    assert written.files == {}


@pytest.mark.parametrize("length", [1, 1000, 20_000, 100_000])
def test_what_was_noted_is_read_whole(length, growing):
    """In many pieces, and in more than a file has room for at first."""
    call, written = uuid4(), Journal()
    words = [f"{n:06} " * length for n in range(9)]
    for each in words:
        written.add(call, event(0, content=each))
    [piece] = journal.read_pieces((growing / str(call)).read_bytes())
    assert piece.text == "".join(words)
    written.end(call)


def write_nothing(file: int, piece: bytes, at: int) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "write",
    [write_nothing, lambda file, piece, at: len(piece) // 2],
    ids=["none of it", "half of it"],
)
def test_a_file_that_a_full_disk_cut_takes_the_place_of_nothing(write, growing, db, monkeypatch):
    """The database has what came afterwards, too."""
    processes.beat()
    call = ask(person(), [user("Tell me a story")])
    written = Journal()
    written.add(call.id, event(0, content="Once "))
    with monkeypatch.context() as full:
        full.setattr(journal.os, "pwrite", write)
        written.add(call.id, event(0, content="upon " * len(journal.ROOM)))
    written.add(call.id, event(0, content="a time"))
    assert [*growing.iterdir()] == []
    growth.save_pieces(call.id, [growth.Piece(growth.TEXT, 0, "Once upon a time")])
    die()
    assert orphans.close_orphans(journal.bring_in) == 1
    assert Snapshot.objects.get(id=call.id).reply.text == "Once upon a time"


def test_a_file_that_cannot_be_read_holds_no_call_open(growing, db, caplog):
    processes.beat()
    calls = [ask(person(), [user("Tell me a story")]) for _ in range(2)]
    for call in calls:
        growth.save_pieces(call.id, [growth.Piece(growth.TEXT, 0, "Once")])
        (growing / str(call.id)).mkdir(parents=True)
    die()
    assert orphans.close_orphans(journal.bring_in) == 2
    for call in calls:
        assert Snapshot.objects.get(id=call.id).reply.text == "Once"
    assert len(caplog.records) == 2


def test_nothing_is_saved_of_a_call_that_another_closed(growing, db):
    """Its process was silent, was taken for dead, and goes on: no row would ever be removed."""
    processes.beat()
    call = ask(person(), [user("Tell me a story")])
    die()
    assert orphans.close_orphans(journal.bring_in) == 1
    growth.save_pieces(call.id, [growth.Piece(growth.TEXT, 0, "Once")])
    growth.replace_pieces(call.id, [growth.Piece(growth.TEXT, 0, "Once")])
    assert not Partial.objects.exists()


def test_the_file_of_a_call_that_another_machine_closed_is_removed(growing, db):
    processes.beat()
    closed, pending = (ask(person(), [user("Tell me a story")]) for _ in range(2))
    written = Journal()
    for call in (closed, pending):
        written.add(call.id, event(0, content="Once "))
    record.close(closed, record.Outcome(status="interrupted"))
    journal.clear()
    assert [path.name for path in growing.iterdir()] == [str(pending.id)]
    written.end(pending.id)


def test_the_watcher_looks_for_such_files(growing, db, monkeypatch):
    looks: list[None] = []
    monkeypatch.setattr(journal, "clear", lambda: looks.append(None))
    watch = watcher._Watch()
    for seconds in (0, 1, watcher.CLEAR - 1, watcher.CLEAR):
        watch.tick(watcher.CLEAR + seconds)
    assert len(looks) == 2


def test_old_files_of_no_process_are_removed(growing, db):
    written = Journal()
    old, new = uuid4(), uuid4()
    for call in (old, new):
        written.add(call, event(0, content="Once "))
    long_ago = time.time() - journal.KEPT - 1
    os.utime(growing / str(old), (long_ago, long_ago))
    journal.clear()
    assert [path.name for path in growing.iterdir()] == [str(new)]
    for call in (old, new):
        written.end(call)
    assert [*growing.iterdir()] == []
