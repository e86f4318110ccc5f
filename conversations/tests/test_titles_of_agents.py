"""An agent's conversation is titled by what a person asked, not by what the agent asks itself."""

import pytest

from conversations.models import Conversation, Unindexed
from conversations.record.calls import make_title
from conversations.tests.calls import answer, ask, assistant, user

pytestmark = pytest.mark.django_db
TOOLS = [{"type": "function", "function": {"name": "Read"}}]
REMINDER = "<system-reminder>\nBe <b>brief</b>.\n</system-reminder>"


def part(text):
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("messages", "title"),
    [
        ([user([part(REMINDER), part(REMINDER), part("Fix the tests.")])], "Fix the tests."),
        ([user(f"{REMINDER}\n\nFix the tests.")], "Fix the tests."),
        ([user("<environment_context>x</environment_context>"), user("Fix it.")], "Fix it."),
        ([user("Why does <b>this</b> fail?")], "Why does <b>this</b> fail?"),
        ([user("<div> is not closed")], "<div> is not closed"),
        ([user("<3 hello")], "<3 hello"),
        ([user("<prompt>Do it.</prompt>")], "<prompt>Do it.</prompt>"),
        ([user(""), user("<a></a>"), assistant("<b>"), user("Hi")], "Hi"),
        ([user([{"type": "image_url"}])], ""),
        ([user("<a>" * 100_000)], ("<a>" * 17)[:50]),
        ([user("<a></a>" * 100_000 + "Hi")], "Hi"),
    ],
)
def test_it_begins_with_the_question(messages, title):
    assert make_title(messages) == title


def title_of(alice, steps, **how):
    """The title after calls of one session: each what is asked, and its tools, if any."""
    for text, tools in steps:
        answer(ask(alice, [user(text)], params={"tools": tools} if tools else {}, **how), "ok")
    return Conversation.objects.order_by("id").first().title


NAMING = ("Write a title for this", None)
WORK, AGENT = ("Fix the tests.", TOOLS), ("You are a helper. Search.", TOOLS)


@pytest.mark.parametrize(
    ("steps", "title"),
    [
        ([NAMING, WORK], "Fix the tests."),
        ([NAMING, ("quota", None), WORK, AGENT], "Fix the tests."),
        ([WORK, NAMING, AGENT], "Fix the tests."),
        ([NAMING, ("Hi", None)], "Write a title for this"),
    ],
)
def test_a_session_is_titled_by_the_first_call_with_tools(alice, steps, title):
    assert title_of(alice, steps, session_key="s") == title
    assert Conversation.objects.count() == 1


def test_without_a_session_each_keeps_its_own(alice):
    assert title_of(alice, [NAMING, WORK]) == "Write a title for this"
    assert Conversation.objects.count() == 2


def test_a_title_that_a_person_or_a_model_gave_stays(alice):
    title_of(alice, [NAMING], session_key="s")
    for take in (Conversation.name_by_model, Conversation.rename):
        take(Conversation.objects.get(), "Mine")
        assert title_of(alice, [WORK], session_key="s") == "Mine"


def test_tools_that_come_to_a_conversation_later_change_nothing(alice):
    first = [user("Plan a holiday.")]
    answer(ask(alice, first, session_key="s"), "Where?")
    more = [*first, assistant("Where?"), user("Look it up.")]
    ask(alice, more, params={"tools": TOOLS}, session_key="s")
    assert Conversation.objects.get().title == "Plan a holiday."


def test_a_search_finds_the_new_title(alice):
    title_of(alice, [NAMING], session_key="s")
    Unindexed.objects.all().delete()
    title_of(alice, [WORK], session_key="s")
    assert Unindexed.objects.count() == 1
