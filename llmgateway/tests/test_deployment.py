"""Files and commands of operators: Dockerfile, docker-compose.yml, docs/operations.md."""

import http.client
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands
from django.db import connection

from llmgateway.embedded import postgres
from llmgateway.server.worker import READERS
from llmgateway.tests import dockerfile
from llmgateway.tests.plugin import ROOT, SETTINGS
from proxy.tests.gateway import eventually, free_port

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
PROFILES = {
    "full": {"api", "chat", "worker", "db"},
    "backend": {"api", "worker", "db"},
    "chat": {"chat", "worker", "db"},
}
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
CI = "CI" in os.environ


# The image ----------------------------------------------------------------------------------------


@pytest.fixture
def here():
    here = Path(tempfile.mkdtemp(prefix="gw-", dir="/tmp")).resolve()
    yield here
    shutil.rmtree(here)


@pytest.mark.skipif(
    os.geteuid() != 0 and not CI,
    reason="The Dockerfile's steps mount and change accounts: root's tests run them",
)
@pytest.mark.drill
def test_the_image_from_its_steps_to_its_end(here):
    image = dockerfile.Image(here)
    assert image.user.split(":")[0].isdigit()
    assert image.user not in ("0", "0:0")
    assert list(image.written("/srv/static").glob("staticfiles.json"))
    # What was needed to build it is not in it.
    assert list(image.written(image.volume).iterdir()) == []
    app = image.written("/app")
    assert {
        path.relative_to(app) for path in app.rglob("*") if path.is_file() and path.suffix != ".pyc"
    } == set(dockerfile.sent())

    port = str(free_port())
    process = image.start(
        HOST="127.0.0.1",
        PORT=port,
        LLM_ENDPOINT="http://127.0.0.1:9/v1/chat/completions",
        LLM_API_AUTHORIZATION="none",
    )
    try:

        def get(path):
            server = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
            try:
                server.request("GET", path)
                response = server.getresponse()
                return response.status, response.read()
            finally:
                server.close()

        def answers():
            assert process.poll() is None, process.stdout.read()
            try:
                return get("/ping") == (200, b"pong\n")
            except OSError:
                return False

        eventually(answers, 90)
        healthy = [sys.executable if part == "python" else part for part in image.health]
        assert subprocess.run(healthy, env=os.environ | {"PORT": port}).returncode == 0
        assert (
            subprocess.run(
                healthy, env=os.environ | {"PORT": str(free_port())}, stderr=subprocess.DEVNULL
            ).returncode
            != 0
        )
        status, page = get("/sign-in/")
        assert status == 200
        styles = re.search(rb'href="(/static/[\w.-]+\.[0-9a-f]{12}\.css)"', page)[1].decode()
        assert get(styles)[0] == 200

        serve = next(
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if child.cmdline()[1:] == image.command[1:]
        )
        assert {child.uids() for child in (serve, *serve.children(recursive=True))} == {
            (10001, 10001, 10001)
        }
        tree = Path(f"/proc/{serve.pid}/root")
        for path in ("app/written", "srv/static/written", "written"):
            with pytest.raises(OSError, match="Read-only file system"):
                (tree / path).write_text("")
        assert stat.S_IMODE((here / "volume" / "secret_key").stat().st_mode) == 0o600

        serve.terminate()
        assert process.wait(60) == 0, process.stdout.read()
        said = process.stdout.read()
        assert "Stopping" in said
        assert "Traceback" not in said
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_what_is_not_sent_to_the_build():
    for name in (
        ".env",
        "var/secret_key",
        ".git/config",
        "llmgateway/tests/plugin.py",
        "proxy/tests/wire.py",
        "proxy/__pycache__/sse.pyc",
        "docs/operations.md",
    ):
        assert not dockerfile.passes(Path(name)), name
    assert {
        Path("manage.py"),
        Path("requirements.txt"),
        Path("fixtures/conversations.json"),
        Path("llmgateway/wsgi.py"),
    } <= set(dockerfile.sent())


# docker-compose -----------------------------------------------------------------------------------


def test_the_ways_to_run_it():
    for profile, services in PROFILES.items():
        assert {
            name for name, service in COMPOSE["services"].items() if profile in service["profiles"]
        } == services
    services = COMPOSE["services"]
    assert {name: service.get("ports") for name, service in services.items()} == {
        "api": ["127.0.0.1:8008:8008"],
        "chat": ["127.0.0.1:3000:3000"],
        "worker": None,
        "db": ["127.0.0.1:5432:5432"],
    }
    assert services["api"]["environment"]["CHAT_PAGES"] == "false"
    assert "healthcheck" in services["db"]
    for name in ("api", "chat", "worker"):
        service = services[name]
        assert service["image"] == "llm-gateway"
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["depends_on"] == {"db": {"condition": "service_healthy"}}
        assert service["environment"]["DATABASE_URL"].startswith(
            "postgresql://llmgateway:${POSTGRES_PASSWORD:?"
        )
        assert set(service["environment"]) <= set(SETTINGS)
        if "ports" in service:
            port = service["environment"]["PORT"]
            assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    sources = {
        volume.split(":")[0] for service in services.values() for volume in service["volumes"]
    }
    assert sources == {*COMPOSE["volumes"], "./docker/database.sh"}


def test_each_container_is_bounded():
    for service in COMPOSE["services"].values():
        assert service["mem_limit"] == service["memswap_limit"]
        assert service["pids_limit"] > 0
        assert service["security_opt"] == ["no-new-privileges:true"]
        for mount in service.get("tmpfs", ()):
            assert "size=" in mount
    web, workers = COMPOSE["services"]["api"], settings.WEB_WORKERS
    calls = workers * settings.OPEN_CALLS
    threads = workers * (calls + READERS + settings.RESERVED_THREADS) + calls
    assert web["pids_limit"] > 1.2 * threads


LIMIT = re.compile(r"\s+(tmpfs|pids_limit|mem_limit|shm_size):")


def test_each_limit_says_why():
    lines = (ROOT / "docker-compose.yml").read_text().split("\n")
    limits = [number for number, line in enumerate(lines) if LIMIT.match(line)]
    assert len(limits) == 6
    for number in limits:
        assert lines[number - 1].lstrip().startswith("# "), lines[number]
    said = f"{settings.WEB_WORKERS * (1000 + READERS + settings.RESERVED_THREADS) + 1000:,}"
    assert said in "".join(lines)


@pytest.fixture
def server():
    """A PostgreSQL of its own: how psql finds its superuser."""
    var = Path(tempfile.mkdtemp(prefix="gw-", dir="/tmp")).resolve()
    folder = var / "pg"
    postgres.start(folder)
    try:
        yield {"PGHOST": str(folder), "PGPORT": "5432"}
    finally:
        postgres.stop(folder)
        shutil.rmtree(var)


@pytest.mark.skipif(not shutil.which("psql"), reason="psql is not installed")
def test_the_gateways_role_owns_its_database_and_is_no_superuser(server):
    database = COMPOSE["services"]["db"]["environment"]
    assert database["POSTGRES_USER"] != "llmgateway"
    where = {"host": server["PGHOST"], "port": 5432, "autocommit": True}
    with psycopg.connect(**where, user="postgres", dbname="postgres") as superuser:
        superuser.execute("DROP DATABASE IF EXISTS llmgateway")
    environment = {"PATH": os.environ["PATH"], "POSTGRES_USER": database["POSTGRES_USER"]}
    script = str(ROOT / "docker" / "database.sh")
    given = environment | server | {"POSTGRES_PASSWORD": "it's a secret"}
    subprocess.run(["sh", script], env=given, check=True, capture_output=True)
    with psycopg.connect(**where, user="llmgateway", dbname="llmgateway") as gateway:
        [row] = gateway.execute(
            "SELECT rolsuper, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        )
        assert row == (False, False, False)
        gateway.execute("CREATE TABLE rows (id int)")
        gateway.execute("CREATE ROLE llm_reader NOLOGIN NOSUPERUSER NOREPLICATION NOBYPASSRLS")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            gateway.execute("COPY rows FROM PROGRAM 'id'")
    with psycopg.connect(**where, user="postgres", dbname="postgres") as superuser:
        passwords = dict(superuser.execute("SELECT rolname, rolpassword FROM pg_authid"))
    assert passwords["postgres"] is None
    assert passwords["llmgateway"].startswith("SCRAM-SHA-256")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("program", [["docker-compose"], ["docker", "compose"]], ids=" ".join)
def test_compose_takes_it(program, profile, tmp_path):
    there = (
        shutil.which(program[0])
        and subprocess.run([*program, "version"], capture_output=True).returncode == 0
    )
    if not there and program == ["docker-compose"] and CI:
        pytest.fail("docker-compose is not installed")
    if not there:
        pytest.skip(f"{' '.join(program)} is not installed")
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    example = (ROOT / ".env.example").read_text()
    without = subprocess.run(
        [*program, "--profile", profile, "config"], cwd=tmp_path, capture_output=True, text=True
    )
    assert without.returncode != 0
    (tmp_path / ".env").write_text(
        example.replace("POSTGRES_PASSWORD=\n", "POSTGRES_PASSWORD=secret\n").replace(
            "# LLM_API_AUTHORIZATION=", "LLM_API_AUTHORIZATION="
        )
    )
    done = subprocess.run(
        [*program, "--profile", profile, "config"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) >= PROFILES[profile]
    for name in PROFILES[profile] - {"db"}:
        assert (
            services[name]["environment"]["DATABASE_URL"]
            == "postgresql://llmgateway:secret@db:5432/llmgateway"
        )
        assert services[name]["environment"]["LLM_API_AUTHORIZATION"] == "Bearer sk-0123456789"
    assert services["worker"]["environment"]["COMPOSE_PROFILES"] in PROFILES  # the example's


# docs/operations.md -------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("statement", re.findall(r"```sql\n(.*?)```", OPERATIONS, re.DOTALL))
def test_its_statements_run(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    "file", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda file: file.name
)
def test_commands_and_places_that_are_named_exist(file):
    text = file.read_text()
    assert set(re.findall(r"manage\.py ([a-z]\w+)", text)) <= set(get_commands())
    for link, place in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", text):
        headings = re.findall(
            r"^#+ (.*)$", (file.parent / link if link else file).read_text(), re.MULTILINE
        )
        assert place in {
            re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings
        }, place
