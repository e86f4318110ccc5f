"""The frame of every page, and signing in and out."""

import pytest

from conversations.tests.calls import turn, user
from conversations.tests.html import Html, check

pytestmark = pytest.mark.django_db


# The frame --------------------------------------------------------------------------------------


def test_the_sidebar_shows_ones_own_newest(alice, hers, bob):
    turn(bob, [user("bobs own")], "a")
    for i in range(14):
        turn(alice, [user(f"number {i} of alices")], "a")
    html = Html(hers.get("/"))
    assert "number 13 of alices" in html.words
    assert "number 1 of alices" not in html.words
    assert "bobs own" not in html.words
    assert "Review desk" not in html.words


def test_the_review_desk_is_linked_for_those_who_may_enter_it(alice, hers):
    alice.is_staff = True
    alice.save()
    assert "Review desk" in Html(hers.get("/")).words


def test_the_demo_says_that_it_is_one(alice, hers, settings):
    assert "Demo" not in Html(hers.get("/")).words
    settings.DEMO = True
    assert "Demo" in Html(hers.get("/")).words


def test_a_frame_that_shows_nothing_of_it_costs_nothing(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/sign-in/").status_code == 200


# Signing in and out -----------------------------------------------------------------------------


@pytest.fixture
def password(alice):
    alice.set_password("correct horse")
    alice.save()
    return {"username": "alice", "password": "correct horse"}


def test_sign_in_and_out(client, password):
    html = Html(client.get("/sign-in/?next=/history/"))
    check(html)
    assert "logged and may be reviewed" in html.words
    response = client.post("/sign-in/", password | {"next": "/history/"})
    assert (response.status_code, response["Location"]) == (302, "/history/")
    assert client.get("/sign-in/").status_code == 302
    assert client.get("/sign-out/").status_code == 302
    assert client.get("/history/").status_code == 200  # a link signs nobody out
    response = client.post("/sign-out/")
    assert (response.status_code, response["Location"]) == (302, "/sign-in/")
    assert client.get("/history/").status_code == 302


@pytest.mark.parametrize(
    "next",
    [
        "https://evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
        "/\\evil.example",
        "https:evil.example",
        " //evil.example",
    ],
)
def test_sign_in_leads_nowhere_else(client, password, next):
    response = client.post("/sign-in/", password | {"next": next})
    assert response["Location"] == "/"


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"username": "nobody"}, {"password": ""}])
def test_a_wrong_password_says_no_more_than_that(client, password, wrong):
    response = client.post("/sign-in/", password | wrong)
    assert response.status_code == 200
    html = Html(response)
    check(html)
    assert "do not match" in html.words or wrong == {"password": ""}
    assert "_auth_user_id" not in client.session


def test_a_deactivated_account_is_out(alice, hers, client, password):
    alice.is_active = False
    alice.save()
    assert hers.get("/").status_code == 302
    assert "do not match" in Html(client.post("/sign-in/", password)).words
