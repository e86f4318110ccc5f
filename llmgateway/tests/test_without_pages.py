"""CHAT_PAGES=false: the API, its description and the admin."""

import importlib

import pytest
from django.test import Client
from django.urls import clear_url_caches

from conversations.models import User
from conversations.tests.html import Html
from llmgateway import urls
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(settings):
    settings.CHAT_PAGES = False
    importlib.reload(urls)
    clear_url_caches()
    yield Client()
    settings.CHAT_PAGES = True
    importlib.reload(urls)
    clear_url_caches()


def test_the_root_leads_to_the_description(browser):
    for path in ("/", "/history/"):
        assert browser.get(path).url == "/api/docs/"
    assert browser.get("/api/docs/").status_code == 200
    assert browser.get("/admin/login/").status_code == 200


def test_there_are_no_pages_of_conversations(browser):
    answer = browser.get("/c/01a206fc-69d5-7d14-9c96-a16a635de4b1/")
    assert answer.status_code == 404
    assert b"Page not found" in answer.content


def test_the_api_answers(browser):
    assert browser.get("/v1/models").status_code == 401
    assert browser.get("/ping").content == b"pong\n"


def test_owners_make_accept_and_revoke_their_keys(browser, alice):
    """Without the other pages too: a key that an admin made waits for its owner."""
    waiting, _ = ApiKey.make_for(alice, "nightly job", User.objects.create_user("greta"))
    ApiKey.objects.update(accepted=None)
    assert browser.get("/keys/")["Location"] == "/sign-in/?next=/keys/"
    browser.force_login(alice)
    page = Html(browser.get("/keys/"))
    assert "greta made this key in your name" in page.words
    browser.post(f"/keys/{waiting.pk}/accept/")
    assert ApiKey.objects.get().state == "in use"
    made = browser.post("/keys/", {"name": "laptop", "scopes": ["chat"], "days": "30"})
    assert made.context["secret"] in made.content.decode()
    assert browser.get(f"/keys/{waiting.pk}/revoke/").status_code == 200
    browser.post(f"/keys/{waiting.pk}/revoke/")
    assert ApiKey.objects.get(pk=waiting.pk).state == "revoked"
