"""A history that comes back trimmed continues its conversation, and its answers are relayed."""

import pytest

from conversations.models import Conversation, Message, Snapshot, ThreadSeed
from conversations.proof import checkpoints, sealing
from conversations.record import growth, orphans, rebuild, trimmed
from conversations.tests.calls import ask, assistant, person, turn, user
from conversations.tests.trimmed.shapes import (
    PICTURE,
    RESPELLED,
    SIGNED,
    call,
    check_kept,
    check_one_line,
    follow_up,
    read_origins,
    reply_with,
    result,
    text_part,
)
from conversations.tests.verify.findings import found

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("client", RESPELLED)
def test_what_a_client_sends_back_continues_its_conversation(client):
    """For three turns, as each is below what the turn before was found by."""
    alice, (reply, back) = person(), RESPELLED[client]
    first = reply_with(alice, [user("2+2?")], reply)
    history = [user("2+2?"), back, *follow_up(back)]
    second = reply_with(alice, history, reply)
    check_kept(second, history)
    history += [back, *follow_up(back)]
    third = reply_with(alice, history, reply)
    check_kept(third, history)
    assert {call.conversation_id for call in (first, second, third)} == {first.conversation_id}
    assert read_origins(third) == ["relayed", "relayed"]
    check_one_line(third, len(history) + 1)
    sealing.seal()
    assert checkpoints.write_checkpoint()
    assert found() == ""


@pytest.mark.parametrize("client", RESPELLED)
def test_a_client_that_begins_to_trim_or_ends(client):
    alice, (reply, back) = person(), RESPELLED[client]
    first = reply_with(alice, [user("2+2?")], reply)
    opener = [user("2+2?"), reply, *follow_up(reply)]
    second = turn(alice, opener, "Yes.")
    trimmed = [user("2+2?"), back, *follow_up(back), assistant("Yes."), user("a")]
    third = turn(alice, trimmed, "A.")
    whole = [*opener, assistant("Yes."), user("a"), assistant("A."), user("b")]
    last = turn(alice, whole, "B.")
    calls = (first, second, third, last)
    assert {call.conversation_id for call in calls} == {first.conversation_id}
    for call_, sent in ((second, opener), (third, trimmed), (last, whole)):
        check_kept(call_, sent)
    check_one_line(last, len(whole) + 1)


@pytest.mark.parametrize("client", RESPELLED)
def test_a_conversation_that_is_named_knows_its_answers_too(client):
    alice, (reply, back) = person(), RESPELLED[client]
    first = reply_with(alice, [user("2+2?")], reply, session_key="s")
    history = [user("2+2?"), back, *follow_up(back)]
    by_key = turn(alice, history, "Yes.", session_key="s")
    by_root = turn(alice, history, "Yes.", root=first.conversation_id, threads_by_content=False)
    for call_ in (by_key, by_root):
        assert call_.conversation_id == first.conversation_id
        assert read_origins(call_) == ["relayed"]


def test_the_words_that_are_kept_are_the_gateways_own():
    alice = person()
    thinking = "<think>Two and two, four.</think>\n\nFour."
    first = turn(alice, [user("2+2?")], thinking)
    second = turn(alice, [user("2+2?"), assistant("Four."), user("sure?")], "Yes.")
    assert first.reply.text == thinking
    sent = second.head.parent
    assert sent != first.reply
    assert (sent.text, sent.origin, sent.path_hash) == ("Four.", "relayed", first.reply.path_hash)


QUESTION = [text_part("What is on it?"), PICTURE]
CALLS = [call("weather", '{"place": "Oslo"}', "a"), call("weather", '{"place": "Rome"}', "b")]
ELSEWHERE = [CALLS[0] | {"id": "x"}, CALLS[1] | {"id": "y"}]
# By what was left out: the turns as they are on record, and as they come back.
LEFT_OUT = {
    "space around a question": ([user(" 2+2?\n")], [user("2+2?")]),
    "a name of a question": ([{"name": "ann"} | user("2+2?")], [user("2+2?")]),
    "the picture of a question": ([user(QUESTION)], [user("What is on it?")]),
    "an answer that said nothing": (
        [user("a"), assistant(""), user("b")],
        [user("a"), user("b")],
    ),
    "thoughts without an answer": (
        [user("a"), assistant("<think>Hm.</think>"), user("b")],
        [user("a"), user("b")],
    ),
    "the order of results": (
        [
            user("weather?"),
            assistant(None, tool_calls=CALLS),
            result("cold", "a"),
            result("hot", "b"),
        ],
        [
            user("weather?"),
            assistant("", tool_calls=ELSEWHERE),
            result("hot", "y"),
            result("cold", "x"),
        ],
    ),
    "a result as a part, with the name of its tool": (
        [user("a"), assistant(None, tool_calls=CALLS[:1]), result("cold", "a")],
        [
            user("a"),
            assistant(None, tool_calls=CALLS[:1]),
            result([text_part("cold")], "a", name="weather"),
        ],
    ),
    "the role of a prompt in between": (
        [user("a"), {"role": "developer", "content": " Be brief."}, user("b")],
        [user("a"), {"role": "system", "content": "Be brief."}, user("b")],
    ),
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_what_else_is_left_out(what):
    alice, (kept, back) = person(), LEFT_OUT[what]
    for length in range(1, len(kept) + 1):  # each answer of the line is a model's own
        if length == len(kept) or kept[length]["role"] == "assistant":
            reply = kept[length] if length < len(kept) else assistant("Yes.")
            first = reply_with(alice, kept[:length], reply)
    history = [*back, assistant("Yes."), user("more")]
    second = turn(alice, history, "More.")
    assert second.conversation_id == first.conversation_id
    check_kept(second, history)
    check_one_line(second, len(kept) + 3)
    history += [assistant("More."), user("end")]
    third = turn(alice, history, "End.")
    assert third.conversation_id == first.conversation_id
    check_kept(third, history)


def test_an_answer_that_says_nothing_names_no_conversation():
    """Questions alone never do: many people open with the same."""
    alice = person()
    for reply in (assistant(""), assistant("<think>Hm.</think>"), assistant("", images=[PICTURE])):
        first = reply_with(alice, [user("hi")], reply)
        second = turn(alice, [user("hi"), assistant("", name="m"), user("more")], "More.")
        assert second.conversation_id != first.conversation_id


def test_a_trimmed_history_is_its_owners_alone():
    alice, robot = person(), person("robot")
    reply, back = RESPELLED["LangChain, calls written anew"]
    history = [user("2+2?"), back, *follow_up(back)]
    hers = reply_with(alice, [user("2+2?")], reply)
    anns = reply_with(robot, [user("2+2?")], reply, end_user="ann")
    assert turn(alice, history, "Yes.").conversation_id == hers.conversation_id
    assert turn(robot, history, "Yes.", end_user="ann").conversation_id == anns.conversation_id
    thefts = (
        turn(person("bob"), history, "No."),
        turn(robot, history, "No.", end_user="ben"),
        turn(robot, history, "No."),
        turn(alice, history, "No.", threads_by_content=False),
        turn(alice, history, "No.", session_key="s"),
    )
    for theft in thefts:
        assert theft.conversation_id not in (hers.conversation_id, anns.conversation_id)
        assert read_origins(theft) == ["claimed"]
    assert Conversation.objects.count() == 2 + len(thefts)


@pytest.mark.parametrize("left", ["the owner's clause", "the owner's key"])
def test_each_net_between_owners_is_enough_by_itself(left, monkeypatch):
    """Word hashes are made with a key of their owner's, and looked up among the owner's rows."""
    alice, bob = person(), person("bob")
    reply, back = RESPELLED["LangChain, calls written anew"]
    reply_with(alice, [user("2+2?")], reply)
    if left == "the owner's key":
        sql = trimmed.SAME_WORDS
        clause = sql[sql.index("AND (\n") : sql.index(") AS told")]
        assert "owner" in clause
        monkeypatch.setattr(trimmed, "SAME_WORDS", sql.replace(clause, ""))
    else:
        ThreadSeed.objects.create(owner=bob, seed=ThreadSeed.objects.get(owner=alice).seed)
    theft = turn(bob, [user("2+2?"), back, *follow_up(back)], "No.")
    assert Conversation.objects.count() == 2
    assert (theft.conversation.owner, read_origins(theft)) == (bob, ["claimed"])


def test_of_conversations_with_the_same_words_the_newest_goes_on():
    alice = person()
    older, newer = (turn(alice, [user("hi")], "<think>Hm.</think>Hello!") for _ in range(2))
    later = turn(alice, [user("hi"), assistant("Hello!"), user("more")], "More.")
    assert later.conversation_id == newer.conversation_id != older.conversation_id


def test_of_conversations_with_the_same_words_the_one_with_its_picture_goes_on():
    alice = person()
    pictures = [
        {"type": "image_url", "image_url": {"url": f"https://x.example/{n}"}} for n in "abc"
    ]
    asked = [user([text_part("What is it?"), picture]) for picture in pictures]
    calls = [turn(alice, [question], "A cat.") for question in asked[:2]]
    back = [assistant("A cat.", name="m"), user("sure?")]
    for question, first in zip(asked, calls, strict=False):
        assert turn(alice, [question, *back], "Yes.").conversation_id == first.conversation_id
    stranger = turn(alice, [asked[2], *back], "Yes.")
    assert read_origins(stranger) == ["claimed"]
    assert stranger.conversation_id not in {call.conversation_id for call in calls}


def test_the_path_that_goes_furthest_wins():
    """Also over one that is known by its path hash."""
    alice, thinking = person(), "<think>Hm.</think>B."
    far = turn(alice, [user("a")], "A.")
    turn(alice, [user("a"), assistant("A."), user("b")], thinking)
    near = turn(alice, [user("a")], "A.")
    last = turn(alice, [user("a"), assistant("A."), user("b"), assistant("B."), user("c")], "C.")
    assert last.conversation_id == far.conversation_id != near.conversation_id
    assert read_origins(last) == ["relayed", "relayed"]


ECHOED = {
    "a list after a text": (
        assistant("Hi there."),
        [assistant([text_part("Hi there.")]), assistant("Hi there.", refusal=None)],
    ),
    "a text after a list": (
        assistant([text_part("Hi there.")]),
        [assistant("Hi there."), assistant("Hi there.", refusal=None)],
    ),
    "a text after its trimmed form": (
        assistant("<think>Hm.</think>Hi."),
        [assistant("Hi."), assistant("<think>Hm.</think>Hi.", refusal=None)],
    ),
    "a text after thinking and its trimmed form": (
        assistant([SIGNED, text_part("Hi.")]),
        [assistant("Hi."), assistant("Hi.", name="m"), assistant([SIGNED, text_part("Hi.")])],
    ),
}


@pytest.mark.parametrize("what", ECHOED)
def test_each_spelling_is_kept_as_it_was_sent(what):
    """Whichever row its text is read from."""
    alice, (reply, spellings) = person(), ECHOED[what]
    for n in range(6):  # the ids of rows, and so their order, are as good as drawn
        opener = [user(f"hi {n}")]
        reply_with(alice, opener, reply)
        sent = [[*opener, spelling, user("more")] for spelling in [*spellings, *spellings]]
        calls = [turn(alice, history, f"More {n}.") for history in sent]
        for call_, history in zip(calls, sent, strict=True):
            check_kept(Snapshot.objects.get(id=call_.id), history)
    assert Conversation.objects.count() == 6
    assert not Message.objects.filter(origin="claimed").exists()


def test_an_interrupted_answer_is_found_by_its_words():
    alice, reply, back = person(), *RESPELLED["Gemini, its signature taken out"]
    reply_with(alice, [user("a")], reply)
    opened = ask(alice, [user("a"), reply, *follow_up(reply)])
    growth.save_pieces(opened.id, [growth.Piece(growth.TEXT, 0, "Once upon")])
    pending = Snapshot.objects.get(id=opened.id)
    assert orphans.interrupt(pending, growth.read_replies(opened.id))
    history = [user("a"), back, *follow_up(back), assistant("Once upon"), user("go on")]
    later = turn(alice, history, "a time")
    assert later.conversation_id == opened.conversation
    assert read_origins(later) == ["relayed", "relayed"]
    assert rebuild.rebuild_request(later)["messages"] == history
