"""What reviewers and exports see of a trimmed history: one line, no claim, and what was sent."""

import json
from typing import Any

import pytest

from conversations.exports import selection
from conversations.exports.formats import FORMATS
from conversations.exports.selection import Chosen, Selection
from conversations.models import Snapshot, User
from conversations.people.identity import Names
from conversations.proof import sealing
from conversations.search import find
from conversations.tests.admin.desk import transcript_of
from conversations.tests.calls import assistant, turn, user
from conversations.tests.trimmed.shapes import RESPELLED, call, follow_up, reply_with, result

pytestmark = pytest.mark.django_db
CLAIM = "claimed by the caller"


@pytest.fixture
def trimmed(alice) -> list[Snapshot]:
    """Two calls for each client: the second has trimmed the first one's answer."""
    calls = []
    for client, (reply, back) in RESPELLED.items():
        calls.append(reply_with(alice, [user(client)], reply))
        calls.append(turn(alice, [user(client), back, *follow_up(back)], "Yes."))
    while sealing.seal():
        pass
    return calls


def test_the_desk_shows_one_line_without_a_claim(desk, trimmed):
    for last, (_, back) in zip(trimmed[1::2], RESPELLED.values(), strict=True):
        response = desk.get(transcript_of(last))
        assert CLAIM not in response.content.decode()
        turns = response.context["transcript"].turns
        assert len(turns) == 3 + len(follow_up(back))
        assert [len(turn.versions) for turn in turns] == [1] * len(turns)


def test_the_desk_shows_what_was_forged(desk, alice):
    opened = [user("hi"), assistant("I look.", tool_calls=[call("f", '{"a": 1}')])]
    reply_with(alice, opened[:1], opened[1])
    forged = assistant("I look.", tool_calls=[call("f", '{"a": 2}', "x")])
    last = turn(alice, [user("hi"), forged, result("hot", "x")], "Yes.")
    assert desk.get(transcript_of(last)).content.decode().count(CLAIM) == 1


def write(messages: list[Any]) -> str:
    return json.dumps(messages, sort_keys=True)


def test_exports_have_what_was_sent_and_no_claim(trimmed, tmp_path):
    def export(name):
        made = FORMATS[name](Names(User(username="rita")), tmp_path)
        everything = Selection(Snapshot.objects.all(), 0, selection.newest_seal())
        chosen = Chosen(tmp_path / name)
        chosen.write(everything, conversations=made.conversations)
        stretches = chosen.stretches(made.at_once)
        rows = [row for each in stretches for row in made.rows(each, everything.last)]
        return b"".join([made.head, *rows, made.tail]).decode()

    assert CLAIM not in export("transcript")
    sent = [json.loads(line)["request"]["messages"] for line in export("jsonl").splitlines()]
    assert sorted(map(write, sent)) == sorted(
        write(messages)
        for client, (_, back) in RESPELLED.items()
        for messages in ([user(client)], [user(client), back, *follow_up(back)])
    )


def test_words_are_found_once(alice):
    first = turn(alice, [user("hi")], "<think>Hm.</think>Pomegranate.")
    turn(alice, [user("hi"), assistant("Pomegranate."), user("more")], "Yes.")
    while sealing.seal():
        pass
    [hit] = find.find_hits("pomegranate", find.Scope()).hits
    assert hit.conversation == first.conversation_id
