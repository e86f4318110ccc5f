"""However a call ends: one closed snapshot with the right status, and what came is kept.

A caller that still listens is told.
"""

import http.client
import json
import os
import signal
import socket
import struct
import time

import pytest

from conversations.models import Partial, Snapshot, Usage
from conversations.record import rebuild
from proxy.tests.gateway import ALICE, CANARY, CHAT, chat, eventually, marked, said
from proxy.tests.wire import ANSWER, DONE, SSE, Held, chunk, json_reply, word, words

COUNTED = ANSWER | {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}


# The caller goes ----------------------------------------------------------------------------------


def test_a_json_caller_who_hangs_up_is_billed_so_it_is_recorded(wired, wire, recorded):
    body = json.dumps(COUNTED).encode()
    held = Held(wire, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    with wired.open_chat(marked()):
        eventually(lambda: held.begun)
    time.sleep(1.2)  # the watcher has looked twice
    held.let_go.set()
    [snapshot] = recorded()
    assert (
        snapshot.status,
        snapshot.reply.text,
        snapshot.completion_tokens,
        snapshot.estimated,
    ) == ("ok", "Fine.", 1, False)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    ("sent", "text"),
    [(b"", None), (SSE, None), (SSE + chunk(word("Once ")) + chunk(word("upon")), "Once upon")],
    ids=["before the head", "before a word", "in mid-stream"],
)
def test_a_reader_who_goes_while_the_upstream_is_silent(wired, wire, recorded, sent, text, reset):
    held = Held(wire, sent)
    with wired.open_chat(f"Tell me a story. {marked()}", stream=True) as call:
        eventually(lambda: held.begun)
        if text:
            call.read_until(b"upon")
        if reset:
            call.connection.sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("cancelled", "client_gone")
    assert (snapshot.reply.text if snapshot.reply else None) == text
    assert snapshot.estimated
    assert snapshot.prompt_tokens > 5
    assert snapshot.completion_tokens == (3 if text else 0)
    eventually(lambda: held.hung_up_after)


def test_a_reader_who_goes_while_the_answer_flows(wired, wire, recorded):
    wire.answer, closed = words, len(wire.closed_at)
    with wired.open_chat(marked(), stream=True) as call:
        call.read_until(b"word")
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("cancelled", "client_gone")
    assert snapshot.reply.text.startswith("word word ")
    assert snapshot.completion_tokens > 0
    assert eventually(lambda: wire.closed_at[closed:])
    assert not Partial.objects.filter(snapshot=snapshot.id).exists()


def test_a_reader_who_takes_nothing_is_given_up(wired, wire, recorded):
    def flood(sock, request):
        sock.sendall(SSE)
        while True:
            sock.sendall(chunk(word("word " * 2000)))

    wire.answer = flood
    with wired.open_chat(marked(), stream=True):
        [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("cancelled", "client_gone")


def test_a_reader_who_is_only_slow_gets_everything(wired, wire, recorded):
    """While the upstream is silent, too: nobody has gone."""
    held = Held(
        wire, SSE + chunk(word("Once ")), chunk(word("upon", "stop")) + chunk(DONE) + b"0\r\n\r\n"
    )
    with wired.open_chat(marked(), stream=True) as call:
        call.read_until(b"Once")
        time.sleep(1.3)
        held.let_go.set()
        time.sleep(0.3)
        assert b"[DONE]" in call.read_until(b"[DONE]")
    assert recorded()[0].status == "ok"


# The upstream is not there ------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_refuses_the_connection(shared, recorded, stream):
    gateway = shared(LLM_ENDPOINT=f"http://127.0.0.1:9{CHAT}")  # nothing listens there
    reply = gateway.ask(marked(), stream=stream)
    assert (reply.status, reply.error["code"], reply.error["type"]) == (
        502,
        "upstream_unreachable",
        "upstream_error",
    )
    assert gateway.call("/v1/models", key=ALICE).error["code"] == "upstream_unreachable"
    [snapshot] = recorded()
    assert (snapshot.id, snapshot.status, snapshot.error_code, snapshot.conversation_id) == (
        reply.id,
        "failed",
        "upstream_unreachable",
        reply.root,
    )
    assert (snapshot.prompt_tokens, snapshot.cost) == (None, None)


def test_no_upstream_at_all(started, recorded):
    gateway = started(
        LLM_ENDPOINT="", LLM_MODELS_ENDPOINT="", LLM_EMBEDDINGS_ENDPOINT="", LLM_IMG_ENDPOINT=""
    )
    for path, body in (
        (CHAT, chat("hi")),
        (CHAT, chat("hi", stream=True)),
        ("/v1/embeddings", {"model": "m", "input": "a"}),
        ("/v1/images/generations", {"prompt": "a"}),
    ):
        assert gateway.call(path, body, ALICE).error["code"] == "upstream_missing"
    assert gateway.call("/v1/models", key=ALICE).error["code"] == "upstream_missing"
    assert {snapshot.status for snapshot in recorded(4)} == {"refused"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("!down", 502, "upstream_unreachable"),
        ("!429", 429, "rate_limit_exceeded"),
        ("!500", 502, "upstream_failed"),
        ("!html", 502, "upstream_bad_reply"),
        ("!garbage", 502, "upstream_bad_reply"),
        ("!silent", 504, "upstream_timeout"),
        ("!400", 400, "content_policy_violation"),
    ],
)
def test_faults_before_an_answer(gateway, recorded, fault, status, code, stream):
    reply = gateway.ask(f"{fault} {marked()}", stream=stream)
    assert (reply.status, reply.error["code"]) == (status, code)
    assert reply.headers.get("retry-after") == ("2" if status == 429 else None)
    [snapshot] = recorded()
    assert (snapshot.id, snapshot.status, snapshot.reply, snapshot.conversation_id) == (
        reply.id,
        "failed",
        None,
        reply.root,
    )


@pytest.mark.parametrize("fault", ["!cut", "!stall", "!error"])
def test_faults_in_the_middle_of_an_answer(gateway, recorded, fault):
    reply = gateway.ask(f"{fault} {marked()}", stream=True)
    assert reply.status == 200
    *_, last = reply.events
    assert last["error"]["message"]
    [snapshot] = recorded()
    assert snapshot.status == "failed"
    assert snapshot.reply.text == said(reply.events) != ""
    assert snapshot.estimated
    assert gateway.ask(f"{fault} {marked()}").error
    assert [snapshot.status for snapshot in recorded(2)] == ["failed"] * 2


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("trigger", ["!json", "!sse", "!nousage", "!nodone"])
def test_an_upstream_that_answers_in_another_form(gateway, recorded, trigger, asked):
    reply = gateway.ask(f"{trigger} {marked()}", stream=asked)
    text = said(reply.events) if asked else reply.text
    if asked:
        assert reply.events[-1] == "[DONE]"
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.reply.text, snapshot.estimated) == (
        "ok",
        text,
        trigger == "!nousage" or (trigger == "!sse" and not asked),
    )
    assert text


# The gateway is killed ----------------------------------------------------------------------------


@pytest.mark.drill
def test_kill_9_of_a_worker_in_mid_stream(started, wire, recorded):
    gateway = started(LLM_ENDPOINT=f"{wire.url}{CHAT}")
    wire.answer = words
    with gateway.open_chat(f"Tell me a story. {marked()}", stream=True) as call:
        call.read_until(b"word")
        eventually(Partial.objects.exists)
        [worker] = gateway.workers()
        os.kill(worker, signal.SIGKILL)
        with pytest.raises((http.client.HTTPException, OSError)):
            call.finish()
    [snapshot] = recorded()  # the new worker has swept
    assert (snapshot.status, snapshot.error_code) == ("interrupted", "gateway_stopped")
    assert snapshot.reply.text.startswith("word word ")
    assert snapshot.estimated
    assert snapshot.completion_tokens == -(-len(snapshot.reply.text) // 4)
    assert not Partial.objects.filter(snapshot=snapshot.id).exists()
    wire.answer = json_reply(json.dumps(ANSWER).encode())
    assert eventually(gateway.answers)
    assert gateway.ask(marked()).text == "Fine."


def growing(n: int, index: int) -> bytes:
    """A piece of one of two choices: one thinks and calls a tool, the other declines."""
    call = {"index": 0, "function": {"arguments": "abc "}}
    if n == 0:
        call |= {"id": "call_a", "type": "function"}
        call["function"] = {"name": "f", "arguments": ""}
    delta = {"reasoning_content": "I weigh it. ", "tool_calls": [call]}
    choice = {"index": index, "delta": {"refusal": "No. "} if index else delta}
    return b"data: %s\n\n" % json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()


@pytest.mark.drill
def test_kill_9_keeps_all_that_had_grown(started, wire, recorded):
    """Reasoning, arguments and every choice, though not one word of text came."""

    def think(sock, request):
        sock.sendall(SSE)
        for n in range(1000):
            sock.sendall(chunk(growing(n, 0)) + chunk(growing(n, 1)))
            time.sleep(0.05)

    gateway = started(LLM_ENDPOINT=f"{wire.url}{CHAT}")
    wire.answer = think
    with gateway.open_chat(marked(), stream=True) as call:
        call.read_until(b"weigh")
        eventually(Partial.objects.exists)
        [worker] = gateway.workers()
        os.kill(worker, signal.SIGKILL)
        with pytest.raises((http.client.HTTPException, OSError)):
            call.finish()
    [snapshot] = recorded()
    first, second = (choice["message"] for choice in rebuild.rebuild_response(snapshot)["choices"])
    assert first["reasoning_content"].startswith("I weigh it. I weigh it. ")
    [tool] = first["tool_calls"]
    assert (tool["id"], tool["type"], tool["function"]["name"]) == ("call_a", "function", "f")
    assert tool["function"]["arguments"].startswith("abc abc ")
    assert second["refusal"].startswith("No. No. ")
    assert snapshot.completion_tokens > 20
    assert not Partial.objects.filter(snapshot=snapshot.id).exists()


@pytest.mark.drill
def test_kill_9_of_everything_before_an_answer(started, wire, recorded):
    first = started(LLM_ENDPOINT=f"{wire.url}{CHAT}", WEB_WORKERS=2)
    held = Held(wire, b"")
    calls = [first.open_chat(marked(), stream=bool(n % 2)) for n in range(4)]
    eventually(lambda: held.begun == 4)
    first.kill()
    for call in calls:
        call.close()
    started(LLM_ENDPOINT=f"{wire.url}{CHAT}")
    snapshots = recorded(4)
    assert {
        (snapshot.status, snapshot.reply, snapshot.completion_tokens) for snapshot in snapshots
    } == {("interrupted", None, 0)}


# Bookkeeping --------------------------------------------------------------------------------------


def test_every_ending_is_counted_once(gateway):
    before = {
        row.model: (row.calls, row.failures)
        for row in Usage.objects.filter(owner__username="alice")
    }
    for opener in ("Hi", "!500", "!cut"):
        gateway.ask(f"{opener} {CANARY}", model="gpt-4", stream=True)
    calls, failures = before.get("gpt-4", (0, 0))
    row = Usage.objects.get(owner__username="alice", model="gpt-4")
    assert (row.calls, row.failures) == (calls + 3, failures + 2)
    assert not Snapshot.objects.filter(status="pending").exists()
