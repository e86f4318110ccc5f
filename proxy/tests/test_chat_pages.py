"""Asking on pages: what is sent, what is recorded, and what follows."""

import base64
from uuid import UUID, uuid4

import pytest

from conversations.models import Conversation, Message, Snapshot
from conversations.record import rebuild
from conversations.tests.calls import assistant, turn, user
from conversations.tests.html import Html, check
from conversations.tests.unguarded import unguarded
from proxy.upstreams import catalogue

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent")]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 12
PICTURE = {
    "type": "image_url",
    "image_url": {"url": "data:image/png;base64," + base64.b64encode(PNG).decode()},
}


def post(client, path: str, **form) -> str:
    """Where an accepted question leads, once its answer is whole."""
    response = client.post(path, form)
    assert response.status_code == 303, Html(response).words
    assert b"".join(response) == b""
    return response["Location"]


def ask(client, message: str, path: str = "/", **form) -> Snapshot:
    location = post(client, path, message=message, model="gpt-4o", **form)
    call = Snapshot.objects.latest("id")
    assert location == f"/c/{call.conversation_id}/?live=0#m{call.head_id}"
    return call


def shown(client, root: UUID, **query) -> Html:
    response = client.get(f"/c/{root}/", query)
    assert response.status_code == 200
    html = Html(response)
    check(html)
    return html


def hidden(html: Html, name: str) -> str:
    return html.all("input", name=name)[0]["value"]


# A question and its answer ----------------------------------------------------------------------


def test_the_first_page(hers):
    html = Html(hers.get("/"))
    check(html)
    assert [option["value"] for option in html.all("option") if not option["value"].isdigit()] == [
        model["id"] for model in catalogue.list_environment_models()
    ]
    assert "What would you like to ask?" in html.words
    assert "Logged and reviewed" in html.words


def test_a_question_is_asked_and_its_answer_shown(hers, alice, sent):
    call = ask(hers, "What is a vector database?")
    assert (call.status, call.owner, call.key, call.model) == ("ok", alice, "", "gpt-4o")
    assert call.address == "127.0.0.1"
    html = shown(hers, call.conversation_id)
    assert "What is a vector database?" in html.words
    assert call.reply.text.split()[0] in html.words
    assert f"gpt-4o · {call.total_tokens:,} tokens · ${call.cost:.4f}" in html.words
    assert sent() == [
        {
            "model": "gpt-4o",
            "messages": [user("What is a vector database?")],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


def test_parameters_travel_and_stay(hers, sent):
    given = {
        "temperature": 0.7,
        "top_p": 1.0,
        "presence_penalty": -2.0,
        "frequency_penalty": 0.0,
        "max_tokens": 400,
    }
    call = ask(hers, "q", **given)
    assert {name: sent()[0].get(name) for name in given} == given
    html = shown(hers, call.conversation_id)
    assert {
        field["name"]: float(field["value"]) for field in html.all("input", type="number")
    } == given
    assert [fold for fold in html.all("details") if "open" in fold]


def test_nothing_is_sent_that_was_not_filled_in(hers, sent):
    ask(hers, "q", temperature="", top_p="", max_tokens="")
    assert set(sent()[0]) == {"model", "messages", "stream", "stream_options"}


def test_a_question_keeps_its_spaces_and_lines(hers, sent):
    ask(hers, "  def f():\r\n      pass\r\n")
    assert sent()[0]["messages"] == [user("  def f():\n      pass\n")]


def test_the_model_that_was_used_last_is_chosen_next(hers):
    ask(hers, "q")
    post(hers, "/", message="q", model="o4-mini")
    assert Html(hers.get("/")).all("option", value="o4-mini", selected=None)


def test_a_model_that_is_not_listed_stays_chosen(hers):
    root = ask(hers, "q").conversation_id
    call = Snapshot.objects.get(conversation=root)
    with unguarded():
        Snapshot.objects.filter(id=call.id).update(model="gpt-3.5-turbo")
    assert shown(hers, root).all("option", value="gpt-3.5-turbo", selected=None)


def test_where_models_cannot_be_listed_their_name_is_typed(hers, settings):
    catalogue.forget()
    settings.LLM_MODELS_ENDPOINT = "http://127.0.0.1:9/v1/models"
    html = Html(hers.get("/"))
    check(html)
    assert html.all("select", name="model") == []
    assert html.all("input", name="model", type="text")
    assert "type the name of a model" in html.words
    assert ask(hers, "q").status == "ok"


# What follows -----------------------------------------------------------------------------------


def test_the_next_question_takes_along_what_came_before(hers, sent):
    first = ask(hers, "first")
    root = first.conversation_id
    second = ask(hers, "second", f"/c/{root}/", parent=hidden(shown(hers, root), "parent"))
    assert second.conversation_id == root
    assert sent()[1]["messages"] == [user("first"), assistant(first.reply.text), user("second")]
    assert second.head.parent_id == first.reply_id
    third = ask(hers, "third", f"/c/{root}/")  # without `parent`, it follows the newest
    assert third.head.parent_id == second.reply_id
    assert Conversation.objects.get(id=root).turns == 3


def test_a_question_follows_the_branch_that_was_shown(hers, sent):
    first = ask(hers, "first")
    root = first.conversation_id
    ask(hers, "one way", f"/c/{root}/", parent=first.reply_id)
    ask(hers, "another way", f"/c/{root}/", parent=first.reply_id)
    assert [message["content"] for message in sent()[2]["messages"]][::2] == [
        "first",
        "another way",
    ]
    html = shown(hers, root)
    assert "another way" in html.words
    assert "2 of 2" in html.words
    one = Message.objects.get(text="one way")
    html = shown(hers, root, at=one.id)
    ask(hers, "and on", f"/c/{root}/", parent=hidden(html, "parent"))
    assert [message["content"] for message in sent()[3]["messages"]][::2] == [
        "first",
        "one way",
        "and on",
    ]


def test_a_programs_conversation_goes_on_with_its_prompt_pictures_and_tools(hers, alice, sent):
    reply = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    }
    said = [
        {"role": "system", "content": "Be terse."},
        user([{"type": "text", "text": "look"}, PICTURE]),
        reply,
        {"role": "tool", "tool_call_id": "c", "content": "4"},
    ]
    call = turn(alice, said, "a boat")
    root = call.conversation_id
    ask(hers, "which colour?", f"/c/{root}/", parent=hidden(shown(hers, root), "parent"))
    assert sent()[0]["messages"] == [*said, assistant("a boat"), user("which colour?")]
    newest = Snapshot.objects.latest("id")
    assert rebuild.rebuild_request(newest) == sent()[0]
    assert newest.preamble_id == call.preamble_id
    assert Message.objects.filter(conversation=root).count() == 7


def test_regenerate_asks_the_same_once_more(hers, sent):
    first = ask(hers, "q", temperature="0.5")
    root = first.conversation_id
    html = shown(hers, root)
    location = post(hers, f"/c/{root}/again/", call=hidden(html, "call"))
    assert location == f"/c/{root}/?live=0#m{first.head_id}"
    assert sent()[1] == sent()[0]
    assert [call.head_id for call in Snapshot.objects.filter(conversation=root)] == [
        first.head_id
    ] * 2


def test_retry_with_another_model(hers, sent):
    failed = ask(hers, "!down q", temperature="0.5")
    html = shown(hers, failed.conversation_id)
    [choice] = html.all("select", id=f"with-{failed.id}")
    assert choice["name"] == "model"
    for chosen, model in (("gpt-4o-mini", "gpt-4o-mini"), ("nobody's", "gpt-4o"), ("", "gpt-4o")):
        post(hers, f"/c/{failed.conversation_id}/again/", call=failed.id, model=chosen)
        assert (sent()[-1]["model"], sent()[-1]["temperature"]) == (model, 0.5)
        assert Snapshot.objects.latest("id").model == model


def test_retry_after_a_failure(hers, sent, server):
    failed = ask(hers, "!down what is DNS?")
    assert failed.status == "failed"
    html = shown(hers, failed.conversation_id)
    assert "No answer." in html.words
    assert "Retry" in html.words
    post(hers, f"/c/{failed.conversation_id}/again/", call=hidden(html, "call"))
    assert len(sent()) == 2
    assert (
        Snapshot.objects.filter(conversation=failed.conversation_id, status="failed").count() == 2
    )


@pytest.mark.parametrize(
    ("word", "title"),
    [
        ("!429", "No answer."),
        ("!500", "No answer."),
        ("!garbage", "No answer."),
        ("!html", "No answer."),
        ("!cut", "The answer was cut off."),
        ("!400", "refused this"),
    ],
)
def test_each_failure_is_named_on_the_page(hers, word, title):
    call = ask(hers, f"{word} what is DNS, in some detail?")
    assert call.status == "failed"
    html = shown(hers, call.conversation_id)
    assert title in html.words
    assert call.error
    assert " ".join(call.error.split()) in html.words


def test_edit_makes_a_branch(hers, sent):
    first = ask(hers, "first")
    root = first.conversation_id
    second = ask(hers, "secnod", f"/c/{root}/", parent=first.reply_id, temperature="0.2")
    response = hers.get(f"/c/{root}/edit/{second.head_id}/")
    html = Html(response)
    check(html)
    assert "secnod" in html.words
    assert "The original stays; this starts a second version." in html.words
    assert html.all("input", name="temperature", value="0.2")
    edited = ask(hers, "second", f"/c/{root}/edit/{second.head_id}/", temperature="0.2")
    assert sent()[2]["messages"] == [user("first"), assistant(first.reply.text), user("second")]
    assert edited.head.parent_id == second.head.parent_id
    html = shown(hers, root)
    assert "secnod" not in html.words
    assert "2 of 2" in html.words
    assert Message.objects.filter(text="secnod").exists()


def test_editing_the_first_question_keeps_its_pictures_and_prompt(hers, alice, sent):
    old = {
        "role": "user",
        "content": [{"type": "text", "text": "look"}, PICTURE, {"type": "text", "text": "closely"}],
        "name": "alice",
    }
    call = turn(alice, [{"role": "system", "content": "Be terse."}, old], "a")
    root = call.conversation_id
    assert "look closely" in Html(hers.get(f"/c/{root}/edit/{call.head_id}/")).words
    ask(hers, "what is it?", f"/c/{root}/edit/{call.head_id}/")
    assert sent()[0]["messages"] == [
        {"role": "system", "content": "Be terse."},
        old | {"content": [{"type": "text", "text": "what is it?"}, PICTURE]},
    ]
    html = shown(hers, root)
    assert len(html.all("img")) == 1
    assert "2 of 2" in html.words


def test_only_questions_of_this_conversation_are_edited(hers, alice):
    call, other = turn(alice, [user("q")], "a"), turn(alice, [user("r")], "b")
    root = call.conversation_id
    for message in (call.reply_id, other.head_id, uuid4()):
        assert hers.get(f"/c/{root}/edit/{message}/").status_code == 404
        assert (
            hers.post(f"/c/{root}/edit/{message}/", {"message": "x", "model": "m"}).status_code
            == 404
        )
    assert hers.post(f"/c/{root}/again/", {"call": other.id}).status_code == 404
    assert (
        hers.post(
            f"/c/{root}/", {"message": "x", "model": "m", "parent": other.reply_id}
        ).status_code
        == 404
    )
    assert Snapshot.objects.count() == 2


def test_a_link_to_regenerate_leads_to_the_conversation(hers, alice):
    root = turn(alice, [user("q")], "a").conversation_id
    response = hers.get(f"/c/{root}/again/")
    assert (response.status_code, response["Location"]) == (302, f"/c/{root}/")
