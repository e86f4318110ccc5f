"""Sessions end after some time without use, and after some time at all; both are settings."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from conversations.models import User
from llmgateway import sessions
from llmgateway.tests.sources import ROOT

PAGES = ["/", "/history/", "/keys/", "/admin/", "/api/conversations"]  # the API by session too


@pytest.fixture
def clock(monkeypatch):
    """The time as sessions see it; calling it sets the clock forward, by minutes."""
    now = [1_800_000_000.0]
    monkeypatch.setattr(sessions, "time", SimpleNamespace(time=lambda: now[0]))

    def forward(minutes):
        now[0] += minutes * 60

    return forward


@pytest.fixture
def client(clock, settings, rita):
    settings.SESSION_IDLE, settings.SESSION_HOURS = 60, 4
    client = Client()
    client.force_login(rita)
    return client


def is_in(client, path="/history/"):
    status = client.get(path).status_code
    assert status in (200, 302, 401)
    return status == 200


@pytest.mark.parametrize("path", PAGES)
def test_without_use_it_ends(client, clock, path):
    clock(60)
    assert is_in(client, path)
    clock(61)
    assert not is_in(client, path)
    assert not Session.objects.exists()


@pytest.mark.parametrize("path", PAGES)
def test_with_use_it_ends_too(client, clock, path):
    for _ in range(4):
        assert is_in(client, path)
        clock(59)
    assert is_in(client, path)
    clock(5)
    assert not is_in(client, path)


def test_a_form_that_comes_too_late_changes_nothing(client, clock, rita):
    clock(61)
    response = client.post("/keys/", {"name": "late", "days": 1})
    assert response.status_code == 302
    assert "sign-in" in response["Location"]
    assert not rita.api_keys.exists()


def test_what_the_cookie_says_of_its_end_does_not_count(client, clock):
    cookie = client.cookies["sessionid"]
    clock(4 * 60 + 1)
    other = Client()
    other.cookies["sessionid"] = cookie.value
    assert not is_in(other)


def test_signing_in_again_begins_anew(client, clock, rita):
    for _ in range(4):
        assert is_in(client)
        clock(59)
    client.force_login(rita)
    clock(30)
    assert is_in(client)


def test_a_page_writes_nothing_within_a_minute(client, clock):
    def written(minutes):
        clock(minutes)
        with CaptureQueriesContext(connection) as queries:
            assert is_in(client)
        return [query["sql"] for query in queries if 'UPDATE "django_session"' in query["sql"]]

    assert len(written(0.5)) == 0
    assert len(written(2)) == 1
    assert len(written(0.5)) == 0


def test_a_session_of_an_earlier_version_goes_on(client, clock):
    session = client.session
    del session[sessions.BEGAN], session[sessions.USED]
    session.save()
    assert is_in(client)
    clock(61)
    assert not is_in(client)


def test_a_visitor_has_no_session(db, clock):
    visitor = Client()
    assert visitor.get("/sign-in/").status_code == 200
    assert "sessionid" not in visitor.cookies
    assert not User.objects.exists()


SIGN_IN = """
from django.conf import settings
from django.test import Client
cookies = Client().get("/sign-in/", secure=True).cookies
print(settings.SESSION_COOKIE_NAME, *cookies)
print(*(each.output() for each in cookies.values()))
"""


@pytest.mark.parametrize(("behind", "prefix"), [("true", "__Host-"), ("false", "")])
def test_behind_tls_cookies_are_of_this_host(behind, prefix):
    """By a browser's rule such a cookie has Secure, Path=/ and no Domain, or is not kept."""
    command = [sys.executable, str(ROOT / "manage.py"), "shell", "-v0", "-c", SIGN_IN]
    environment = os.environ | {"BEHIND_TLS": behind, "ALLOWED_HOSTS": "testserver"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    names, cookies = done.stdout.splitlines()
    assert names.split() == [f"{prefix}sessionid", f"{prefix}csrftoken"]
    assert ("Secure" in cookies) == bool(prefix)
    assert "Path=/" in cookies
    assert "Domain" not in cookies
