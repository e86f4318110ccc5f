"""`manage.py serve`, for real: what it prints works, every stop leaves nothing behind, and it refuses what it must."""

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from llmgateway import embedded
from llmgateway.tests.plugin import ROOT, SETTINGS


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    """A serve of its own data and port; what it prints, line by line."""

    def __init__(self, var, **settings):
        self.var = var
        self.port = int(settings.get("PORT", 0)) or free_port()
        ours = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        self.environment = ours | {"ENV_FILE": os.devnull, "VAR_DIR": str(var), "PORT": str(self.port), "GRACE": "5"} | settings
        self.lines = []

    def manage(self, *arguments, **settings):
        return subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment | settings, capture_output=True, text=True, timeout=60)

    def start(self, **settings):
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"],
            cwd=ROOT,
            env=self.environment | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout))
        self.reader.start()
        return self

    def until(self, condition, seconds=60):
        latest = time.monotonic() + seconds
        while not (value := condition()):
            assert self.process.poll() is None, self.text
            assert time.monotonic() < latest, self.text
            time.sleep(0.05)
        return value

    def up(self):
        self.until(lambda: re.search("Ctrl-C stops it|The first account", self.text))
        return self

    def ended(self, seconds=30):
        code = self.process.wait(seconds)
        self.reader.join(10)
        self.process.stdout.close()
        return code

    def get(self, path, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    @property
    def text(self):
        return "".join(self.lines)

    def left(self):
        """Every process that still works on these data."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and (
                    process.environ().get("VAR_DIR") == str(self.var) or str(self.var / "pg") in process.cmdline()
                ):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


@pytest.fixture
def var():
    var = Path(tempfile.mkdtemp(prefix="gw-", dir="/tmp")).resolve()
    yield var
    for process in psutil.process_iter():
        try:
            if process.environ().get("VAR_DIR") == str(var) or str(var / "pg") in process.cmdline():
                process.kill()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    shutil.rmtree(var)


def test_the_demo_from_start_to_ctrl_c(var):
    gateway = Gateway(var, DEMO="1").start().up()

    # What it prints works.
    printed = gateway.text[gateway.text.index("LLM Gateway runs at") :]
    assert f"http://127.0.0.1:{gateway.port}/" in printed
    for name in ("alice", "bob", "rita", "admin", "`demo`"):
        assert name in printed
    curl = re.search(r"^ *(curl .*)$", printed, re.MULTILINE)[1]
    reply = subprocess.run(["curl", "-sS", "--noproxy", "*", *shlex.split(curl)[1:]], capture_output=True, text=True, timeout=30)
    assert json.loads(reply.stdout)["choices"][0]["message"]["content"], reply
    assert gateway.get("/ping") == (200, b"pong\n")

    # It answers this machine only.
    assert gateway.get("/ping", Host="gateway.example")[0] == 400
    status, body = gateway.get("/v1/models", **{"X-Forwarded-For": "127.0.0.1"})
    assert (status, json.loads(body)["error"]["code"]) == (403, "demo_forwarded")

    # Its secrets are its own.
    assert stat.S_IMODE((var / "secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE((var / "pg").stat().st_mode) == 0o700

    # A second one on the same data or the same port is refused, and harms nothing.
    for other, why in ((gateway, "runs already"), (Gateway(var.with_name(var.name + "-2"), PORT=str(gateway.port), DEMO="1"), "Cannot listen")):
        refused = other.manage("serve")
        assert refused.returncode == 1
        assert [line for line in refused.stderr.splitlines() if why in line] == refused.stderr.splitlines()
    shutil.rmtree(var.with_name(var.name + "-2"))
    assert gateway.get("/ping")[0] == 200

    # A process that dies is started again.
    web = next(process for process in gateway.left() if "gunicorn" in process.cmdline() and process.ppid() == gateway.process.pid)
    for process in (web, *web.children()):
        process.kill()
    gateway.until(lambda: "The web process ended (SIGKILL). It starts again in 1 s." in gateway.text)

    def answers():
        try:
            return gateway.get("/ping")[0] == 200
        except OSError:
            return False

    gateway.until(answers)

    gateway.process.send_signal(signal.SIGINT)
    assert gateway.ended() == 0
    assert "Traceback" not in gateway.text
    assert gateway.left() == []


def test_over_an_unclean_stop_and_out_of_the_demo(var):
    gateway = Gateway(var, DEMO="1").start().up()
    gateway.process.kill()
    gateway.ended()

    gateway.lines = []
    gateway.start().up()
    assert gateway.get("/ping")[0] == 200
    gateway.process.terminate()
    assert gateway.ended() == 0
    assert gateway.left() == []

    real = {"DEMO": "0", "LLM_ENDPOINT": "http://127.0.0.1:9/v1/chat/completions", "LLM_API_AUTHORIZATION": "none"}
    refused = gateway.manage("serve", **real)
    assert refused.returncode == 1
    assert re.search(r"^CommandError: Demo accounts are active here.*alice.*manage\.py remove_demo", refused.stderr, re.MULTILINE)
    assert gateway.left() == []

    assert gateway.manage("remove_demo", **real).returncode == 0
    gateway.lines = []
    gateway.start(**real).up()
    assert "alice" not in gateway.text
    gateway.process.terminate()
    assert gateway.ended() == 0
    assert gateway.left() == []


def test_the_demo_refuses_other_peoples_users(var):
    gateway = Gateway(var, DEMO="1")
    made = gateway.manage("migrate", "-v0")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert (
        gateway.manage("createsuperuser", "--noinput", "--username=alice", "--email=a@example.com", DJANGO_SUPERUSER_PASSWORD="a real password").returncode == 0
    )
    assert gateway.left() == []  # each stopped the server that it had started
    refused = gateway.manage("serve")
    assert refused.returncode == 1
    assert "CommandError: This database holds other people's users" in refused.stderr
    assert gateway.left() == []


def test_no_upstream_is_said_before_anything_starts(var):
    refused = Gateway(var).manage("serve")
    assert refused.returncode == 1
    assert "llmgateway.E001" in refused.stderr
    assert "LLM_ENDPOINT" in refused.stderr
    assert not (var / "pg").exists()


def test_a_database_elsewhere_is_left_alone(var, django_db_setup):
    url = f"postgresql://postgres@/postgres?host={os.environ['VAR_DIR']}/pg"
    name = var.name.replace("-", "_")
    refused = Gateway(var, DATABASE_URL=url.replace("/postgres?", f"/{name}?"), DEMO="1").manage("serve")
    assert refused.returncode == 1
    assert "The database does not answer" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (var / "pg").exists()
    assert embedded.postmaster(Path(os.environ["VAR_DIR"]) / "pg")
