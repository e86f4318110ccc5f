"""What a page says when there is none."""

import orjson
import pytest
from django.db import OperationalError
from django.test import Client

from conversations.tests.calls import person
from conversations.tests.html import Html, check
from llmgateway import errors

pytestmark = pytest.mark.django_db


@pytest.fixture
def strict() -> Client:
    """alice's, and forms need their tokens."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(person("alice"))
    return client


def problem(response, status: int) -> Html:
    assert response.status_code == status
    html = Html(response)
    check(html)
    assert response["x-request-id"] in html.text
    assert len(html.all("a", **{"class": "button"})) == 1
    assert "default-src 'none'" in response["Content-Security-Policy"]
    return html


def test_nothing_is_there(client):
    problem(client.get("/nonesuch"), 404)


def test_a_form_without_its_token(strict):
    html = problem(strict.post("/history/", {"x": 1}), 403)
    assert "Nothing was sent." in html.words
    [way] = html.all("a", **{"class": "button"})
    assert way["href"].startswith("/")
    assert not way["href"].startswith("//")


def test_a_form_that_is_too_large(strict, settings):
    strict.get("/")  # for the cookie
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    problem(strict.post("/", {"message": "x" * 200}), 413)


def test_a_request_that_makes_no_sense(hers):
    problem(hers.post("/", data="x", content_type="multipart/form-data; boundary="), 400)


def test_a_failure_of_our_own_shows_nothing_of_it(hers, monkeypatch):
    hers.raise_request_exception = False
    monkeypatch.setattr("conversations.reading.history_page._list", lambda request: 1 / 0)
    html = problem(hers.get("/history/"), 500)
    assert "division" not in html.words


def test_a_database_that_is_away(hers, monkeypatch):
    def away(*asked):
        raise OperationalError("connection to canary failed")

    hers.raise_request_exception = False
    monkeypatch.setattr("conversations.reading.history_page._list", away)
    response = hers.get("/history/")
    html = problem(response, 503)
    assert response["Retry-After"] == "5"
    assert "canary" not in html.words


@pytest.mark.parametrize("status", [400, 403, 404, 413, 429, 500, 503])
def test_every_error_page_needs_no_database(rf, status, django_assert_num_queries):
    request = rf.get("//evil.example/x")
    request.id = "the-id"
    with django_assert_num_queries(0):
        response = errors.page(request, status)
    assert response.status_code == status
    assert b"the-id" in response.content
    assert b'href="//' not in response.content


def test_an_unknown_host(hers):
    problem(hers.get("/", headers={"host": "evil.example"}), 400)


def test_the_api_never_answers_with_a_page(rf):
    request = rf.get("/v1/nonesuch")
    request.id = "the-id"
    response = errors.page(request, 500)
    assert response["Content-Type"] == "application/json"
    assert set(orjson.loads(response.content)["error"]) == {"message", "type", "param", "code"}
