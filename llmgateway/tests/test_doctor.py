"""`manage.py doctor`: each trouble is said with its fix, and no secret with it."""

import io
import json
import os
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from django.utils.http import http_date
from procrastinate.contrib.django.models import ProcrastinateJob

from conversations import ids
from conversations.models import AuditEvent, Process, Unsealed, Verification
from conversations.people import audit
from conversations.record import processes
from llmgateway.configuration import reading
from llmgateway.demo import accounts
from llmgateway.ops import doctor
from llmgateway.tests.serving import Served
from proxy.models import Upstream
from proxy.tests.gateway import CHAT
from proxy.tests.wire import Wire, json_reply

SECRET = "sk-canary-secret-9f3a"


@pytest.fixture(scope="module")
def wire():
    with Wire() as wire:
        yield wire


@pytest.fixture
def gateway(db, settings, tmp_path, wire, monkeypatch):
    """In order: every test takes one thing away."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "pool", None)
    monkeypatch.setattr(processes.CURRENT, "id", None)
    settings.LLM_ENDPOINT, settings.LLM_API_AUTHORIZATION = f"{wire.url}{CHAT}", f"Bearer {SECRET}"
    settings.VAR_DIR, settings.MEDIA_ROOT = tmp_path, str(tmp_path / "attachments")
    settings.SECRET_KEY = "of fifty different characters, which is what Django wants of one"
    wire.answer = json_reply(b'{"data": []}', headers=b"Date: " + http_date().encode() + b"\r\n")
    processes.beat(Process.Role.WORKER)
    Process.objects.create(
        id=ids.make_id(datetime.now(UTC)),
        host="web",
        pid=1,
        started=timezone.now(),
        seen=timezone.now(),
    )
    now = timezone.now()
    Verification.objects.create(began=now, seals=1, confirmed=1, confirmed_at=now)
    return wire


def said(code):
    """level and fix of each finding, by what it is about and says."""
    out = io.StringIO()
    with pytest.raises(SystemExit) if code else nullcontext():
        call_command("doctor", "--json", stdout=out)
    assert SECRET not in out.getvalue()
    found = {
        (one["about"], one["text"]): (one["level"], one["fix"])
        for one in json.loads(out.getvalue())
    }
    for (about, _), (level, fix) in found.items():
        assert bool(fix) == (level != "ok"), about
    return found


def troubles(code):
    return {
        (about, level): (text, fix)
        for (about, text), (level, fix) in said(code).items()
        if level != "ok"
    }


def test_all_in_order(gateway):
    assert troubles(0) == {}
    out = io.StringIO()
    call_command("doctor", stdout=out)
    lines = out.getvalue().splitlines()
    assert {line[:6] for line in lines} == {"ok    "}
    assert f"ok    upstream 127.0.0.1:{gateway.port}: It answers." in lines
    assert gateway.seen[-1].headers["authorization"] == f"Bearer {SECRET}"
    assert "GET /v1/models" in gateway.seen[-1].line


def test_settings_that_a_check_finds_wrong(gateway):
    wrong = reading.read({"ENV_FILE": os.devnull, "USAGE_POLICY_URL": "intranet"})
    with override_settings(READING=wrong):
        assert troubles(1).keys() == {("settings", "FAIL")}
    with override_settings(ENABLE_SUBMISSIONS_API=True, SECRET_KEY="short"):
        found = said(1)
    text = "ENABLE_SUBMISSIONS_API is on, and SUBMISSIONS_API_URL is not set."
    assert found["settings", text][0] == "FAIL"
    assert [
        level
        for (about, text), (level, _) in found.items()
        if about == "settings" and "SECRET_KEY" in text
    ] == ["warn"]


def test_people_who_come_in_without_tls(gateway):
    with override_settings(HOST="0.0.0.0"):
        assert troubles(0).keys() == {("settings", "warn")}
        with override_settings(BEHIND_TLS=True):
            assert troubles(0) == {}


def test_demo_accounts_out_of_the_demo(gateway):
    get_user_model().objects.create_user("alice", external_id=f"{accounts.MARK}alice")
    assert troubles(1)["accounts", "FAIL"][1] == "Run manage.py remove_demo."
    with override_settings(DEMO=True):
        assert troubles(0) == {}


def test_failed_sign_ins_that_all_come_from_one_address(gateway, rf):
    request = rf.post("/sign-in/")

    def fail(count, address):
        request.client_address = address
        for _ in range(count):
            audit.record(request, AuditEvent.Action.SIGN_IN_FAILED)

    fail(19, "10.0.0.5")
    assert troubles(0) == {}
    fail(1, "10.0.0.5")
    text, fix = troubles(0)["sign-in", "warn"]
    assert text == "All 20 failed sign-ins of the last day come from 10.0.0.5."
    assert "TRUSTED_PROXIES" in fix
    fail(1, "198.51.100.7")
    assert troubles(0) == {}


def test_two_people_with_one_alias(gateway, monkeypatch):
    for name in ("alice", "bob"):
        get_user_model().objects.create_user(name)
    with override_settings(PSEUDONYMS=True, DEMO=True):
        assert troubles(0) == {}
        monkeypatch.setattr("conversations.people.pseudonyms.alias", lambda key, of: "one-for-all")
        assert troubles(0)["accounts", "warn"][0] == "1 people share an alias with another."


def test_a_migration_that_is_missing(gateway):
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations WHERE app = 'conversations' AND name = '0001_initial'"
        )
    assert troubles(1)["database", "FAIL"][0] == "1 migrations are not applied."


def test_a_database_that_logs_what_people_say(gateway):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL log_min_duration_statement = 0")
    text, fix = troubles(0)["database", "warn"]
    assert "log_min_duration_statement" in text
    assert "docs/operations.md" in fix


def test_a_worker_that_fell_silent_with_a_backlog_and_a_failed_job(gateway):
    long_ago = timezone.now() - timedelta(minutes=10)
    Process.objects.update(seen=long_ago)
    Unsealed.objects.create(subject=ids.make_id(long_ago), closed=long_ago)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_jobs (task_name, queue_name, status)"
            " VALUES ('x', 'default', 'failed')"
        )
    assert ProcrastinateJob.objects.count() == 1
    found = said(1)
    levels = {
        text.split(":")[0]: level
        for (about, text), (level, _) in found.items()
        if about == "worker"
    }
    assert levels == {
        "It has been silent for 600 s": "FAIL",
        "1 rows of the record wait for their seal, the oldest for 600 s.": "warn",
        "1 jobs have failed.": "warn",
    }


def test_nothing_runs(gateway):
    Process.objects.all().delete()
    assert troubles(1).keys() == {("worker", "FAIL"), ("web", "warn")}


@pytest.mark.parametrize(
    ("status", "level", "code"),
    [
        ("401 Unauthorized", "FAIL", 1),
        ("404 Not Found", "ok", 0),
        ("500 Odd", "warn", 0),
        ("200 OK", "ok", 0),
    ],
)
def test_what_an_upstream_says(gateway, status, level, code):
    gateway.answer = json_reply(b"{}", status)
    [found] = [one for (about, _), (one, _) in said(code).items() if about.startswith("upstream")]
    assert found == level


def test_each_upstream_is_asked_and_the_dead_one_named(gateway):
    with override_settings(
        LLM_IMG_ENDPOINT=f"http://user:{SECRET}@127.0.0.1:9/v1/images?key={SECRET}"
    ):
        found = troubles(1)
    assert "LLM_IMG_ENDPOINT" in found["upstream 127.0.0.1:9", "FAIL"][1]
    with override_settings(LLM_IMG_ENDPOINT="http://[::1/v1"):
        assert troubles(1).keys() == {("settings", "FAIL")}


def test_upstreams_that_the_admin_lists(gateway):
    Upstream.objects.create(name="second", base_url=f"{gateway.url}/v1")
    Upstream.objects.create(name="off", base_url="http://127.0.0.1:9/v1", enabled=False)
    assert said(0)["upstream second", "The server answers and lists 0 models."] == ("ok", "")
    Upstream.objects.create(name="third", base_url="http://127.0.0.1:9/v1")
    Upstream.objects.create(name="fourth", base_url=f"{gateway.url}/v1", secret="PATH")
    assert troubles(1).keys() == {("upstream third", "FAIL"), ("upstream fourth", "FAIL")}


def test_a_clock_that_is_off(gateway):
    gateway.answer = json_reply(b"{}", headers=b"Date: Mon, 23 Nov 2020 08:00:00 GMT\r\n")
    assert "127.0.0.1's" in troubles(1)["clock", "FAIL"][0]


@pytest.mark.parametrize(("apart", "level"), [(0.5, "ok"), (5, "warn"), (-90, "FAIL")])
def test_two_clocks(apart, level):
    now = datetime.now(UTC)
    assert doctor.clock("its", now + timedelta(seconds=apart), now.timestamp()).level == level


def test_a_folder_that_cannot_be_written(gateway, settings, tmp_path):
    (tmp_path / "file").touch()
    settings.MEDIA_ROOT = str(tmp_path / "file" / "attachments")
    assert "cannot be written" in troubles(1)["ATTACHMENTS_DIR", "FAIL"][0]


def test_no_database(var):
    done = Served(
        Path(var),
        DATABASE_URL=f"postgres://gateway:{SECRET}@127.0.0.1:9/gateway",
        LLM_ENDPOINT="http://127.0.0.1:9/v1",
    ).manage("doctor")
    assert (done.returncode, done.stderr) == (1, "")
    assert "FAIL  database: It does not answer" in done.stdout
    assert "→ Start PostgreSQL, or mend DATABASE_URL." in done.stdout
    assert SECRET not in done.stdout
