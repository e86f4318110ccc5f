"""The usage policy: published in versions in the admin; each person accepts each version once."""

import os

import pytest
from django.test import Client

from conversations.models import PolicyAcceptance, UsagePolicy
from conversations.people import policy
from conversations.tests.calls import person, turn, user
from conversations.tests.html import Html, check
from llmgateway.configuration import reading

pytestmark = pytest.mark.django_db
ADMIN = "/admin/conversations/usagepolicy/"


def publish(text: str = "Be *kind*. <script>alert(1)</script>") -> UsagePolicy:
    new = UsagePolicy(text=text)
    new.publish()
    return new


# Versions ---------------------------------------------------------------------------------------


def test_each_publication_is_the_next_version_and_the_old_ones_stay():
    first, second = publish("one"), publish("two")
    assert (first.version, second.version) == (1, 2)
    assert UsagePolicy.objects.current() == second
    when = first.published
    first.publish()
    assert (first.version, first.published) == (1, when)
    assert UsagePolicy.objects.get(version=1).text == "one"


def test_a_draft_is_nobodys_policy(hers, alice):
    UsagePolicy.objects.create(text="not yet")
    assert policy.pending_policy(alice) is None
    assert "not yet" not in Html(hers.get("/policy/")).words


def test_a_draft_is_written_changed_and_published_in_the_admin(admin):
    admin.post(f"{ADMIN}add/", {"text": "frist"})
    draft = UsagePolicy.objects.get()
    assert draft.version is None
    admin.post(f"{ADMIN}{draft.pk}/change/", {"text": "first", "publish": "on"})
    draft.refresh_from_db()
    assert (draft.version, draft.text) == (1, "first")
    admin.post(f"{ADMIN}add/", {"text": "second", "publish": "on"})
    assert UsagePolicy.objects.current().text == "second"
    assert "Version 2" in admin.get(ADMIN).content.decode()


def test_what_is_published_is_read_only(admin, alice):
    old = publish("**old**")
    old.accept(alice)
    before = UsagePolicy.objects.values().get()
    page = admin.get(f"{ADMIN}{old.pk}/change/")
    assert "<strong>old</strong>" in page.content.decode()
    assert "1 person" in page.content.decode()
    assert b'name="text"' not in page.content
    assert (
        admin.post(f"{ADMIN}{old.pk}/change/", {"text": "new", "publish": "on"}).status_code == 403
    )
    assert admin.post(f"{ADMIN}{old.pk}/delete/", {"post": "yes"}).status_code == 403
    admin.post(ADMIN, {"action": "delete_selected", "_selected_action": [old.pk], "post": "yes"})
    assert UsagePolicy.objects.values().get() == before


def test_a_draft_can_be_deleted(admin):
    draft = UsagePolicy.objects.create(text="x")
    assert admin.post(f"{ADMIN}{draft.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not UsagePolicy.objects.exists()


# The page ---------------------------------------------------------------------------------------


def test_the_page_says_what_holds(hers, settings):
    settings.USAGE_POLICY_CONTACT = "compliance@example.com"
    publish()
    response = hers.get("/policy/")
    html = Html(response)
    check(html)
    for words in (
        "Be kind.",
        "Version 1",
        "members of Lead and Reviewer",
        "No limit is set:",
        "compliance@example.com",
        "Accept version 1",
    ):
        assert words in html.words
    assert "<em>kind</em>" in response.content.decode()


def test_without_a_policy_the_page_still_says_who_reads(hers):
    html = Html(hers.get("/policy/"))
    check(html)
    assert "No policy has been published yet." in html.words
    assert "members of Lead and Reviewer" in html.words
    assert not html.all("form", action="/policy/")
    assert hers.post("/policy/", {"version": "1"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/c/", "/c/edit/"])
def test_a_notice_stands_where_one_asks_until_it_is_accepted(hers, alice, path):
    call = turn(alice, [user("q")], "a")
    path = {
        "/": "/",
        "/c/": f"/c/{call.conversation_id}/?at={call.reply_id}",
        "/c/edit/": f"/c/{call.conversation_id}/edit/{call.head_id}/",
    }[path]
    assert not Html(hers.get(path)).all("form", action="/policy/")
    publish()
    html = Html(hers.get(path))
    check(html)
    assert len(html.all("form", action="/policy/")) == 1
    [version] = html.all("input", name="version")
    [_, back] = html.all("input", name="next")  # after the theme's
    response = hers.post("/policy/", {"version": version["value"], "next": back["value"]})
    assert (response.status_code, response["Location"]) == (302, path)
    html = Html(hers.get(path))
    check(html)
    assert not html.all("form", action="/policy/")
    assert "You accepted version 1" in html.words
    assert html.all("a", href="/policy/")


def test_acceptance_is_kept_for_each_person_and_version(hers, alice):
    first = publish("one")
    for _ in range(2):
        hers.post("/policy/", {"version": "1"})
    accepted = PolicyAcceptance.objects.get()
    assert (accepted.user, accepted.policy) == (alice, first)
    assert policy.pending_policy(alice) is None
    assert policy.pending_policy(person("bob")) == first
    assert "You accepted this version on" in Html(hers.get("/policy/")).words
    second = publish("two")
    assert policy.pending_policy(alice) == second
    assert "Accept version 2" in Html(hers.get("/policy/")).words
    hers.post("/policy/", {"version": "2"})
    assert policy.pending_policy(alice) is None
    assert PolicyAcceptance.objects.count() == 2


@pytest.mark.parametrize("version", ["", "1", "3", "x", "²"])
def test_only_the_current_version_is_accepted(hers, alice, version):
    publish("one")
    publish("two")
    response = hers.post("/policy/", {"version": version}, follow=True)
    assert "There is a newer version of the policy now." in Html(response).words
    assert not PolicyAcceptance.objects.exists()


@pytest.mark.parametrize(
    "next",
    [
        "https://evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
        "",
        "/\\evil.example",
        "1",
        "history",
    ],
)
def test_accepting_leads_nowhere_else(hers, next):
    publish()
    assert hers.post("/policy/", {"version": "1", "next": next})["Location"] == "/policy/"


def test_the_page_of_the_company_replaces_it(hers, alice, settings):
    publish()
    settings.USAGE_POLICY_URL = "https://intranet.example/models"
    assert hers.get("/policy/")["Location"] == "https://intranet.example/models"
    assert policy.pending_policy(alice) is None
    html = Html(hers.get("/"))
    assert html.all("a", href="https://intranet.example/models")
    assert not html.all("form", action="/policy/")
    assert hers.post("/policy/", {"version": "1"}).status_code == 302
    assert not PolicyAcceptance.objects.exists()


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("", False),
        ("https://intranet.example/models", False),
        ("javascript:alert(1)", True),
        ("intranet", True),
    ],
)
def test_its_address_is_checked(url, wrong):
    found = reading.read({"ENV_FILE": os.devnull, "USAGE_POLICY_URL": url}).problems
    assert [problem.name for problem in found] == ["USAGE_POLICY_URL"] * wrong


def test_without_a_session_one_signs_in(db):
    assert Client().get("/policy/")["Location"] == "/sign-in/?next=/policy/"


def test_whether_to_accept_costs_one_query(alice, django_assert_num_queries):
    publish()
    with django_assert_num_queries(1):
        assert policy.pending_policy(alice)
