"""/password/: everyone changes the own password; other sessions of that account end."""

import pytest
from django.test import Client

from conversations.models import AuditEvent, User
from conversations.tests.html import Html, check

OLD, NEW = "correct horse battery", "a staple that is new"
WRONG = "not the one that it is"


@pytest.fixture(autouse=True)
def quick(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def carol(db, quick):
    return User.objects.create_user("carol", "carol.miller@example.com", OLD)


def session(name="carol", password=OLD):
    client = Client()
    client.post("/sign-in/", {"username": name, "password": password})
    return client


def change(client, old=OLD, new=NEW, again=None):
    data = {"old_password": old, "new_password1": new, "new_password2": again or new}
    return client.post("/password/", data)


def is_in(client):
    return client.get("/history/").status_code == 200


def events():
    return list(AuditEvent.objects.doing(AuditEvent.Action.PASSWORD))


def test_a_stranger_signs_in_first(db):
    assert Client().get("/password/")["Location"] == "/sign-in/?next=/password/"
    assert change(Client())["Location"] == "/sign-in/?next=/password/"


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        (WRONG, NEW, NEW),
        ("", NEW, NEW),
        (OLD, NEW, f"{NEW}."),
        (OLD, "2short4", "2short4"),
        (OLD, "carol.miller@example.co", "carol.miller@example.co"),
        (OLD, "q1w2e3r4t5y6", "q1w2e3r4t5y6"),
    ],
)
def test_a_change_that_is_refused_changes_nothing(carol, old, new, again):
    client, other = session(), session()
    response = change(client, old, new, again)
    assert response.status_code == 200, response
    html = Html(response)
    check(html)
    assert html.all("ul", **{"class": "errorlist"})
    for password in (old, new):
        assert not password or password not in html.text
    carol.refresh_from_db()
    assert carol.check_password(OLD)
    assert is_in(client)
    assert is_in(other)
    assert events() == []


def test_it_is_changed_and_other_sessions_end(carol, bob, his):
    client, other = session(), session()
    page = client.get("/password/")
    check(Html(page))
    assert "no-store" in page["Cache-Control"]
    assert change(client)["Location"] == "/"
    assert "Your password is changed." in client.get("/").content.decode()
    assert is_in(client)
    assert not is_in(other)
    assert other.get("/api/history").status_code == 401
    assert is_in(his)
    assert not is_in(session(password=OLD))
    assert is_in(session(password=NEW))
    [event] = events()
    assert (event.actor, event.subject) == (carol, str(carol.pk))
    assert NEW not in event.detail


def test_guesses_of_the_old_one_are_failed_sign_ins(carol, settings):
    settings.SIGN_IN_FAILURES = settings.AXES_FAILURE_LIMIT = 3
    client = session()
    assert [change(client, WRONG).status_code for _ in range(3)] == [200, 200, 429]
    assert change(client).status_code == 429
    carol.refresh_from_db()
    assert carol.check_password(OLD)
    assert AuditEvent.objects.doing(AuditEvent.Action.SIGN_IN_FAILED).count() == 2  # then paused


def test_an_account_without_a_password_has_no_such_page(hers):
    assert hers.get("/password/").status_code == 404
    assert change(hers).status_code == 404
    assert "/password/" not in hers.get("/").content.decode()


def test_the_shell_leads_there(carol):
    assert '"/password/"' in session().get("/history/").content.decode()


def test_the_desk_has_it_too_where_there_are_no_pages(carol, settings):
    settings.CHAT_PAGES = False
    assert session().get("/password/").status_code == 200


def test_the_admins_address_leads_to_the_one_way(carol, settings):
    """Wrong old passwords count there too, and nothing is changed at the old address."""
    settings.SIGN_IN_FAILURES = settings.AXES_FAILURE_LIMIT = 3
    carol.is_staff = carol.is_superuser = True
    carol.save()
    client, admins = session(), "/admin/password_change/"
    assert admins in client.get("/admin/").content.decode()
    assert client.get(admins)["Location"] == "/password/"
    right = {"old_password": OLD, "new_password1": NEW, "new_password2": NEW}
    wrong = right | {"old_password": WRONG}
    assert client.post(admins, right)["Location"] == "/password/"
    carol.refresh_from_db()
    assert carol.check_password(OLD)
    statuses = [client.post(admins, wrong, follow=True).status_code for _ in range(4)]
    assert statuses == [200] * 4  # nothing was read there
    assert [change(client, WRONG).status_code for _ in range(3)] == [200, 200, 429]
