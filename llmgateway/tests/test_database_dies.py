"""The database ends the session of a page: the reader gets a page that says so, at any moment."""

import psycopg
import pytest
from django.db import connection
from django.test import Client

from conversations.tests.calls import person, turn, user
from conversations.tests.cast import signed_in
from conversations.tests.html import Html, check
from conversations.tests.reviews import open_form
from llmgateway.tests.paths import PNG, paths
from proxy.tests.conftest import parameters

pytestmark = pytest.mark.django_db(transaction=True)

KILL = "SELECT pg_terminate_backend(%s, 5000)"


class Killer:
    """Counts the statements of a request, and ends the session before the one with that number."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.count = at, 0

    def __call__(self, execute, *statement):
        if self.count == self.at:
            with psycopg.connect(**parameters("postgres"), autocommit=True) as server:
                server.execute(KILL, [connection.connection.info.backend_pid])
        self.count += 1
        return execute(*statement)


def get(client: Client, path: str, at: int | None = None):
    killer = Killer(at)
    with connection.execute_wrapper(killer):
        response = client.get(path)
        if response.streaming:
            b"".join(response.streaming_content)
    return response, killer.count


def moments(count: int) -> list[int]:
    return sorted({0, count // 2, count - 1}) if count else []


@pytest.mark.drill
def test_each_page_is_a_page_then_too(rita, admin):
    call = turn(
        person("alice"),
        [
            user(
                [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": PNG}}]
            )
        ],
        "ok",
    )
    readers = [signed_in(rita), signed_in(person("alice")), admin, Client()]
    for reader in readers:
        reader.raise_request_exception = False
    seen, wrong = 0, []
    for path in paths(call):
        for reader in readers:
            response, count = get(reader, path)
            kind = response.headers.get("Content-Type", "")
            if response.status_code == 200 and count and not response.streaming:
                break
        else:
            continue
        for at in moments(count):
            response, reached = get(reader, path, at)
            connection.close()
            if reached <= at:
                continue  # answered from a copy
            seen += 1
            kind_now = response.headers.get("Content-Type", "")
            if response.status_code != 503 or (
                kind.startswith("text/html") and not kind_now.startswith("text/html")
            ):
                wrong.append((path, at, count, response.status_code, kind_now))
            elif kind_now.startswith("text/html"):
                check(Html(response))
    assert wrong == []
    assert seen > 100


@pytest.fixture
def desk(rita) -> Client:
    return signed_in(rita)


def posts(call, decision: dict[str, str]) -> list[tuple[str, str, dict[str, str]]]:
    """Who posts what where, for every kind of form that changes something."""
    root, exports = call.conversation_id, "/admin/exports/new/?of=calls"
    names = {"username": "carol", "usable_password": "false"}
    return [
        ("", "/sign-in/", {"username": "alice", "password": "wrong"}),
        ("alice", "/", {"message": "hello", "model": "gpt-4o"}),
        ("alice", f"/c/{root}/rename/", {"title": "another"}),
        ("alice", "/keys/", {"name": "laptop", "scopes": "chat", "days": "30"}),
        (
            "alice",
            "/images/",
            {"prompt": "a cat", "model": "gpt-image-1", "size": "auto", "n": "1"},
        ),
        ("alice", f"/c/{root}/remove/", {}),
        ("rita", "/admin/queue/next/", {}),
        ("rita", f"/admin/queue/{root}/claim/", {}),
        ("rita", f"/admin/queue/{root}/decide/", decision | {"disposition": "no_issue"}),
        ("rita", exports, {"format": "turns", "purpose": "case 12"}),
        ("root", "/admin/conversations/user/add/", names),
        ("root", "/admin/auth/group/add/", {"name": "Trainees"}),
    ]


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.drill), 7])
def test_each_form_is_answered_with_a_page_too(step, alice, desk, admin, hers):
    call = turn(alice, [user("hello")], "ok")
    clients = {"": Client(), "alice": hers, "rita": desk, "root": admin}
    wrong, seen = [], 0
    for who, path, form in posts(call, open_form(desk, call.conversation)):
        client = clients[who]
        client.raise_request_exception = False
        at = 0
        while True:  # each statement once by drill, until one form passes unharmed
            killer = Killer(at)
            with connection.execute_wrapper(killer):
                response = client.post(path, form)
            connection.close()
            if killer.count <= at:
                assert response.status_code < 500 or path in ("/", "/images/"), (path, response)
                break
            seen += 1
            page = response.headers.get("Content-Type", "").startswith("text/html")
            if response.status_code == 503 and page:
                check(Html(response))
            elif response.status_code >= 500 or not page:
                wrong.append((path, at, response.status_code, dict(response.headers)))
            at += step
    assert wrong == []
    assert seen > 60 // step
