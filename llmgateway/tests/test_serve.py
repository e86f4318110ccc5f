"""`manage.py serve`, for real: its output, its stops, which leave nothing behind, its refusals."""

import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import psutil
import psycopg
import pytest
from django.db import connection

from llmgateway.embedded import postgres
from llmgateway.management.commands import serve
from llmgateway.tests.serving import Served
from proxy.tests.gateway import eventually


def test_from_start_to_ctrl_c(var, migrated):
    gateway = Served(
        var,
        DATABASE_URL=migrated,
        LLM_ENDPOINT="http://127.0.0.1:9/v1/chat/completions",
        LLM_API_AUTHORIZATION="none",
    )
    gateway.start().up()
    assert gateway.get("/ping") == (200, b"pong\n")
    gateway.until(lambda: gateway.get("/readyz") == (200, b"ready\n"))  # the worker is there too
    gateway.process.send_signal(signal.SIGINT)
    assert gateway.ended() == 0
    assert "Traceback" not in gateway.text
    assert gateway.left() == []
    assert not (var / "pg").exists()


@pytest.mark.drill
def test_the_demo_from_start_to_ctrl_c(var):
    gateway = Served(var, DEMO="1").start().up()

    # What it prints works.
    printed = gateway.text[gateway.text.index("LLM Gateway runs at") :]
    assert f"http://127.0.0.1:{gateway.port}/" in printed
    for name in ("alice", "bob", "rita", "admin", "`demo`"):
        assert name in printed
    curl = re.search(r"^ *(curl .*)$", printed, re.MULTILINE)[1]
    reply = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", *shlex.split(curl)[1:]],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert json.loads(reply.stdout)["choices"][0]["message"]["content"], reply
    assert gateway.get("/ping") == (200, b"pong\n")
    gateway.until(lambda: gateway.get("/readyz") == (200, b"ready\n"), 20)
    examined = gateway.manage("doctor", DEMO="1")
    assert (examined.returncode, examined.stderr) == (0, ""), examined.stdout

    # It answers this machine only.
    assert gateway.get("/ping", Host="gateway.example")[0] == 400
    status, body = gateway.get("/v1/models", **{"X-Forwarded-For": "127.0.0.1"})
    assert (status, json.loads(body)["error"]["code"]) == (403, "demo_forwarded")

    # Its secrets are its own.
    assert stat.S_IMODE((var / "secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE((var / "pg").stat().st_mode) == 0o700

    # A second one on the same data or the same port is refused, and harms nothing.
    for other, why in (
        (gateway, "runs already"),
        (Served(var.with_name(var.name + "-2"), PORT=str(gateway.port), DEMO="1"), "Cannot listen"),
    ):
        refused = other.manage("serve")
        assert refused.returncode == 1
        assert [
            line for line in refused.stderr.splitlines() if why in line
        ] == refused.stderr.splitlines()
    shutil.rmtree(var.with_name(var.name + "-2"))
    assert gateway.get("/ping")[0] == 200

    # A process that dies is started again.
    web = next(
        process
        for process in gateway.left()
        if "gunicorn" in process.cmdline() and process.ppid() == gateway.process.pid
    )
    for process in (web, *web.children()):
        process.kill()
    gateway.until(
        lambda: "The web process ended (SIGKILL). It starts again in 1 s." in gateway.text
    )

    gateway.until(gateway.answers)

    gateway.process.send_signal(signal.SIGINT)
    assert gateway.ended() == 0
    assert "Traceback" not in gateway.text
    assert gateway.left() == []


@pytest.mark.drill
def test_over_an_unclean_stop_and_out_of_the_demo(var):
    gateway = Served(var, DEMO="1").start().up()
    gateway.process.kill()
    gateway.ended()

    gateway.lines = []
    gateway.start().up()
    assert gateway.get("/ping")[0] == 200
    gateway.process.terminate()
    assert gateway.ended() == 0
    assert gateway.left() == []

    real = {
        "DEMO": "0",
        "LLM_ENDPOINT": "http://127.0.0.1:9/v1/chat/completions",
        "LLM_API_AUTHORIZATION": "none",
    }
    refused = gateway.manage("serve", **real)
    assert refused.returncode == 1
    assert re.search(
        r"^CommandError: Demo accounts are active here.*alice.*manage\.py remove_demo",
        refused.stderr,
        re.MULTILINE,
    )
    assert gateway.left() == []

    assert gateway.manage("remove_demo", **real).returncode == 0
    gateway.lines = []
    gateway.start(**real).up()
    assert "alice" not in gateway.text
    gateway.process.terminate()
    assert gateway.ended() == 0
    assert gateway.left() == []


@pytest.mark.drill
def test_the_demo_refuses_other_peoples_users(var):
    gateway = Served(var, DEMO="1")
    made = gateway.manage("migrate", "-v0")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert (
        gateway.manage(
            "createsuperuser",
            "--noinput",
            "--username=alice",
            "--email=a@example.com",
            DJANGO_SUPERUSER_PASSWORD="a real password",
        ).returncode
        == 0
    )
    assert gateway.left() == []  # each stopped the server that it had started
    refused = gateway.manage("serve")
    assert refused.returncode == 1
    assert "CommandError: This database holds other people's users" in refused.stderr
    assert gateway.left() == []


def test_no_upstream_is_said_before_anything_starts(var):
    refused = Served(var).manage("serve")
    assert refused.returncode == 1
    assert "llmgateway.E001" in refused.stderr
    assert "LLM_ENDPOINT" in refused.stderr
    assert not (var / "pg").exists()


def test_a_database_elsewhere_is_left_alone(var, django_db_setup):
    url = f"postgresql://postgres@/postgres?host={os.environ['VAR_DIR']}/pg"
    name = var.name.replace("-", "_")
    refused = Served(var, DATABASE_URL=url.replace("/postgres?", f"/{name}?"), DEMO="1").manage(
        "serve"
    )
    assert refused.returncode == 1
    assert "The database does not answer" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (var / "pg").exists()
    assert postgres.postmaster(Path(os.environ["VAR_DIR"]) / "pg")


@pytest.mark.drill
def test_parts_by_themselves_all_at_once(var, elsewhere):
    """On a database that none of them has seen: one migrates, and the worker seals the calls."""
    real = {
        "DATABASE_URL": elsewhere,
        "LLM_ENDPOINT": "http://127.0.0.1:9/v1/chat/completions",
        "LLM_API_AUTHORIZATION": "none",
    }
    one, two, worker = (Served(var / name, **real) for name in ("one", "two", "worker"))
    for gateway, part in ((one, "web"), (two, "web"), (worker, "worker")):
        gateway.start(part)
    for gateway in (one, two):
        gateway.until(gateway.answers)
        assert "gunicorn" in psutil.Process(gateway.process.pid).cmdline()  # no supervisor is left
    worker.until(
        lambda: psutil.Process(worker.process.pid).cmdline()[2:] == ["worker", "--skip-checks"]
    )
    made = (
        "from proxy.models import ApiKey; "
        "ApiKey.make(User.objects.create(username='alice'), 'laptop', secret='gw-laptop')"
    )
    assert one.manage("shell", "-v0", "-c", made).returncode == 0
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
    for gateway in (one, two):
        assert (
            gateway.post("/v1/chat/completions", body, Authorization="Bearer gw-laptop")[0] == 502
        )
    with psycopg.connect(elsewhere) as database:
        eventually(
            lambda: database.execute("SELECT count(*) FROM conversations_seal").fetchone() == (2,)
        )
    for gateway in (one, two, worker):
        gateway.process.terminate()
        assert gateway.ended() == 0
        assert "Traceback" not in gateway.text
        assert gateway.left() == []


@pytest.mark.django_db
def test_an_index_that_a_killed_start_left_unfinished_is_no_obstacle():
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'snapshot_about'::regclass"
        )
        serve.drop_unfinished_indexes()
        cursor.execute("SELECT to_regclass('snapshot_about'), to_regclass('snapshot_owner')")
        assert cursor.fetchone() == (None, "snapshot_owner")


def test_the_demo_has_no_parts(var):
    refused = Served(var, DEMO="1").manage("serve", "web")
    assert refused.returncode == 1
    assert refused.stderr == "CommandError: The demo is served whole: manage.py serve.\n"


@pytest.mark.drill
def test_static_files_that_are_collected_elsewhere_are_left_alone(var, tmp_path):
    gateway = Served(var, DEMO="1", STATIC_ROOT=str(tmp_path)).start()
    gateway.until(lambda: "while it started" in gateway.text or "Ctrl-C stops it" in gateway.text)
    gateway.process.terminate()
    assert gateway.ended() == 0
    assert list(tmp_path.iterdir()) == []
    assert not (var / "static").exists()
