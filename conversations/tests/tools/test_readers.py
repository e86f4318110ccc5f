"""Who reads a conversation finds the tools of its calls beside the messages, never among them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from conversations.models import Decision, Snapshot
from conversations.reading import history
from conversations.record import CallRequest
from conversations.search import index
from conversations.tests.admin.desk import CALLS, ids, page_of, text, transcript_of
from conversations.tests.calls import ask, user
from conversations.tests.reviews import post_decision, waiting
from conversations.tests.tools.agent import SYSTEM, TOOLS, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def calls(alice) -> list[Snapshot]:
    made = work(alice, 3)
    index.index_calls([call.id for call in made])
    return made


def test_a_transcript_shows_them_once_beside_the_messages(desk, calls):
    response = desk.get(transcript_of(calls[0]))
    turns = response.context["transcript"].turns
    assert [turn.message.role for turn in turns] == ["user", "assistant"] * 3
    beside = [[piece.label for piece in turn.also_sent] for turn in turns]
    assert beside == [[], ["tools"], [], [], [], []]
    assert [node.message.role for turn in turns for node in turn.prompt] == ["system"]
    assert text(response).count("zwieback") == len(TOOLS)


def test_the_page_of_a_call_has_them_in_its_request(desk, calls):
    assert "zwieback" in text(desk.get(page_of(calls[2])))


def test_a_reviewer_covers_messages_and_no_tools(desk, calls):
    waiting(calls[0].conversation)
    post_decision(desk, calls[0].conversation)
    decision = Decision.objects.get()
    assert (decision.shown, decision.messages, decision.branches) == (7, 7, 1)


def test_a_search_finds_the_call_that_brought_them(desk, calls):
    response = desk.get(CALLS, {"q": "zwieback"})
    assert ids(response) == [calls[0].id]
    assert "zwieback" in text(response)


def test_their_owner_reads_messages_alone(hers, calls):
    root = calls[0].conversation_id
    for address in (
        reverse("conversation", args=[root]),
        f"/api/conversations/{root}",
        reverse("export-markdown", args=[root]),
    ):
        response = hers.get(address)
        assert response.status_code == 200, address
        said = response.getvalue()
        assert b"Fix the tests." in said
        assert b"$tools" not in said
        assert b"zwieback" not in said


def test_an_equal_call_is_found_whatever_tools_a_poller_repeats(alice):
    """A poller repeats the messages; other parameters may differ."""
    since = datetime.now(UTC) - timedelta(minutes=5)
    [call] = work(alice, 1)

    def find(messages, model="m", **params):
        body = {"model": model, "messages": messages} | params
        asked = CallRequest(owner=alice.pk, kind="chat", model=model, body=body, messages=messages)
        return history.newest_equal(asked, since)

    said = [SYSTEM, user("Fix the tests.")]
    for params in ({}, {"tools": TOOLS}, {"tools": TOOLS[:1]}):
        assert find(said, **params) == call
    assert find(said[1:]) is None
    assert find([SYSTEM | {"content": "Another."}, *said[1:]]) is None
    assert find([SYSTEM, user("Break the tests.")]) is None
    bare = ask(alice, said[1:], params={"tools": TOOLS})
    assert find(said[1:]).id == bare.id
