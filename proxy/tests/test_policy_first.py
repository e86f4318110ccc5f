"""Asking on pages waits for the usage policy: the question does not leave, and stays in its box."""

import pytest

from conversations.models import Conversation, Snapshot, UsagePolicy
from conversations.tests.calls import person, turn, user
from conversations.tests.html import Html, check
from proxy.demo.server import DemoServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(settings):
    with DemoServer(pace=0) as server:
        settings.LLM_ENDPOINT = f"{server.url}/v1/chat/completions"
        yield lambda: [seen for seen in server.seen if seen["path"].endswith("/chat/completions")]


def test_a_question_waits_and_stays_in_its_box(hers, sent):
    UsagePolicy(text="Be kind.").publish()
    response = hers.post("/", {"message": "What is a mutex?", "model": "gpt-4o"})
    html = Html(response)
    check(html)
    assert response.status_code == 403
    assert "Accept the usage policy first." in html.words
    assert "What is a mutex?" in html.words
    assert len(html.all("form", action="/policy/")) == 1
    assert not sent()
    refused = Snapshot.objects.get()
    assert (refused.status, refused.error_code, refused.conversation) == (
        "refused",
        "policy_not_accepted",
        None,
    )
    hers.post("/policy/", {"version": "1"})
    response = hers.post("/", {"message": "What is a mutex?", "model": "gpt-4o"})
    assert response.status_code == 303
    assert b"".join(response) == b""
    assert len(sent()) == 1


def test_so_do_following_regenerated_and_edited_questions(hers, sent):
    call = turn(person("alice"), [user("q")], "a")
    UsagePolicy(text="Be kind.").publish()
    form = {
        "message": "again",
        "model": "gpt-4o",
        "call": str(call.id),
        "parent": str(call.reply_id),
    }
    for path in ("", "again/", f"edit/{call.head_id}/"):
        response = hers.post(f"/c/{call.conversation_id}/{path}", form)
        assert response.status_code == 403, path
        assert "Accept the usage policy first." in Html(response).words
    assert Snapshot.objects.filter(status="refused").count() == 3
    assert not sent()


def test_a_strangers_conversation_is_not_there_before_either(hers):
    call = turn(person("bob"), [user("q")], "a")
    UsagePolicy(text="Be kind.").publish()
    for path in ("", "again/", f"edit/{call.head_id}/"):
        assert (
            hers.post(
                f"/c/{call.conversation_id}/{path}",
                {"message": "x", "model": "m", "call": str(call.id)},
            ).status_code
            == 404
        )
    assert Conversation.objects.count() == 1
