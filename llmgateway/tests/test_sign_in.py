"""Sign-in is paused for an account at one address, or for an address, that failed too often.

The page is the same, whether the name is known or not.
"""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib.auth import get_user
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from conversations.models import User
from conversations.tests.html import Html, check

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
PATHS = ["/sign-in/", "/admin/login/"]


@pytest.fixture(autouse=True)
def limits(settings):
    settings.SIGN_IN_FAILURES = settings.AXES_FAILURE_LIMIT = 3
    settings.SIGN_IN_ADDRESS_FAILURES = 6
    settings.SIGN_IN_ACCOUNT_FAILURES = 12
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def people(limits):
    for name in ("alice", "bob"):
        User.objects.create_user(name, password=PASSWORD, is_staff=True)


def attempt(
    name: str,
    password: str = "wrong",
    path: str = "/sign-in/",
    address: str = "192.0.2.1",
    agent: str = "x",
):
    client = Client(REMOTE_ADDR=address, HTTP_USER_AGENT=agent)
    response = client.post(path, {"username": name, "password": password})
    response.user = get_user(client)
    return response


def fail(count: int, name: str, **how) -> list[int]:
    return [attempt(name, **how).status_code for _ in range(count)]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["alice", "nobody", "x" * 400])
def test_an_account_is_paused_known_or_not(path, name):
    assert fail(3, name, path=path) == [200, 200, 429]
    response = attempt(name, PASSWORD, path=path)
    html = Html(response)
    check(html)
    assert (response.status_code, response["Retry-After"]) == (429, "900")
    assert (
        "Sign-in is paused for this account or from this address. Try again in 15 minutes."
        in html.words
    )
    assert name not in html.text
    assert not response.user.is_authenticated
    [way] = html.all("a", **{"class": "button"})
    assert way["href"] == path


def test_the_pause_looks_the_same_for_both():
    pages = []
    for number, name in ((1, "alice"), (2, "nobody")):
        fail(3, name, address=f"192.0.2.{number}")
        pages.append(attempt(name, PASSWORD, address=f"192.0.2.{number}"))
    same = [page.content.replace(page["x-request-id"].encode(), b"") for page in pages]
    assert same[0] == same[1]
    assert {name: value for name, value in pages[0].items() if name != "x-request-id"} == {
        n: v for n, v in pages[1].items() if n != "x-request-id"
    }


def test_another_browser_does_not_help():
    for number in range(3):
        attempt("alice", agent=f"browser {number}")
    assert attempt("alice", PASSWORD, agent="another").status_code == 429
    assert attempt("alice", PASSWORD, path="/admin/login/").status_code == 429


@pytest.mark.parametrize("path", PATHS)
def test_failures_elsewhere_lock_no_account_out(path):
    """However often it fails, from however many addresses: the owner's address decides."""
    for number in range(20):
        fail(3, "alice", address=f"192.0.2.{number}", path=path)
    assert fail(2, "alice", address="198.51.100.1", path=path) == [200, 200]
    response = attempt("alice", PASSWORD, address="198.51.100.1", path=path)
    assert (response.status_code, response.user.username) == (302, "alice")


def test_an_account_that_is_tried_from_everywhere_has_few_tries_at_each(settings):
    settings.SIGN_IN_FAILURES = settings.AXES_FAILURE_LIMIT = 5
    assert fail(4, "alice", address="198.51.100.1") == [200] * 4
    for number in range(4):
        fail(3, "bob", address=f"192.0.2.{number}")
    assert fail(3, "bob", address="198.51.100.2") == [200, 200, 429]
    assert attempt("bob", PASSWORD, address="198.51.100.2").status_code == 429
    assert attempt("bob", PASSWORD, address="198.51.100.3").status_code == 302


def test_the_addresses_of_one_network_are_one():
    """A subscriber has 2⁶⁴ of them."""
    for number in range(3):
        attempt("alice", address=f"2001:db8:0:1::{number:x}")
    assert attempt("alice", PASSWORD, address="2001:db8:0:1:ffff::1").status_code == 429
    assert attempt("alice", PASSWORD, address="2001:db8:0:2::1").status_code == 302


def test_others_sign_in_meanwhile():
    fail(3, "alice")
    response = attempt("bob", PASSWORD)
    assert (response.status_code, response.user.username) == (302, "bob")


def test_an_address_is_paused_later_than_an_account():
    for number in range(5):
        assert attempt(f"name {number}").status_code == 200
    assert attempt("name 6").status_code == 429
    assert attempt("alice", PASSWORD).status_code == 429
    assert attempt("alice", PASSWORD, address="192.0.2.2").status_code == 302


def test_no_header_makes_another_address():
    for number in range(6):
        Client(REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}").post(
            "/sign-in/", {"username": f"n{number}", "password": "wrong"}
        )
    assert attempt("alice", PASSWORD).status_code == 429


def test_behind_a_trusted_proxy_it_is_the_hop_before(settings):
    settings.TRUSTED_PROXIES = ["192.0.2.1"]
    for number in range(6):
        Client(REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="198.51.100.1").post(
            "/sign-in/", {"username": f"n{number}", "password": "wrong"}
        )
    for hop, status in (("198.51.100.1", 429), ("198.51.100.2", 302)):
        client = Client(REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=hop)
        assert (
            client.post("/sign-in/", {"username": "alice", "password": PASSWORD}).status_code
            == status
        )


def test_an_unknown_address_is_nobodys():
    for number in range(7):
        assert attempt(f"name {number}", address="").status_code == 200
    assert attempt("alice", PASSWORD, address="").status_code == 302


def test_the_pause_ends_and_is_not_prolonged():
    fail(6, "alice")
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=14))
    assert attempt("alice", PASSWORD).status_code == 429
    assert AccessAttempt.objects.get().failures_since_start == 3
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert attempt("alice", PASSWORD).status_code == 302
    assert not AccessAttempt.objects.exists()


def test_an_administrator_ends_it():
    fail(3, "alice")
    call_command("axes_reset_username", "alice", verbosity=0)
    assert attempt("alice", PASSWORD).status_code == 302


def test_a_few_failures_change_nothing():
    assert fail(2, "alice") == [200, 200]
    assert attempt("alice", PASSWORD).status_code == 302


def test_what_is_kept_holds_no_password_and_no_token(caplog):
    caplog.set_level("DEBUG")
    fail(3, "alice")
    attempt("alice", PASSWORD)
    kept = str(list(AccessAttempt.objects.values()))
    assert "wrong" not in kept
    assert PASSWORD not in kept
    assert not AccessLog.objects.exists()
    assert "alice" not in "".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("django.db")
    )


def test_a_session_that_stands_goes_on():
    client = Client(REMOTE_ADDR="192.0.2.1")
    client.post("/sign-in/", {"username": "alice", "password": PASSWORD})
    fail(8, "alice")
    assert client.get("/history/").status_code == 200
