"""Questions that are not let through: named, kept in their box, and sent nowhere."""

from uuid import uuid4

import pytest
from django.test import Client

from conversations import record
from conversations.models import Conversation, Message, Snapshot
from conversations.record import rebuild
from conversations.tests.calls import turn, user
from conversations.tests.html import Html, check

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent")]


# What is not let through ------------------------------------------------------------------------


WRONG = [
    ({"message": ""}, "Write a question first."),
    ({"message": " \n "}, "Write a question first."),
    ({"message": "a\0b"}, "Null characters"),
    ({"model": ""}, "Choose a model."),
    ({"model": "x" * 201}, "at most 200"),
    ({"temperature": "2.1"}, "At most 2."),
    ({"temperature": "-0.1"}, "At least 0."),
    ({"temperature": "warm"}, "Enter a number."),
    ({"temperature": "nan"}, "Enter a number."),
    ({"top_p": "1.01"}, "At most 1."),
    ({"presence_penalty": "-3"}, "At least -2."),
    ({"frequency_penalty": "inf"}, "Enter a number."),
    ({"max_tokens": "0"}, "At least 1."),
    ({"max_tokens": "1.5"}, "Enter a whole number."),
    ({"parent": "x"}, ""),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG)
@pytest.mark.parametrize("place", ["first", "next", "edit"])
def test_a_wrong_field_is_named_and_nothing_is_sent(hers, alice, sent, wrong, words, place):
    call = turn(alice, [user("earlier")], "a")
    path = {
        "first": "/",
        "next": f"/c/{call.conversation_id}/",
        "edit": f"/c/{call.conversation_id}/edit/{call.head_id}/",
    }[place]
    response = hers.post(path, {"message": "my long question", "model": "m"} | wrong)
    assert response.status_code == 400
    html = Html(response)
    check(html)
    assert words in html.words
    assert "message" in wrong or "my long question" in html.words
    assert [fold for fold in html.all("details") if "open" in fold] or not {
        "temperature",
        "top_p",
        "max_tokens",
    } & set(wrong)
    assert sent() == []
    assert Snapshot.objects.count() == 1


@pytest.mark.parametrize("place", ["first", "next", "edit", "again"])
def test_a_question_that_is_not_let_through_stays_in_its_box(hers, alice, settings, sent, place):
    call = turn(alice, [user("earlier")], "a")
    root = call.conversation_id
    path = {
        "first": "/",
        "next": f"/c/{root}/",
        "edit": f"/c/{root}/edit/{call.head_id}/",
        "again": f"/c/{root}/again/",
    }[place]
    settings.OPEN_CALLS = 0
    response = hers.post(path, {"message": "my long question", "model": "m", "call": call.id})
    assert response.status_code == 503
    assert response["Retry-After"] == "2"
    html = Html(response)
    check(html)
    assert "Not sent. Too many calls are open." in html.words
    assert "my long question" in html.words or place == "again"
    assert sent() == []
    assert [(made.status, made.conversation) for made in Snapshot.objects.exclude(id=call.id)] == [
        ("refused", None)
    ]


def test_a_record_that_cannot_be_written_lets_nothing_through(hers, monkeypatch, sent):
    def broken(asked):
        raise RuntimeError("canary")

    monkeypatch.setattr(record, "open", broken)
    response = hers.post("/", {"message": "q", "model": "m"})
    assert response.status_code == 503
    assert "Nothing is sent that is not recorded." in Html(response).words
    assert sent() == []


@pytest.mark.parametrize("route", ["", "again/", "edit/{message}/"])
@pytest.mark.parametrize("known", [True, False])
def test_asking_in_a_strangers_conversation_is_refused_and_recorded(his, alice, sent, route, known):
    call = turn(alice, [user("private")], "a")
    before = list(Message.objects.values()), list(Conversation.objects.values())
    root = call.conversation_id if known else uuid4()
    path = f"/c/{root}/{route.format(message=call.head_id)}"
    response = his.post(
        path,
        {
            "message": "let me in",
            "model": "gpt-4o",
            "temperature": "0.3",
            "call": call.id,
            "parent": call.reply_id,
        },
    )
    assert response.status_code == 404
    assert b"private" not in response.content
    assert sent() == []
    [refused] = Snapshot.objects.exclude(id=call.id)
    assert (refused.status, refused.owner.username, refused.conversation, refused.error_code) == (
        "refused",
        "bob",
        None,
        "conversation_not_found",
    )
    if "again" not in route:
        assert rebuild.rebuild_request(refused)["messages"] == [user("let me in")]
        assert rebuild.rebuild_request(refused)["temperature"] == 0.3
    assert (list(Message.objects.values()), list(Conversation.objects.values())) == before


def test_a_removed_conversation_takes_no_questions(hers, alice, sent):
    call = turn(alice, [user("q")], "a")
    call.conversation.hide()
    for route in ("", "again/", f"edit/{call.head_id}/"):
        assert (
            hers.post(
                f"/c/{call.conversation_id}/{route}",
                {"message": "x", "model": "m", "call": call.id},
            ).status_code
            == 404
        )
    assert sent() == []
    assert Snapshot.objects.count() == 1


def test_a_gateway_without_an_upstream_says_so(hers, settings):
    settings.LLM_ENDPOINT = ""
    assert hers.get("/").status_code == 200
    response = hers.post("/", {"message": "q", "model": "m"})
    assert response.status_code == 502
    assert "LLM_ENDPOINT is not set" in Html(response).words


def test_a_form_needs_its_token(alice, sent):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.post("/", {"message": "q", "model": "m"}).status_code == 403
    assert sent() == []
