"""What a model is given to write a title of an agent's conversation: the person's questions."""

import pytest

from conversations.models import Conversation
from conversations.tests.calls import answer, ask, assistant, user
from proxy.jobs import titles

pytestmark = pytest.mark.django_db
TOOLS = {"tools": [{"type": "function", "function": {"name": "Read"}}]}
CONTEXT = "<environment_context>\n<cwd>/src</cwd>\n</environment_context>"


def read() -> str:
    return titles.read_questions(Conversation.objects.get())


def test_it_is_what_the_person_asked(alice):
    answer(ask(alice, [user("Write a title for this")], session_key="s"), "Tests")
    said = [user(CONTEXT), user("Fix the tests.")]
    answer(ask(alice, said, params=TOOLS, session_key="s"), "Done.")
    ask(alice, [*said, assistant("Done."), user("And lint.")], params=TOOLS, session_key="s")
    assert read() == "Fix the tests.\n\nAnd lint."


def test_questions_before_the_first_tools_stay(alice):
    answer(ask(alice, [user("Plan a holiday.")], session_key="s"), "Where?")
    more = [user("Plan a holiday."), assistant("Where?"), user("Look it up.")]
    ask(alice, more, params=TOOLS, session_key="s")
    assert read() == "Plan a holiday.\n\nLook it up."


def test_a_question_in_tags_is_one_where_there_is_no_other(alice):
    ask(alice, [user("<prompt>Fix it.</prompt>")])
    assert read() == "<prompt>Fix it.</prompt>"
