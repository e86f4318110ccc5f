"""How a call ended, and an answer that still grows, on the page of its conversation."""

import pytest

from conversations.record import growth
from conversations.tests.calls import answer, ask, assistant, turn, user
from conversations.tests.pages.page import NOBODY, close, page

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("fields", "words", "button"),
    [
        (
            {"status": "failed", "error_code": "upstream_unreachable", "error": "It hung up."},
            "No answer. It hung up.",
            "Retry",
        ),
        (
            {"status": "failed", "error_code": "content_policy_violation", "error": "Not that."},
            "The model's provider refused this. Not that.",
            "Edit the question",
        ),
        (
            {
                "status": "failed",
                "error_code": "context_length_exceeded",
                "error": "400,000 tokens.",
            },
            "Too long for the model. 400,000 tokens.",
            "New conversation",
        ),
        (
            {"status": "failed", "error": "It hung up.", "replies": [assistant("half an")]},
            "half an The answer was cut off. It hung up.",
            "Retry",
        ),
        (
            {"status": "cancelled", "error": "Stopped.", "replies": [assistant("half an")]},
            "half an Stopped.",
            "Regenerate",
        ),
        ({"status": "cancelled", "error": "Stopped."}, "Stopped.", "Regenerate"),
        (
            {"status": "interrupted", "error": "The gateway stopped."},
            "Interrupted. The gateway stopped.",
            "Retry",
        ),
    ],
)
def test_how_a_call_ended_is_said_with_a_way_on(alice, hers, fields, words, button):
    call = close(ask(alice, [user("q")]), **fields)
    html = page(hers, call.conversation_id)
    assert words in html.words
    after = html.words.partition(words)[2]
    assert after.strip().startswith(button)
    if button in ("Retry", "Regenerate"):
        assert html.all("form", action=f"/c/{call.conversation_id}/again/")
        assert html.all("input", name="call", value=str(call.id))
    assert html.words.count("Regenerate") == (button == "Regenerate")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("length", "Ended at the token limit."),
        ("content_filter", "Ended by the provider's content filter."),
        ("stop", ""),
    ],
)
def test_an_answer_that_was_ended_says_so(alice, hers, reason, words):
    call = close(
        ask(alice, [user("q")]), status="ok", replies=[assistant("a")], finish_reason=reason
    )
    html = page(hers, call.conversation_id)
    assert words in html.words
    assert ("Ended" in html.words) == bool(words)


def test_an_answer_whose_reason_is_missing_says_so(alice, hers):
    call = close(ask(alice, [user("q")]), status="ok", replies=[assistant("a")])
    assert "The model did not say why it ended." in page(hers, call.conversation_id).words


def test_an_empty_answer_says_so(alice, hers):
    replies = [assistant("")]
    call = close(ask(alice, [user("q")]), status="ok", replies=replies, finish_reason="stop")
    assert "The model returned an empty answer." in page(hers, call.conversation_id).words


def test_an_answer_that_grows_is_followed(alice, hers):
    call = ask(alice, [user("q")])
    growth.save_pieces(call.id, [growth.Piece(growth.TEXT, 0, "It is **bold")])
    growth.save_pieces(call.id, [growth.Piece(growth.TEXT, 12, "** and")])
    html = page(hers, call.conversation, live=7)
    assert "It is bold and" in html.words
    [refresh] = html.all("meta", **{"http-equiv": "refresh"})
    assert refresh["content"] == f"2; url=/c/{call.conversation}/?live=8#m{call.head}"
    assert html.all("article", id=f"m{call.head}")
    assert html.all("form", action=f"/c/{call.conversation}/stop/")
    assert html.all("textarea") == []
    assert "4 words so far" in html.words
    answer(call, "It is **bold** and whole")
    html = page(hers, call.conversation, live=8)
    assert html.all("meta", **{"http-equiv": "refresh"}) == []
    assert html.all("textarea")


def test_nothing_has_come_yet(alice, hers):
    call = ask(alice, [user("q")])
    html = page(hers, call.conversation)
    assert html.all("meta", content=f"2; url=/c/{call.conversation}/?live=1#m{call.head}")
    assert "Answering…" in html.words


def test_a_second_answer_grows_beside_the_first(alice, hers):
    first = turn(alice, [user("q")], "the first")
    root = first.conversation_id
    call = ask(alice, [user("q")], root=root)
    html = page(hers, root)
    assert "the first" not in html.words
    assert "2 of 2" in html.words
    html = page(hers, root, at=first.reply_id)
    assert "the first" in html.words
    assert "1 of 2" in html.words
    assert html.all("meta", **{"http-equiv": "refresh"}) == []
    html = page(hers, root, at=first.head_id)
    assert html.all("meta", content=f"2; url=/c/{root}/?at={first.head_id}&live=1#m{first.head_id}")
    answer(call, "the second")
    assert "the second" in page(hers, root, at=first.head_id).words


def test_a_failed_second_answer_leaves_the_first_within_reach(alice, hers):
    first = turn(alice, [user("q")], "the first")
    root = first.conversation_id
    close(ask(alice, [user("q")], root=root), status="failed", error="It hung up.")
    html = page(hers, root)
    assert "No answer. It hung up." in html.words
    assert html.all("a", href=f"/c/{root}/?at={first.reply_id}#m{first.reply_id}")
    turn(alice, [user("q")], "the third", root=root)
    html = page(hers, root)
    assert "the third" in html.words
    assert "It hung up." not in html.words


def test_an_answer_for_a_program_is_followed_but_not_stopped(alice, hers):
    call = ask(alice, [user("q")], key="gw-12345678")
    html = page(hers, call.conversation)
    assert html.all("meta", **{"http-equiv": "refresh"})
    assert html.all("form", action=f"/c/{call.conversation}/stop/") == []


def test_stop(alice, hers):
    call = ask(alice, [user("q")])
    response = hers.post(f"/c/{call.conversation}/stop/", {"call": call.id})
    assert response.status_code == 302
    assert response["Location"] == f"/c/{call.conversation}/?live=0"
    assert growth.find_stopped([call.id]) == [call.id]


def test_stop_reaches_no_other_conversation(alice, hers, bob):
    call, theirs = ask(alice, [user("q")]), ask(bob, [user("q")])
    for wrong in (str(theirs.id), str(NOBODY), "", "x"):
        assert hers.post(f"/c/{call.conversation}/stop/", {"call": wrong}).status_code == 404
    assert growth.find_stopped([call.id, theirs.id]) == []
