"""The gateway as it is served, for tests: gunicorn in a process of its own, called over HTTP."""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from django.conf import settings

from conversations.models import Snapshot

# What must never reach a log: CANARY is in what people and models say,
# SECRET in keys, cookies and credentials.
CANARY, SECRET = "canary-said-4e1b", "canary-secret-9f3a"
ALICE, BOB, SHARED, IMAGES_ONLY, NOTHING = (
    f"gw-{name}-{SECRET}" for name in ("alice001", "bob00001", "shared01", "images01", "nothing1")
)
UPSTREAM_KEY = f"Bearer sk-{SECRET}"
CHAT = "/v1/chat/completions"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(true, within: float = 60.0) -> Any:
    """The first true value; AssertionError if there is none in time."""
    latest = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < latest, f"not true within {within} s"
        time.sleep(0.05)
    return found


class Reply:
    """What the caller got, read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.body = response.status, response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> UUID:
        return UUID(self.headers["x-request-id"])

    @property
    def root(self) -> UUID:
        return UUID(self.headers["x-conversation-id"])

    @property
    def text(self) -> str:
        return self.json()["choices"][0]["message"]["content"]

    @property
    def error(self) -> dict[str, Any]:
        """The error, in the one shape that errors have."""
        assert self.headers["content-type"] == "application/json"
        body = self.json()
        assert body.keys() == {"error"}
        assert body["error"].keys() == {"message", "type", "param", "code"}
        assert body["error"]["message"]
        return body["error"]

    @property
    def events(self) -> list[Any]:
        return list(events(self.body))


def events(raw: bytes) -> Iterator[Any]:
    """The data of a stream's events, parsed; "[DONE]" as it is.

    Nothing may be left that is no whole event.
    """
    *blocks, rest = raw.split(b"\n\n")
    assert rest == b""
    for block in blocks:
        assert block.startswith(b"data: "), block
        data = block.removeprefix(b"data: ")
        yield "[DONE]" if data == b"[DONE]" else json.loads(data)


def said(events: list[Any]) -> str:
    """The text of a stream's first choice."""
    choices = (
        choice for event in events if event != "[DONE]" for choice in event.get("choices", ())
    )
    return "".join(
        choice["delta"].get("content") or "" for choice in choices if choice["index"] == 0
    )


class Open:
    """A request whose reply is not read yet; the test decides when to read and when to go."""

    def __init__(
        self, port: int, path: str, data: bytes, headers: dict[str, str], timeout: float
    ) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.connection.request("POST", path, data, headers)
        self.response: http.client.HTTPResponse | None = None

    def begin(self) -> http.client.HTTPResponse:
        self.response = self.connection.getresponse()
        return self.response

    def read_until(self, mark: bytes) -> bytes:
        response = self.response or self.begin()
        data = b""
        while mark not in data:
            piece = response.read1()
            assert piece, f"the stream ended without {mark!r}"
            data += piece
        return data

    def finish(self) -> Reply:
        with self:
            return Reply(self.response or self.begin())

    def close(self) -> None:
        if self.response is not None:
            self.response.close()
        self.connection.close()

    def __enter__(self) -> "Open":
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()


class Gateway:
    """gunicorn with the gateway's own configuration. `environment` are its settings."""

    def __init__(self, folder: Path, **environment: object) -> None:
        self.port = free_port()
        self.log = folder / f"web-{self.port}.log"
        ours = {
            "PORT": self.port,
            "WEB_WORKERS": 1,
            "OPEN_CALLS": 80,
            "DB_POOL": 2,
            "GRACE": 4,
            "LLM_TIMEOUT": 2,
            "LLM_STREAM_TIMEOUT": 2,
            "CLIENT_STALL": 3,
            "LLM_API_AUTHORIZATION": UPSTREAM_KEY,
        }
        self.environment = os.environ | {
            name: str(value) for name, value in (ours | environment).items()
        }
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            str(settings.BASE_DIR / "llmgateway" / "server" / "gunicorn.conf.py"),
            "llmgateway.wsgi",
        ]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=settings.BASE_DIR, env=self.environment, stdout=log, stderr=log
            )
        try:
            eventually(self.answers, 90)
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise AssertionError(self.log.read_text()) from None

    def answers(self) -> bool:
        assert self.process.poll() is None
        try:
            return self.call("/ping").status == 200
        except OSError:
            return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(
        self,
        path: str,
        body: Any = None,
        key: str = "",
        *,
        method: str = "",
        timeout: float = 30,
        **headers: str,
    ) -> Reply:
        """`body` is bytes, or sent as JSON; an underscore in a header's name is a hyphen."""
        if body is not None and method in ("", "POST"):
            return self.open(path, body, key, timeout=timeout, **headers).finish()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method or "GET", path, encoded(body), fields(key, headers))
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def open(
        self, path: str, body: Any, key: str = "", *, timeout: float = 30, **headers: str
    ) -> Open:
        return Open(self.port, path, encoded(body) or b"", fields(key, headers), timeout)

    def ask(
        self, *messages: Any, key: str = ALICE, headers: dict[str, str] | None = None, **params: Any
    ) -> Reply:
        """A chat; a message that is a string is the user's."""
        return self.call(CHAT, chat(*messages, **params), key, **(headers or {}))

    def open_chat(self, *messages: Any, key: str = ALICE, **params: Any) -> Open:
        return self.open(CHAT, chat(*messages, **params), key)

    def workers(self) -> list[int]:
        """Of process ids: those that serve."""
        return [worker.pid for worker in psutil.Process(self.process.pid).children()]

    def work(self) -> str:
        """The worker does what is due: its log."""
        command = [sys.executable, "manage.py", "worker", "--once"]
        done = subprocess.run(
            command,
            cwd=settings.BASE_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            self.kill()

    def kill(self) -> None:
        """Master and workers, with whatever they are doing."""
        if self.process.poll() is None:
            for pid in (self.process.pid, *self.workers()):
                os.kill(pid, signal.SIGKILL)
            self.process.wait()


def chat(*messages: Any, **params: Any) -> dict[str, Any]:
    body = {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "user", "content": message} if isinstance(message, str) else message
            for message in messages
        ],
    }
    return body | params


def encoded(body: Any) -> bytes | None:
    return body if body is None or isinstance(body, bytes) else json.dumps(body).encode()


def fields(key: str, headers: dict[str, str]) -> dict[str, str]:
    ours = {"Content-Type": "application/json", "Cookie": f"sessionid={SECRET}"}
    return (
        ours
        | ({"Authorization": f"Bearer {key}"} if key else {})
        | {name.replace("_", "-"): value for name, value in headers.items()}
    )


def the(reply: Any) -> Snapshot:
    """The one snapshot of a reply, closed."""
    return Snapshot.objects.exclude(status="pending").get(id=reply.id)


def marked() -> str:
    """Words that no other message of any test has."""
    return f"{CANARY} {secrets.token_hex(6)}"
