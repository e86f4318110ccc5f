"""The demo upstream over real sockets: what it says it saw, HTTP, and a process of its own."""

import asyncio
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing

import pytest
import requests

from proxy.demo import server
from proxy.tests.demo.questions import QUESTION, ask, events


def eventually(true):
    for _ in range(100):
        if true():
            return True
        time.sleep(0.05)
    return False


# What it saw -------------------------------------------------------------------------------------


def test_it_tells_what_it_was_sent(upstream):
    raw = (
        b'{"model": "gpt-4o",  "messages": [{"role": "user", "content": "hi"}], '
        b'"x": 12345678901234567890}'
    )
    requests.post(
        f"{upstream.url}/v1/chat/completions?a=b",
        data=raw,
        headers={"Authorization": "Bearer k", "X-Thing": "1"},
        timeout=60,
    )
    seen = upstream.seen[-1]
    assert (seen["method"], seen["path"], seen["raw"], seen["body"]) == (
        "POST",
        "/v1/chat/completions?a=b",
        raw,
        json.loads(raw),
    )
    assert seen["headers"]["authorization"] == "Bearer k"
    assert seen["headers"]["x-thing"] == "1"
    assert abs(seen["at"] - time.time()) < 5
    assert seen["closed_early"] is False


@pytest.mark.parametrize("word", ["!stall", "!silent", "!slow=60", "!long"])
@pytest.mark.parametrize("stream", [False, True])
def test_it_sees_the_client_leave(word, stream):
    with server.DemoServer(pace=1) as upstream:
        client = socket.create_connection(("127.0.0.1", upstream.port))
        body = json.dumps(
            {
                "model": "gpt-4o",
                "messages": [{"role": "user", "content": f"go {word}"}],
                "stream": stream,
            }
        ).encode()
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
            % len(body)
            + body
        )
        assert eventually(lambda: upstream.seen)
        if word == "!stall":  # a part came
            client.settimeout(5)
            got = client.recv(65536)
            while (b'"content":"' if stream else b'"chatcmpl') not in got:
                got += client.recv(65536)
        time.sleep(0.1)
        assert upstream.seen[0]["closed_early"] is False
        client.close()
        assert eventually(lambda: upstream.seen[0]["closed_early"])


# As an HTTP server -------------------------------------------------------------------------------


def talk(upstream, *sent):
    """All that comes back on one connection until the server closes it."""
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=60) as client:
        for part in sent:
            client.sendall(part)
        got = b""
        while part := client.recv(65536):
            got += part
        return got


def test_a_connection_is_kept_and_then_closed_when_idle(upstream, monkeypatch):
    monkeypatch.setattr(server, "IDLE", 0.4)
    with closing(http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=60)) as connection:
        for stream in (True, False, True):
            connection.request(
                "POST",
                "/v1/chat/completions",
                json.dumps(
                    {
                        "model": "gpt-4o",
                        "messages": [{"role": "user", "content": "hi"}],
                        "stream": stream,
                    }
                ),
            )
            reply = connection.getresponse()
            assert reply.headers["connection"] == "keep-alive"
            assert reply.read()
        kept = connection.sock
        assert kept.recv(1) == b""  # closed by the server


def test_chunked_bodies_and_pipelined_requests_are_read(upstream):
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()
    chunked = (
        b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:]))
        + b"0\r\nTrailer: x\r\n\r\n"
    )
    head = b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    got = talk(upstream, head + b"\r\n" + chunked + head + b"Connection: close\r\n\r\n" + chunked)
    assert got.count(b"HTTP/1.1 200 OK") == 2
    assert upstream.seen[-1]["raw"] == body


def test_older_clients_and_expectations(upstream):
    body = json.dumps(
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    ).encode()
    old = talk(
        upstream,
        b"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: %d\r\n\r\n" % len(body) + body,
    )
    assert b"transfer-encoding" not in old
    assert old.endswith(b"data: [DONE]\n\n")
    expecting = talk(
        upstream,
        b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\n"
        b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body),
        body,
    )
    assert expecting.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
def test_no_http_is_refused(upstream, sent):
    assert talk(upstream, sent).startswith(b"HTTP/1.1 400 Bad Request")


def test_it_is_paced_like_a_model():
    with server.DemoServer(pace=1) as upstream:
        began = time.monotonic()
        chunks = events(ask(upstream, stream=True, max_tokens=40))
        assert time.monotonic() - began > 0.3 + 40 / 60
        assert len(chunks) == 22
        began = time.monotonic()
        ask(upstream, max_tokens=50)
        assert time.monotonic() - began > 1.2


def test_hundreds_of_streams_at_once(upstream):
    body = json.dumps(
        {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": QUESTION}],
            "stream": True,
        }
    ).encode()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        % len(body)
        + body
    )

    async def stream():
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(request)
        whole = await reader.read()
        writer.close()
        await writer.wait_closed()
        return whole.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")

    async def streams():
        return await asyncio.gather(*(stream() for _ in range(300)))

    assert all(asyncio.run(streams()))


# As a process ------------------------------------------------------------------------------------


@pytest.fixture
def process():
    started = []

    def start(*options):
        child = subprocess.Popen(
            [sys.executable, "-m", "proxy.demo.server", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
        child.communicate()


def test_its_own_process_says_where_it_listens_records_and_stops(process):
    child = process("--port", "0", "--pace", "0", "--record")
    [port] = re.findall(r"^listening on 127\.0\.0\.1:(\d+)\n$", child.stdout.readline())
    requests.post(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json={"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]},
        timeout=60,
    )
    [seen] = requests.get(f"http://127.0.0.1:{port}/_seen", timeout=60).json()
    assert seen["body"]["messages"] == [{"role": "user", "content": "hi"}]
    assert seen.keys() == {"method", "path", "headers", "body", "at", "closed_early"}
    with socket.create_connection(("127.0.0.1", int(port))):
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    assert child.communicate() == ("", "")


def test_a_taken_port_is_one_line(process):
    with server.DemoServer(pace=0) as upstream:
        child = process("--port", str(upstream.port))
        assert child.communicate(timeout=60) == (
            "",
            f"Cannot listen on 127.0.0.1:{upstream.port}: Address already in use.\n",
        )
        assert child.returncode == 1
        with pytest.raises(OSError, match="address already in use"):
            server.DemoServer(port=upstream.port)


def test_it_needs_no_django():
    check = (
        "import sys, proxy.demo.server; "
        "sys.exit(any(name.startswith('django') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)
