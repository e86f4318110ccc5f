"""The body of a page's request: held to a limit before it is parsed, and never on disk."""

import re
from contextlib import ExitStack

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import URLPattern, get_resolver

from conversations.models import User
from conversations.tests.html import Html, check
from llmgateway.middleware import API
from proxy.limits import parsing

pytestmark = pytest.mark.django_db
UPLOADS = {"/admin/conversations/user/import/"}
SAMPLES = {"int": "1", "string": "x", "str": "x", "slug": "x", "path": "x"}
UUID = "01993f0a-6c1e-7d43-9a54-0f5b3c1de201"


def page_paths(resolver=None, start="/"):
    """A path for each route of a page, with made-up rows."""
    for entry in (resolver or get_resolver()).url_patterns:
        path = start
        text = str(entry.pattern)
        for name, converter in entry.pattern.converters.items():
            kind = type(converter).__name__.removesuffix("Converter").lower()
            value = UUID if kind == "uuid" else SAMPLES[kind]
            text = re.sub(rf"<(\w+:)?{name}>", value, text)
        path += text
        if not isinstance(entry, URLPattern):
            yield from page_paths(entry, path)
        elif not path.startswith(API) and "(?P" not in path:
            yield path


PATHS = sorted({path for path in page_paths() if "^" not in path})


@pytest.fixture
def visitor(settings, tmp_path) -> Client:
    """Without an account. What would be written to disk goes to a folder that is not there."""
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "missing")
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1000
    settings.MAX_BODY = 64 << 10
    client = Client(enforce_csrf_checks=True)
    client.cookies["csrftoken"] = "a" * 32  # with it the form is parsed for its token
    return client


def upload(size: int) -> dict:
    return {"file": SimpleUploadedFile("a.bin", b"x" * size)}


def test_there_are_pages():
    assert len(PATHS) > 60
    assert {"/sign-in/", "/", "/history/", *UPLOADS} <= {*PATHS}


def test_no_page_parses_a_large_body(visitor):
    answers = {path: visitor.post(path, upload(100_000)) for path in PATHS}
    assert {path for path in PATHS if answers[path].status_code != 413} == set()
    check(Html(answers["/sign-in/"]))


def test_only_pages_with_uploads_take_a_file(visitor):
    answers = {path: visitor.post(path, upload(3000)).status_code for path in PATHS}
    assert {path for path in PATHS if answers[path] != 400} == UPLOADS


def test_files_that_a_page_takes_stay_in_memory(admin, settings, tmp_path):
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "missing")
    data = b"username,department\n" + b"bob,Legal\n" * (4 << 20 >> 4)
    file = SimpleUploadedFile("people.csv", data)
    assert len(data) > settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    assert admin.post(*UPLOADS, {"file": file}).status_code in (200, 400)


@pytest.mark.parametrize(("path", "too_large"), [("/", False), ("/history/", True)])
def test_a_question_may_be_longer_than_a_form(hers, path, too_large):
    response = hers.post(path, {"message": "x" * (5 << 20)})
    assert (response.status_code == 413) is too_large


def test_the_limit_is_a_setting(settings, hers):
    settings.MAX_BODY = 2 << 20
    response = hers.post("/", {"message": "x" * (3 << 20)})
    assert response.status_code == 413
    assert "2 MB" in Html(response).words


@pytest.mark.parametrize("sender", ["visitor", "hers"])
def test_a_long_form_is_parsed_only_where_there_is_room(request, sender, settings, monkeypatch):
    client = request.getfixturevalue(sender)
    settings.MAX_BODY = 1 << 20
    monkeypatch.setattr(parsing, "PATIENCE", 0.05)
    owner = User.objects.get(username="alice").pk if sender == "hers" else 0
    form = {"message": "x" * (900 << 10)}
    with ExitStack() as held:
        for _ in range(parsing.BODIES // 2):
            held.enter_context(parsing.room.hold(settings.MAX_BODY, owner))
        response = client.post("/", form)
        assert (response.status_code, response["Retry-After"]) == (503, "5")
        assert "Too many large requests" in Html(response).words
        assert client.post("/", {"message": "x"}).status_code != 503
    assert client.post("/", form).status_code != 503
    assert not parsing.room.taken


@pytest.mark.parametrize("length", ["-1", "", "many", "1e3"])
def test_lengths_that_are_none(hers, length):
    response = hers.generic("POST", "/history/", b"x=1", CONTENT_LENGTH=length)
    assert response.status_code < 500


def test_a_page_wants_to_know_the_length(hers):
    response = hers.generic("POST", "/", b"x=1", HTTP_TRANSFER_ENCODING="chunked")
    assert response.status_code == 411
    check(Html(response))
