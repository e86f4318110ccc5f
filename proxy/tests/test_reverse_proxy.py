"""The reverse proxy of docs/operations.md, in a real nginx: what passes, at once and as itself."""

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.conf import settings

from conversations.models import Snapshot
from proxy.tests import gateway as at
from proxy.tests.conftest import is_discreet, url_of
from proxy.tests.gateway import CHAT, Gateway, chat, events, eventually, free_port
from proxy.tests.wire import SSE, chunk, json_reply, until_closed

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
pytestmark = pytest.mark.skipif(
    not os.path.exists(NGINX) and "CI" not in os.environ,
    reason="nginx is not installed (apt install nginx-light)",
)

HOST = "gateway.example"
OPERATIONS = settings.BASE_DIR / "docs" / "operations.md"
SETTING = """
daemon off;
pid {here}/nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
client_body_temp_path {here}/1; proxy_temp_path {here}/2; fastcgi_temp_path {here}/3;
uwsgi_temp_path {here}/4; scgi_temp_path {here}/5;
{sample}
}}
"""


def sample(**replaced: str) -> str:
    [text] = re.findall(r"```nginx\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)
    for old, new in replaced.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


class Proxy:
    def __init__(self, here: Path, gateway: Gateway) -> None:
        self.port, self.plain, self.log = free_port(), free_port(), here / "access.log"
        key, certificate = here / "key.pem", here / "certificate.pem"
        made = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            key,
            "-out",
            certificate,
        ]
        subprocess.run(
            [*made, "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"],
            check=True,
            capture_output=True,
        )
        text = sample(
            **{
                "127.0.0.1:8008": f"127.0.0.1:{gateway.port}",
                "listen 80;": f"listen 127.0.0.1:{self.plain};",
                "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
                "/etc/ssl/certs/gateway.example.pem": str(certificate),
                "/etc/ssl/private/gateway.example.key": str(key),
                "/var/log/nginx/llmgateway.log": str(self.log),
                "/var/log/nginx/llmgateway-error.log": str(here / "error.log"),
            }
        )
        configuration = here / "nginx.conf"
        configuration.write_text(
            SETTING.format(here=here, sample=text, user="user root;" if os.geteuid() == 0 else "")
        )
        self.trusted = ssl.create_default_context(cafile=str(certificate))
        self.process = subprocess.Popen(
            [NGINX, "-e", "stderr", "-c", configuration], stderr=subprocess.PIPE, text=True
        )
        eventually(self.answers)

    def answers(self) -> bool:
        assert self.process.poll() is None, self.process.stderr.read()
        try:
            with self.call("GET", "/ping") as reply:
                return reply.read() == b"pong\n"
        except OSError:
            return False

    @contextmanager
    def call(
        self, method: str, path: str, body=None, **headers: str
    ) -> Iterator[http.client.HTTPResponse]:
        """From 127.0.0.2, so that the client's address is not the proxy's."""
        with closing(http.client.HTTPConnection(HOST, timeout=60)) as connection:
            connection.sock = self.trusted.wrap_socket(
                socket.create_connection(("127.0.0.1", self.port), 20, ("127.0.0.2", 0)),
                server_hostname=HOST,
            )
            connection.request(method, path, body, headers)
            with connection.getresponse() as response:
                yield response


@pytest.fixture(scope="module")
def served(committed, folder, wire) -> Iterator[Gateway]:
    behind = {"ALLOWED_HOSTS": HOST, "TRUSTED_PROXIES": "127.0.0.1", "BEHIND_TLS": "true"}
    gateway = Gateway(
        folder, DATABASE_URL=url_of(committed), LLM_ENDPOINT=f"{wire.url}{CHAT}", **behind
    )
    yield gateway
    gateway.stop()
    is_discreet(gateway.log)


@pytest.fixture(scope="module")
def nginx(served, tmp_path_factory) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path_factory.mktemp("nginx"), served)
    yield proxy
    proxy.process.terminate()
    assert proxy.process.wait(60) == 0
    proxy.process.stderr.close()
    is_discreet(proxy.log)


KEY = {"Authorization": f"Bearer {at.ALICE}", "Content-Type": "application/json"}


def delta(text: str) -> bytes:
    return (
        b"data: "
        + json.dumps(
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]}
        ).encode()
        + b"\n\n"
    )


def test_a_stream_passes_as_it_comes(nginx, wire, recorded):
    read = threading.Event()

    def answer(sock, request):
        sock.sendall(SSE + chunk(delta("one")))
        assert read.wait(60)
        sock.sendall(chunk(delta(" two") + b"data: [DONE]\n\n") + chunk(b""))

    wire.answer = answer
    with nginx.call("POST", CHAT, json.dumps(chat("count", stream=True)), **KEY) as reply:
        data = reply.read1()
        assert b"one" in data
        assert b"two" not in data
        read.set()
        assert at.said(list(events(data + reply.read()))) == "one two"
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.reply.text) == ("ok", "one two")


def test_a_client_that_leaves_is_noticed(nginx, wire, recorded):
    left = threading.Event()

    def answer(sock, request):
        sock.sendall(SSE + chunk(delta("one")))
        until_closed(sock)
        left.set()

    wire.answer = answer
    with nginx.call("POST", CHAT, json.dumps(chat("count", stream=True)), **KEY) as reply:
        assert b"one" in reply.read1()
    assert left.wait(60)
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.reply.text) == ("cancelled", "one")


def test_the_record_shows_the_client_and_not_the_proxy(nginx, wire, recorded):
    wire.answer = json_reply(b"{}")
    with nginx.call(
        "POST",
        CHAT,
        json.dumps(chat("hello")),
        **KEY,
        **{"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http"},
    ):
        pass
    [snapshot] = recorded()
    assert snapshot.address == "127.0.0.2"
    assert Snapshot.objects.filter(address="192.0.2.1").count() == 0


def test_too_much_is_refused_in_the_gateways_words(nginx):
    with nginx.call("POST", CHAT, b" " * (settings.MAX_BODY + 1000), **KEY) as reply:
        assert reply.status == 413
        assert "20 MB" in json.loads(reply.read())["error"]["message"]


def test_pages_by_tls(nginx):
    with nginx.call("GET", "/sign-in/") as page:
        cookie = page.headers["Set-Cookie"]
        assert "Secure" in cookie
        assert page.headers["Strict-Transport-Security"]
        token = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', page.read())[1].decode()
    form = f"username=alice&password={at.SECRET}&csrfmiddlewaretoken={token}"
    sent = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie.partition(";")[0]}
    with nginx.call(
        "POST", "/sign-in/", form, **sent, Origin="https://elsewhere.example"
    ) as answer:
        assert answer.status == 403
    with nginx.call("POST", "/sign-in/", form, **sent, Origin=f"https://{HOST}") as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/")
        session = next(
            line
            for line in answer.headers.get_all("Set-Cookie")
            if line.startswith("__Host-sessionid=")
        )
    assert cookie.startswith("__Host-csrftoken=")
    for each in (cookie, session):  # what browsers want of such a name
        assert "Path=/;" in f"{each};"
        assert "domain" not in each.lower()
    assert "Secure" in session
    with nginx.call("GET", f"/history/?q={at.CANARY}", Cookie=session.partition(";")[0]) as page:
        assert page.status == 200
    eventually(lambda: "GET /history/ 200" in nginx.log.read_text())  # without what was looked for


def test_plain_http_is_sent_to_tls(nginx):
    with closing(http.client.HTTPConnection("127.0.0.1", nginx.plain, timeout=60)) as connection:
        connection.request("GET", "/history/", headers={"Host": HOST})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Location"]) == (308, f"https://{HOST}/history/")
