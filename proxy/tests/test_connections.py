"""How calls reach an upstream: connections kept and given up, TLS, a proxy, sizes and times.

And never a POST twice.
"""

import gzip
import json
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.test import Client

from conversations.models import Conversation
from conversations.record import rebuild
from proxy.providers.base import Sent
from proxy.tests.gateway import (
    ALICE,
    BOB,
    CHAT,
    SHARED,
    chat,
    events,
    eventually,
    marked,
    said,
    the,
)
from proxy.tests.wire import (
    ANSWER,
    DONE,
    SSE,
    Held,
    Wire,
    chunk,
    document,
    exactly,
    json_reply,
    word,
    words,
)
from proxy.upstreams import client
from proxy.upstreams.replies import read_body

DOCUMENT = json.dumps(ANSWER).encode()
PEM = Path(__file__).with_name("wire.pem")  # of 127.0.0.1, signed by itself


@pytest.fixture
def plain(shared, wire):
    """A gateway of these tests alone: the environment's proxies are none of its business."""
    nowhere = "http://127.0.0.1:9"
    proxies = ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy")
    return shared(LLM_ENDPOINT=f"{wire.url}{CHAT}", **dict.fromkeys(proxies, nowhere))


@pytest.fixture
def trusting(shared, tls):
    return shared(LLM_ENDPOINT=f"https://127.0.0.1:{tls.port}{CHAT}", LLM_CA_BUNDLE=PEM)


@pytest.fixture(scope="module")
def tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    with Wire(context) as wire:
        yield wire


# Connections -------------------------------------------------------------------------------------


def keeps(sock, request):
    """A document or a stream, whichever is asked for; the connection stays."""
    if json.loads(request.body).get("stream"):
        sock.sendall(
            SSE.replace(b"Connection: close\r\n", b"")
            + chunk(word("Fine.", "stop"))
            + chunk(DONE)
            + b"0\r\n\r\n"
        )
    else:
        json_reply(DOCUMENT)(sock, request)


def test_a_connection_serves_one_call_after_the_other(plain, wire):
    before = wire.accepted
    wire.answer = keeps
    for n in range(8):
        reply = plain.ask(marked(), stream=bool(n % 2))
        assert (said(reply.events) if n % 2 else reply.text) == "Fine."
    assert wire.accepted <= before + 1  # an earlier test's may be there


def test_one_that_was_hung_up_is_not_used_again(wired, wire, recorded):
    """It is not even tried: a call that begins on a dead one has that try on its record."""
    socks = []

    def hangs_up(sock, request):
        socks.append(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DOCUMENT) + DOCUMENT)
        raise ConnectionAbortedError

    wire.answer = hangs_up
    for _ in range(3):
        assert wired.ask(marked()).status == 200
        eventually(lambda: socks[-1].fileno() < 0)
    assert len(set(socks)) == 3
    assert [call.attempts for call in recorded(3)] == [""] * 3


def test_a_call_is_never_sent_twice(plain, wire, recorded):
    """An upstream that hangs up while the next request is on its way may have begun on it."""
    wire.answer = json_reply(DOCUMENT)
    assert plain.ask(marked()).status == 200
    before, accepted = len(wire.seen), wire.accepted
    wire.answer = exactly()
    for stream in (False, True):
        assert plain.ask(marked(), stream=stream).error["code"] == "upstream_unreachable"
    assert len(wire.seen) == before + 2
    assert wire.accepted == accepted + 1  # the first was sent on the kept one
    assert [snapshot.status for snapshot in recorded(3)] == ["ok", "failed", "failed"]


# TLS and proxies ---------------------------------------------------------------------------------


def test_calls_over_tls(trusting, tls, recorded):
    before = tls.accepted
    tls.answer = keeps
    for n in range(4):
        reply = trusting.ask(marked(), stream=bool(n % 2))
        assert (said(reply.events) if n % 2 else reply.text) == "Fine."
    assert tls.accepted <= before + 1
    silence = Held(tls, SSE + chunk(word("Once ")))
    reply = trusting.ask(marked(), stream=True)
    eventually(lambda: silence.hung_up_after)
    assert reply.events[-1]["error"]["code"] == "upstream_timeout"
    held = Held(tls, SSE + chunk(word("Once ")))
    with trusting.open_chat(marked(), stream=True) as call:
        call.read_until(b"Once")
    *_, silent, gone = recorded(6)
    assert (silent.status, silent.reply.text) == ("failed", "Once ")
    assert (gone.status, gone.reply.text) == ("cancelled", "Once ")
    eventually(lambda: held.hung_up_after)


@pytest.mark.parametrize("size", [10, 10_000], ids=["in the buffer", "in TLS"])
def test_what_comes_behind_a_reply_over_tls_is_nobodys(trusting, tls, size):
    """In one record with it: no poll of the socket shows it."""
    socks = []

    def answers(data):
        def answer(sock, request):
            socks.append(sock)
            sock.sendall(data)

        return answer

    long, late = "x" * size, document("FOR ALICE")
    tls.answer = answers(document(long) + late)
    assert trusting.ask(marked(), key=ALICE).text == long
    tls.answer = answers(document("FOR BOB"))
    assert trusting.ask(marked(), key=BOB).text == "FOR BOB"
    first, second = socks
    assert second is not first


def test_a_stray_reply_over_tls_is_nobodys(trusting, tls):
    socks = []

    def answer(sock, request):
        socks.append(sock)
        sock.sendall(document("Fine."))

    tls.answer = answer
    assert trusting.ask("word " * 1_000_000).text == "Fine."  # session tickets come while it leaves
    assert trusting.ask(marked()).text == "Fine."
    assert socks[0] is socks[1]
    socks[1].sendall(document("FOR ALICE"))
    assert trusting.ask(marked(), key=BOB).text == "Fine."
    assert socks[2] is not socks[1]


def test_an_upstream_that_nobody_vouches_for(started, tls, recorded):
    gateway, seen = started(LLM_ENDPOINT=f"https://127.0.0.1:{tls.port}{CHAT}"), len(tls.seen)
    reply = gateway.ask(marked())
    assert (reply.status, reply.error["code"]) == (502, "upstream_tls")
    assert recorded()[0].error_code == "upstream_tls"
    assert len(tls.seen) == seen


def test_calls_through_a_proxy_can_be_cut_too(started, wire, recorded):
    gateway = started(
        LLM_ENDPOINT=f"http://models.example{CHAT}",
        LLM_PROXY=wire.url,
        UPSTREAM_HTTP_HOSTS="models.example",
    )
    wire.answer = json_reply(DOCUMENT)
    assert gateway.ask(marked()).text == "Fine."
    assert wire.seen[-1].line == f"POST http://models.example{CHAT} HTTP/1.1"
    wire.answer = lambda sock, request: time.sleep(5)
    assert gateway.ask(marked()).error["code"] == "upstream_timeout"
    held = Held(wire, SSE + chunk(word("Once ")))
    with gateway.open_chat(marked(), stream=True) as call:
        call.read_until(b"Once")
    assert [snapshot.status for snapshot in recorded(3)] == ["ok", "failed", "cancelled"]
    eventually(lambda: held.hung_up_after)


def test_the_environments_proxies_are_nobodys_business(plain, wire):
    wire.answer = json_reply(DOCUMENT)
    assert plain.ask(marked()).text == "Fine."


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "[fe80::1]", "0.0.0.0", "224.0.0.1", "[::ffff:169.254.169.254]"]
)
def test_addresses_that_nobody_is_sent_to(database, settings, recorded, address):
    settings.LLM_ENDPOINT, settings.LLM_TIMEOUT = f"https://{address}:9{CHAT}", 3
    answer = Client().post(
        CHAT, chat(marked()), "application/json", headers={"authorization": f"Bearer {ALICE}"}
    )
    assert answer.json()["error"]["code"] == "upstream_misconfigured"
    assert recorded()[0].status == "refused"


# Sizes and times ---------------------------------------------------------------------------------


def test_compressed_replies(wired, wire, recorded):
    packed = gzip.compress(DOCUMENT)
    wire.answer = json_reply(packed, headers=b"Content-Encoding: gzip\r\n")
    assert wired.ask(marked()).text == "Fine."
    story = gzip.compress(word("Once ") + word("upon", "stop") + DONE)
    head = SSE.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    wire.answer = exactly(head, chunk(story[:20]), chunk(story[20:]), b"0\r\n\r\n")
    assert said(wired.ask(marked(), stream=True).events) == "Once upon"
    bomb = gzip.compress(b" " * 100_000_000)
    wire.answer = json_reply(bomb, headers=b"Content-Encoding: gzip\r\n")
    assert wired.ask(marked()).error["code"] == "upstream_bad_reply"
    wire.answer = exactly(
        head, *(chunk(bomb[at : at + 65536]) for at in range(0, len(bomb), 65536)), b"0\r\n\r\n"
    )
    assert wired.ask(marked(), stream=True).error["code"] == "upstream_bad_reply"
    assert [snapshot.status for snapshot in recorded(4)] == ["ok", "ok", "failed", "failed"]


def test_a_stream_that_never_ends_is_given_up(wired, wire, recorded):
    piece = chunk(word("word ") + b": " + b"x" * 60_000 + b"\n\n") * 10

    def answer(sock, request):
        sock.sendall(SSE)
        while True:
            sock.sendall(piece)

    wire.answer = answer
    reply = wired.ask(marked(), stream=True)
    assert 50_000_000 < len(reply.body) < 70_000_000
    assert b"more than the gateway accepts" in reply.body[-500:]
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("failed", "upstream_bad_reply")
    assert snapshot.reply.text.startswith("word word ")


def test_the_largest_request(wired, wire, recorded):
    wire.answer = json_reply(DOCUMENT)
    body = json.dumps(chat(marked(), metadata="x")).encode()
    body = body.replace(
        b'"x"', b'"%s"' % (b"word " * 5_000_000)[: 20 * 1024 * 1024 - len(body) + 1]
    )
    assert len(body) == 20 * 1024 * 1024
    assert wired.call(CHAT, body, ALICE).status == 200
    assert rebuild.rebuild_request(recorded()[0]) == json.loads(body)
    assert wired.call(CHAT, body + b" ", ALICE).status == 413


def test_a_kept_connection_sends_for_longer_than_it_takes_to_connect(wire, monkeypatch):
    """The watcher keeps the time of a call, a socket does not."""

    class Watched:
        since = 0.0

        def carried_by(self, sock):
            pass

    def answer(sock, request):
        sock.sendall(document("Fine."))
        time.sleep(1)  # and reads nothing of the next request

    monkeypatch.setattr(client, "CONNECT", 0.5)
    wire.answer, before = answer, wire.accepted
    for size in (1, 20_000_000):
        reply = client.post(Sent(wire.url, {}, b"x" * size), exchange=Watched())
        assert read_body(reply, 1000)
    assert wire.accepted == before + 1


def test_a_call_that_takes_too_long_altogether(started, wire, recorded):
    gateway = started(LLM_ENDPOINT=f"{wire.url}{CHAT}", LLM_LONGEST_CALL=1)
    wire.answer = words
    reply = gateway.ask(marked(), stream=True)
    assert reply.events[-1]["error"]["message"] == "The answer took longer than the gateway allows."
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("failed", "upstream_timeout")
    assert snapshot.reply.text == said(reply.events) != ""


# Callers -----------------------------------------------------------------------------------------


def raw(gateway, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_an_old_client_reads_a_stream_until_it_ends(gateway):
    body = json.dumps(chat(marked(), stream=True)).encode()
    head, _, stream = raw(
        gateway,
        b"POST %s HTTP/1.0\r\nx-api-key: %s\r\nContent-Length: %d\r\n\r\n"
        % (CHAT.encode(), ALICE.encode(), len(body))
        + body,
    ).partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert list(events(stream))[-1] == "[DONE]"


def test_a_client_that_asks_before_it_sends(gateway):
    body = json.dumps(chat(marked())).encode()
    head = (
        b"POST %s HTTP/1.1\r\nHost: x\r\nx-api-key: %s\r\nContent-Length: %d\r\n"
        b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as client:
        client.sendall(head % (CHAT.encode(), ALICE.encode(), len(body)))
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(body)
        assert b"HTTP/1.1 200 OK" in b"".join(iter(lambda: client.recv(65536), b""))


def test_a_forwarded_address_is_not_believed(gateway):
    assert (
        the(
            gateway.ask(marked(), headers={"X-Forwarded-For": "10.9.8.7", "X-Real-IP": "10.9.8.7"})
        ).address
        == "127.0.0.1"
    )


def test_calls_at_once_of_one_new_session_are_one_conversation(started, demo_upstream, recorded):
    gateway = started(LLM_ENDPOINT=f"{demo_upstream.url}{CHAT}", WEB_WORKERS=2)
    session = marked()
    with ThreadPoolExecutor(24) as pool:
        replies = list(
            pool.map(
                lambda n: gateway.ask(
                    f"{n % 3}", headers={"x-session-id": session}, stream=bool(n % 2)
                ),
                range(24),
            )
        )
    assert {reply.status for reply in replies} == {200}
    assert len({reply.root for reply in replies}) == 1
    assert {snapshot.status for snapshot in recorded(24)} == {"ok"}
    conversation = Conversation.objects.get(id=replies[0].root)
    assert conversation.turns == 24
    assert conversation.messages.filter(role="user").count() == 3


def test_calls_at_once_with_one_history_and_one_picture(gateway, recorded):
    picture = {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + "QUJD" * 20_000},
    }
    first = gateway.ask({"role": "user", "content": [{"type": "text", "text": marked()}, picture]})
    history = rebuild.rebuild_request(the(first))["messages"]
    with ThreadPoolExecutor(16) as pool:
        replies = list(
            pool.map(
                lambda n: gateway.ask(
                    *history, {"role": "assistant", "content": first.text}, f"{n % 4}"
                ),
                range(16),
            )
        )
    assert {reply.root for reply in replies} == {first.root}
    for snapshot in recorded(17):
        assert rebuild.rebuild_request(snapshot)["messages"][0] == history[0]


def test_every_place_is_given_back(wired, wire, recorded):
    """Whatever happened to this gateway before: as many calls as it has places are open at once."""
    held = Held(
        wire, b"", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DOCUMENT) + DOCUMENT
    )
    owners = (ALICE, BOB, SHARED)  # one account alone does not get the last third
    calls = [wired.open_chat(marked(), key=owners[n % 3]) for n in range(80)]
    eventually(lambda: held.begun == 80)
    held.let_go.set()
    assert {call.finish().status for call in calls} == {200}
    recorded(80)
