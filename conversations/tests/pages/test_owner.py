"""What belongs to the owner: titles and removal; bob, a stranger, finds no conversation."""

import pytest

from conversations.models import Conversation, Message, Partial, Snapshot
from conversations.tests.calls import ask, person, turn, user
from conversations.tests.html import Html, check
from conversations.tests.pages.page import NOBODY, PNG, picture

pytestmark = pytest.mark.django_db


# What belongs to the owner ----------------------------------------------------------------------


def test_rename(alice, hers):
    root = turn(alice, [user("q")], "a").conversation_id
    check(Html(hers.get(f"/c/{root}/rename/")))
    response = hers.post(f"/c/{root}/rename/", {"title": "  Better & <b>bolder</b> "}, follow=True)
    assert response.redirect_chain == [(f"/c/{root}/", 302)]
    assert b"Conversation renamed." in response.content
    assert b"<h1>Better &amp; &lt;b&gt;bolder&lt;/b&gt;</h1>" in response.content
    assert Conversation.objects.get(id=root).title == "Better & <b>bolder</b>"


@pytest.mark.parametrize(
    ("title", "error"),
    [
        ("", "Give the conversation a title."),
        ("   ", "Give the conversation a title."),
        ("x" * 201, "at most 200"),
        ("a\0b", "Null"),
    ],
)
def test_a_bad_title_is_refused(alice, hers, title, error):
    root = turn(alice, [user("q")], "a").conversation_id
    response = hers.post(f"/c/{root}/rename/", {"title": title})
    assert response.status_code == 400
    assert error in Html(response).words
    check(Html(response))
    assert Conversation.objects.get(id=root).title == "q"


def test_remove_hides_and_the_log_stays(alice, hers):
    snapshot = turn(alice, [user("q")], "a")
    root = snapshot.conversation_id
    assert "It stays in the log" in Html(hers.get(f"/c/{root}/remove/")).words
    assert Conversation.objects.get(id=root).shown
    response = hers.post(f"/c/{root}/remove/", follow=True)
    assert response.redirect_chain == [("/history/", 302)]
    assert "Removed “q” from your history. It stays in the log." in Html(response).words
    assert not Conversation.objects.get(id=root).shown
    assert Snapshot.objects.get(id=snapshot.id).reply.text == "a"
    for path in ("", "rename/", "remove/"):
        assert hers.get(f"/c/{root}/{path}").status_code == 404
    assert f"/c/{root}/" not in hers.get("/").content.decode()


ROUTES = ["", "rename/", "remove/", "stop/", "again/", f"edit/{NOBODY}/", "a/1", "a/0", "nonesuch/"]
METHODS = ["get", "post", "head", "options", "put", "patch", "delete"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", METHODS)
def test_a_strangers_conversation_is_one_that_does_not_exist(alice, his, route, method, settings):
    settings.LLM_ENDPOINT = "http://127.0.0.1:9/v1/chat/completions"
    call = ask(alice, [user([{"type": "text", "text": "private"}, picture(PNG)])])
    removed = turn(person("bob"), [user("q")], "a").conversation_id
    Conversation.objects.get(id=removed).hide()
    before = everything_of(alice)
    bodies = set()
    for root in (call.conversation, NOBODY, removed):
        form = {"message": "let me in", "model": "m", "title": "mine", "call": call.id}
        data = {"data": form} if method in ("get", "head", "post") else {}
        response = getattr(his, method)(f"/c/{root}/{route}", **data)
        assert response.status_code == 404
        id = response["x-request-id"].encode()
        assert method == "head" or id in response.content
        bodies.add(
            (
                response.content.replace(id, b"ID"),
                tuple(sorted(name for name, _ in response.items())),
            )
        )
    assert len(bodies) == 1
    assert everything_of(alice) == before


def everything_of(owner) -> list:
    tables = (
        Conversation.objects.filter(owner=owner),
        Snapshot.objects.filter(owner=owner),
        Message.objects.filter(conversation__owner=owner),
    )
    return [list(table.order_by("pk").values()) for table in tables] + [
        list(Partial.objects.values())
    ]


@pytest.mark.parametrize(
    "path", ["/", "/history/", f"/c/{NOBODY}/", f"/c/{NOBODY}/rename/", f"/c/{NOBODY}/a/1"]
)
def test_pages_are_for_people_who_are_signed_in(client, path):
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"] == f"/sign-in/?next={path}"
