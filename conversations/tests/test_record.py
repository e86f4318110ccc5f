"""The two writes: what is kept, exactly, and how it is rebuilt."""

import base64
import errno
import os
import secrets
import socket
import threading as threads
import time
from datetime import timedelta

import orjson
import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversations import record
from conversations.models import (
    Attachment,
    Conversation,
    Message,
    Partial,
    Process,
    Snapshot,
    ThreadSeed,
    Unsealed,
    Usage,
)
from conversations.record import (
    CallRequest,
    Outcome,
    attachments,
    growth,
    orphans,
    place,
    processes,
    rebuild,
    writes,
)
from conversations.tests.anything import messages, texts, values
from conversations.tests.calls import answer, ask, assistant, person, turn, user

pytestmark = pytest.mark.django_db


def body_of(snapshot_id):
    return rebuild.rebuild_request(Snapshot.objects.get(id=snapshot_id))


def test_a_call_is_pending_until_it_is_closed_once():
    call = ask(person(), [user("hi")], params={"temperature": 0.5})
    snapshot = Snapshot.objects.get()
    assert (snapshot.status, snapshot.closed, snapshot.reply) == ("pending", None, None)
    assert record.close(
        call,
        Outcome(status="ok", replies=[assistant("Hello!")], prompt_tokens=1, completion_tokens=2),
    )
    assert not record.close(call, Outcome(status="failed", replies=[assistant("Something else")]))
    snapshot.refresh_from_db()
    assert (snapshot.status, snapshot.reply.text, snapshot.error) == ("ok", "Hello!", "")
    assert Conversation.objects.get().turns == 1
    assert Usage.objects.get().calls == 1
    assert Unsealed.objects.count() == 1


WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.mark.parametrize("first_is_kept", [True, False])
def test_of_eight_who_close_at_once_one_does(transactional_db, first_is_kept):
    """The first one's transaction is held open until all others wait for it."""
    call = ask(person(), [user("hi")])
    won = []

    def close(i):
        with transaction.atomic():  # its own connection: a close without one needs a permit
            won.append(record.close(call, Outcome(status="ok", replies=[assistant(f"answer {i}")])))
        connection.close()

    racers = [threads.Thread(target=close, args=[i], daemon=True) for i in range(7)]
    with transaction.atomic():
        assert record.close(call, Outcome(status="ok", replies=[assistant("the first")]))
        [racer.start() for racer in racers]
        for _ in range(1000):
            if _count(WAITING) >= len(racers):
                break
            time.sleep(0.01)
        assert _count(WAITING) >= len(racers)
        assert won == []
        transaction.set_rollback(not first_is_kept)
    [racer.join(60) for racer in racers]
    assert sorted(won) == [False] * 6 + [not first_is_kept]
    reply = Message.objects.get(role="assistant")
    assert (reply.text == "the first") is first_is_kept
    assert (
        Conversation.objects.get().turns,
        Usage.objects.get().calls,
        Unsealed.objects.count(),
    ) == (1, 1, 1)


def _count(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def test_the_reply_is_rebuilt_field_for_field():
    call = ask(person(), [user("hi")])
    message = answer(
        call,
        " Hello! ",
        reasoning_content="They greet me.",
        tool_calls=[{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    )
    response = rebuild.rebuild_response(Snapshot.objects.get())
    assert response["choices"][0]["message"] == message
    assert response["choices"][0]["finish_reason"] == "stop"


def test_several_choices_are_several_replies():
    call = ask(person(), [user("hi")])
    replies = [assistant("one"), assistant("two")]
    response = {
        "choices": [
            {"index": i, "message": reply, "finish_reason": "stop"}
            for i, reply in enumerate(replies)
        ]
    }
    record.close(call, Outcome(status="ok", replies=replies, response=response))
    assert rebuild.rebuild_response(Snapshot.objects.get()) == response
    assert set(Message.objects.filter(role="assistant").values_list("text", flat=True)) == {
        "one",
        "two",
    }


def test_every_spelling_of_a_reply_that_comes_back_is_kept_and_none_twice():
    alice = person()
    said = [user("hi")]
    first = turn(alice, said, "Hello!")
    for spelling in (
        assistant("Hello!"),
        assistant("Hello!", refusal=None, annotations=[]),
        assistant(" Hello!\n"),
        assistant([{"type": "text", "text": "Hello!"}]),
        assistant("Hello!", name="bot"),
    ):
        request = [*said, spelling, user("and now?")]
        snapshot = turn(alice, request, "Now this.")
        assert rebuild.rebuild_request(snapshot)["messages"] == request
        if "name" not in spelling:
            assert snapshot.conversation_id == first.conversation_id
    full_texts = Message.objects.filter(
        conversation=first.conversation_id, role="assistant", text="Hello!", raw=None
    )
    assert full_texts.count() == 1


def test_a_conversation_of_200_turns_grows_linearly():
    alice, history, sizes = person(), [{"role": "system", "content": "Be brief."}], []
    for i in range(200):
        history.append(user(f"question {i} " + secrets.token_hex(100)))
        snapshot = turn(alice, history, reply := f"answer {i} " + secrets.token_hex(300))
        history.append(assistant(reply))
        if i in (0, 20, 180, 199):
            sizes.append(Message.objects.count())
    assert Conversation.objects.count() == 1
    assert sizes == [3, 43, 363, 401]  # a question and an answer a turn, and one system message
    assert rebuild.rebuild_request(snapshot)["messages"] == history[:-1]


def test_a_failed_statement_leaves_nothing_behind(monkeypatch):
    monkeypatch.setattr(writes, "OPEN", writes.OPEN.replace("'pending'", "NULL"))
    with pytest.raises(Exception, match="null value"):
        ask(person(), [user("hi")])
    connection.rollback() if not connection.in_atomic_block else connection.set_rollback(False)


def test_a_refusal_that_fails_takes_no_seed_back(monkeypatch):
    owner = person().pk
    monkeypatch.setattr(writes, "OPEN", writes.OPEN.replace("'pending'", "NULL"))
    request = CallRequest(owner=owner, kind="chat", model="m", body={}, sent=b"{}")
    with pytest.raises(IntegrityError):
        record.refuse(request, "blocked", "Not allowed.")
    assert bytes(ThreadSeed.objects.get(owner=owner).seed) == place.read_thread_key(owner)


def test_a_refusal_is_one_closed_snapshot_with_all_that_was_asked():
    body = {"model": "m", "messages": [user("a secret plan")], "n": 3}
    record.refuse(
        CallRequest(
            owner=person().pk,
            kind="chat",
            model="m",
            body=body,
            messages=body["messages"],
            sent=orjson.dumps(body),
        ),
        "blocked",
        "Not allowed.",
    )
    snapshot = Snapshot.objects.get()
    assert (snapshot.status, snapshot.error_code, snapshot.error, snapshot.conversation) == (
        "refused",
        "blocked",
        "Not allowed.",
        None,
    )
    assert rebuild.rebuild_request(snapshot) == body
    assert (Conversation.objects.count(), Message.objects.count(), Unsealed.objects.count()) == (
        0,
        0,
        1,
    )
    assert Usage.objects.get().failures == 1


def test_the_commitment_is_of_the_bytes_that_were_sent():
    from hashlib import sha256

    body = {"model": "m", "messages": [user("hi")]}
    record.open(
        CallRequest(
            owner=person().pk,
            kind="chat",
            model="m",
            body=body,
            messages=body["messages"],
            sent=b"the bytes",
        )
    )
    snapshot = Snapshot.objects.get()
    assert bytes(snapshot.commitment) == sha256(bytes(snapshot.salt) + b"the bytes").digest()


# Files --------------------------------------------------------------------------------------------


def picture(size=30_000):
    return b"\x89PNG\r\n\x1a\n" + secrets.token_bytes(size)


def test_files_leave_the_row_and_come_back_the_same(media):
    data = picture()
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]
    alice = person()
    first = turn(alice, [user(parts)], "A picture.")
    again = turn(alice, [user(parts), assistant("A picture."), user(parts)], "The same.")
    assert rebuild.rebuild_request(first)["messages"] == [user(parts)]
    assert rebuild.rebuild_request(again)["messages"][2] == user(parts)
    assert [(row.size, row.media_type) for row in Attachment.objects.all()] == [
        (len(data), "image/png")
    ]
    assert not [row for row in Message.objects.all() if len(row.raw or "") > 1000]
    assert attachments.list_references(orjson.loads(first.head.raw)) == [
        bytes(Attachment.objects.get().sha256).hex()
    ]


@pytest.mark.parametrize(
    "content",
    [
        [{"$attachment": ["ab", "data:"]}],
        [{"$attachment": {"$attachment": ["ab", ""]}}],
        [{"type": "x", "data": "data:image/png;base64," + "A" * 5001}],
        [{"type": "x", "data": "data:image/png;base64," + "AAAA" * 2000 + "\n"}],
        [{"type": "x", "data": "data:;base64," + "AAAA" * 2000}],
        [{"type": "x", "data": "data:text/plain;charset=utf-8;base64," + "AAAA" * 2000}],
        [{"type": "x", "data": "A" * 50_000}],
    ],
)
def test_what_only_looks_like_a_file_is_kept_too(content, media):
    snapshot = turn(person(), [user(content)], "ok")
    assert rebuild.rebuild_request(snapshot)["messages"] == [user(content)]


def test_half_a_file_is_written_anew(media):
    data = picture()
    blob = attachments.Blob(__import__("hashlib").sha256(data).digest(), data, "image/png")
    attachments.store([blob])
    path = media / attachments.storage_name(blob.sha256)
    path.write_bytes(data[:100])
    attachments.store([blob])
    assert path.read_bytes() == data
    assert oct(path.stat().st_mode & 0o777) == "0o600"


@pytest.fixture
def media(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


# Anything at all ----------------------------------------------------------------------------------


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    script=st.lists(st.tuples(messages, texts, st.integers(0, 3)), min_size=1, max_size=4),
    params=st.dictionaries(texts, values, max_size=2),
)
def test_every_request_is_rebuilt_equal(script, params):
    """Calls that continue, fork, forge and repeat one another: each is rebuilt as it was sent."""
    alice, history, sent = person(), [], []
    for more, reply, keep in script:
        history = history[: len(history) - keep] + more
        request = orjson.loads(orjson.dumps(history))
        extra = {k: v for k, v in params.items() if k not in ("model", "messages")}
        snapshot = turn(alice, request, reply, params=extra)
        sent.append((snapshot.id, {"model": "m", "messages": request} | extra))
        history = [*history, assistant(reply)]
        for id, body in sent:
            assert body_of(id) == body


def test_large_pastes_and_odd_numbers():
    paste = secrets.token_hex(25_000)
    body = orjson.loads(
        b'{"big": 123456789012345678901234567890, "most": 18446744073709551615, '
        b'"least": -9223372036854775808, "tiny": 1e-300, "negative": -0.0}'
    )
    snapshot = turn(person(), [user(paste), user("\0")], "ok", params=body)
    assert (
        rebuild.rebuild_request(snapshot)
        == {"model": "m", "messages": [user(paste), user("\0")]} | body
    )


# Calls of dead processes --------------------------------------------------------------------------


@pytest.fixture
def process(monkeypatch):
    """A gateway process that opens calls and then is no more."""
    import uuid

    id = uuid.uuid4()
    monkeypatch.setattr(processes.CURRENT, "id", id)
    return Process.objects.create(
        id=id, host="elsewhere", pid=1, started=timezone.now(), seen=timezone.now()
    )


def test_the_sweep_closes_calls_of_the_dead_with_the_text_so_far(process):
    call = ask(person(), [user("Tell me a story")])
    growth.save_pieces(call.id, [growth.Piece(growth.TEXT, 0, "Once upon ")])
    growth.save_pieces(call.id, [growth.Piece(growth.TEXT, 10, "a time")])
    assert orphans.close_orphans() == 0  # it beats
    Process.objects.update(seen=timezone.now() - timedelta(seconds=60))
    assert orphans.close_orphans() == 1
    snapshot = Snapshot.objects.get()
    assert (snapshot.status, snapshot.error_code, snapshot.reply.text) == (
        "interrupted",
        "gateway_stopped",
        "Once upon a time",
    )
    assert (snapshot.prompt_tokens, snapshot.completion_tokens, snapshot.estimated) == (4, 4, True)
    assert not Partial.objects.exists()
    assert not Process.objects.exists()
    assert not record.close(call, Outcome(status="ok", replies=[assistant("too late")]))
    assert orphans.close_orphans() == 0


@pytest.mark.parametrize(
    ("channels", "content"),
    [
        (
            [(0, "content"), (0, "content", "text")],
            {"0": {"type": "text", "text": "a"}, "text": "b"},
        ),
        (
            [(0, "content", "text"), (0, "content")],
            {"0": {"type": "text", "text": "b"}, "text": "a"},
        ),
        ([(0, "content", 0), (0, "content", "x")], {"0": "a", "x": "b"}),
        ([(0, "content"), (0, "content", 1)], [{"type": "text", "text": "a"}, "b"]),
    ],
)
def test_an_answer_that_changes_its_shape_is_swept_whole(channels, content, process):
    call = ask(person(), [user("Tell me a story")])
    pieces = [growth.Piece(channel, 0, text) for channel, text in zip(channels, "ab", strict=True)]
    growth.save_pieces(call.id, pieces)
    Process.objects.all().delete()
    assert orphans.close_orphans() == 1
    response = rebuild.rebuild_response(Snapshot.objects.get())
    assert response["choices"][0]["message"]["content"] == content


def test_an_answer_that_cannot_be_kept_holds_up_no_sweep(process, monkeypatch):
    """Each process sweeps as it starts: none would."""
    calls = [ask(person(), [user("Say it")]) for _ in range(2)]
    sound = growth.Piece((0, "audio", "data"), 0, base64.b64encode(b"\0" * 3000).decode())
    growth.save_pieces(calls[0].id, [sound])
    growth.save_pieces(calls[1].id, [growth.Piece(growth.TEXT, 0, "Fine")])

    def store(files):
        if files:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(attachments, "store", store)
    Process.objects.all().delete()
    assert orphans.close_orphans() == 2
    lost, kept = Snapshot.objects.order_by("id")
    assert (lost.status, lost.reply, kept.reply.text) == ("interrupted", None, "Fine")
    assert not Partial.objects.exists()


def test_the_sweep_finds_a_dead_pid_of_this_host_at_once(process):
    import subprocess

    gone = subprocess.Popen(["true"])
    gone.wait()
    ask(person(), [user("hi")])
    Process.objects.update(host=processes.find_host(), pid=os.getpid())
    assert orphans.close_orphans() == 0
    # A container on its machine's network has that name, and knows none of its numbers.
    Process.objects.update(host=socket.gethostname(), pid=gone.pid)
    assert orphans.close_orphans() == 0
    Process.objects.update(host=processes.find_host())
    assert orphans.close_orphans() == 1


def test_a_swept_reply_continues_the_conversation(process):
    call = ask(person(), [user("Tell me a story")])
    growth.save_pieces(call.id, [growth.Piece(growth.TEXT, 0, "Once upon")])
    Process.objects.all().delete()
    orphans.close_orphans()
    later = turn(
        person(), [user("Tell me a story"), assistant("Once upon"), user("go on")], "a time"
    )
    assert later.conversation_id == call.conversation
    assert Message.objects.filter(origin="claimed").count() == 0


def test_stop_reaches_only_pending_calls():
    call, other = ask(person(), [user("a")]), ask(person(), [user("b")])
    growth.ask_to_stop(call.id)
    assert growth.find_stopped([call.id, other.id]) == [call.id]
    answer(other, "done")
    growth.ask_to_stop(other.id)
    assert growth.find_stopped([other.id]) == []
