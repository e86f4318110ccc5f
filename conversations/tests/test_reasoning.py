"""What a model thought before it answered: shown folded, found, exported; never in the history."""

import pytest
from django.urls import reverse

from conversations.exports.transcript import read_lines
from conversations.models import Snapshot
from conversations.people.identity import Names
from conversations.proof import sealing
from conversations.record import rebuild, threads
from conversations.search import find, index
from conversations.tests.calls import answer, ask, turn, user
from conversations.tests.cast import signed_in

pytestmark = pytest.mark.django_db

THOUGHT = "I weigh the heron with care."
SPELLINGS = {
    "reasoning_content": {"reasoning_content": THOUGHT},
    "reasoning": {"reasoning": THOUGHT},
    "both": {"reasoning": THOUGHT, "reasoning_content": THOUGHT},
    "details": {"reasoning_details": [{"type": "reasoning.text", "text": THOUGHT, "index": 0}]},
    "text and details": {
        "reasoning": THOUGHT,
        "reasoning_details": [{"type": "reasoning.text", "text": THOUGHT, "index": 0}],
    },
    "a summary": {"reasoning_details": [{"type": "reasoning.summary", "summary": THOUGHT}]},
    "thinking blocks": {"thinking_blocks": [{"type": "thinking", "thinking": THOUGHT}]},
    "a part of the content": {
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]},
            {"type": "text", "text": "Four."},
        ]
    },
    "thinking (Ollama)": {"thinking": THOUGHT},
    "reasoning_text (Copilot)": {"reasoning_text": THOUGHT},
    "a summary in a part (Databricks)": {
        "content": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": THOUGHT}]},
            {"type": "text", "text": "Four."},
        ]
    },
    "a part by its own name": {
        "content": [{"type": "reasoning", "reasoning": THOUGHT}, {"type": "text", "text": "Four."}]
    },
    "a part with a content": {
        "content": [
            {"type": "reasoning", "content": [{"type": "reasoning_text", "text": THOUGHT}]},
            {"type": "text", "text": "Four."},
        ]
    },
    "a part with its words": {
        "content": [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": "Four."}]
    },
}


@pytest.fixture(params=SPELLINGS.values(), ids=SPELLINGS)
def call(request, alice) -> Snapshot:
    call = ask(alice, [user("Two and two?")])
    answer(call, "Four.", **request.param)
    index.index_messages([call.id])
    return Snapshot.objects.get(id=call.id)


def test_its_owner_sees_it_folded(call, alice):
    page = signed_in(alice).get(reverse("conversation", args=[call.conversation_id]))
    body = page.content.decode()
    assert body.count(THOUGHT) == 1
    before = body[: body.index(THOUGHT)]
    assert before.rpartition("<details")[2].count("</details>") == 0
    assert "Reasoning" in before
    assert "Four." in body


def test_a_reviewer_sees_it_folded(call, desk):
    page = desk.get(reverse("admin:conversations_conversation_change", args=[call.conversation_id]))
    _, reply = page.context["transcript"].turns
    kinds = [piece.kind for piece in reply.pieces]
    assert kinds[:2] == ["reasoning", "text"]
    assert reply.pieces[0].text == THOUGHT
    assert "<summary>Reasoning</summary>" in page.content.decode()


def test_it_is_found(call, alice):
    def search(words):
        return find.find_hits(words, find.Scope(owners=[alice.pk], for_owner=True)).hits

    [hit] = search("heron")
    assert hit.message == call.reply_id
    assert ("heron", True) in hit.snippet
    assert search("four")
    index.index_messages([call.id])  # idempotent
    assert len(search("heron")) == 1


@pytest.mark.parametrize(
    "message",
    [
        {"function_call": {"name": "f", "arguments": '{"bird": "heron"}'}},
        {"tool_calls": [{"type": "custom", "custom": {"name": "f", "input": "heron"}}]},
        {"content": [{"type": "refusal", "refusal": "No heron."}]},
        {"audio": {"id": "a", "transcript": "A heron."}},
    ],
)
def test_other_words_of_an_answer_are_found_too(message):
    assert "heron" in threads.extract_searchable_text({"role": "assistant"} | message)


def test_transcripts_that_leave_have_it(call, alice):
    sealing.seal()
    [line] = read_lines(call.conversation, 2**31 - 1, Names(alice))
    assert THOUGHT in [part.piece.text for part in line.turns[-1].parts]


def test_a_history_continues_without_it(call, alice):
    later = turn(alice, [user("Two and two?"), {"role": "assistant", "content": "Four."}], "Yes.")
    assert THOUGHT in str(rebuild.rebuild_response(call))
    assert THOUGHT not in str(rebuild.rebuild_request(later))


def test_answers_without_it_are_as_before(alice, desk):
    plain = turn(alice, [user("Hi")], "I gave my reasoning above; thinking is free.")
    page = desk.get(
        reverse("admin:conversations_conversation_change", args=[plain.conversation_id])
    )
    assert [piece.kind for piece in page.context["transcript"].turns[1].pieces] == ["text"]
