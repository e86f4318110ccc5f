"""The chain over closed calls, the search index, and the tree that pages read."""

from hashlib import sha256

import pytest
from django.db import connection

from conversations import record
from conversations.models import Message, Seal, SearchEntry, Snapshot, Unsealed
from conversations.proof import sealing
from conversations.reading import tree
from conversations.search import entries, find
from conversations.tests.calls import answer, ask, assistant, person, turn, user

pytestmark = pytest.mark.django_db


def test_seals_are_gapless_and_linked():
    calls = [ask(person(), [user(f"question {i}")]) for i in range(5)]
    for call in reversed(calls[1:]):
        answer(call, "ok")
    assert sealing.seal() == 4
    answer(calls[0], "ok")
    assert (sealing.seal(), sealing.seal()) == (1, 0)
    seals = list(Seal.objects.order_by("number"))
    assert [seal.number for seal in seals] == [1, 2, 3, 4, 5]
    assert [seal.subject for seal in seals] == [
        call.id for call in [*reversed(calls[1:]), calls[0]]
    ]
    link = b""
    for seal in seals:
        assert (
            bytes(seal.digest)
            == sha256(
                sealing.read_texts([("snapshot", seal.subject)])[seal.subject].encode()
            ).digest()
        )
        sealed = seal.sealed.isoformat(timespec="microseconds")
        head = f"{seal.number} snapshot {seal.subject} {sealed} "
        link = sha256(link + head.encode() + bytes(seal.digest)).digest()
        assert bytes(seal.link) == link
    assert not Unsealed.objects.exists()


def test_pending_calls_are_not_sealed():
    ask(person(), [user("hi")])
    assert sealing.seal() == 0
    assert not Seal.objects.exists()


def test_one_writer_at_a_time(transactional_db):
    import threading

    turn(person(), [user("hi")], "Hello!")
    sealed = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [sealing.LOCK])

        def other():
            sealed.append(sealing.seal())
            connection.close()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        cursor.execute("SELECT pg_advisory_unlock(%s)", [sealing.LOCK])
    assert sealed == [0]
    assert sealing.seal() == 1


def hits(query, **how):
    return [
        (hit.conversation, "".join(text for text, marked in hit.snippet if marked))
        for hit in find.find_hits(query, find.Scope(**how)).hits
    ]


def test_search_finds_words_of_both_sides_once():
    alice = person()
    one = turn(
        alice,
        [{"role": "system", "content": "Be a biologist."}, user("Do hedgehogs hibernate?")],
        "Yes, hedgehogs sleep.",
    )
    turn(
        alice,
        [
            user("Do hedgehogs hibernate?"),
            assistant("Yes, hedgehogs sleep.", refusal=None),
            user("How long?"),
        ],
        "Five months.",
    )
    other = turn(person("bob"), [user([{"type": "text", "text": "parts about hedgehogs"}])], "ok")
    sealing.seal()
    assert hits("hedgehogs") == [
        (other.conversation_id, "hedgehogs"),
        (one.conversation_id, "hedgehogs"),
    ]
    hers = {"owners": [alice.pk], "for_owner": True}
    assert [c for c, _ in hits("hedgehogs", **hers)] == [one.conversation_id]
    assert hits('"five months" -nothing') == [(one.conversation_id, "Five months")]
    assert hits("hedgehogs -parts -hibernate -sleep") == []
    one.conversation.hide()
    assert hits("hedgehogs", **hers) == []


@pytest.mark.parametrize(
    "query", ["", " ", "\0", "'", '"', "& | !", "a" * 5000, "<b>", "\\", ":*", "%s"]
)
def test_no_query_is_too_odd(query):
    turn(person(), [user("hi")], "Hello!")
    sealing.seal()
    assert isinstance(hits(query), list)


def test_a_snippet_tells_what_matched_whatever_the_text_holds():
    turn(person(), [user("<b>bold\1\2</b> & needle 'quoted'")], "ok")
    sealing.seal()
    [hit] = find.find_hits("needle", find.Scope()).hits
    assert ("needle", True) in hit.snippet
    assert "".join(text for text, _ in hit.snippet) == "<b>bold\1\2</b> & needle 'quoted'"


def test_long_texts_are_searchable_to_their_end():
    turn(person(), [user("filler " * 40_000 + "needle")], "ok")
    sealing.seal()
    assert SearchEntry.objects.filter(message__role="user").count() > 1
    assert len(hits("needle")) == 1


def test_words_that_cannot_be_indexed_hold_up_no_seal(monkeypatch, caplog):
    for name in ("MOST_PLACES", "MOST_POSITIONS", "MOST_CHARACTERS"):
        monkeypatch.setattr(entries, name, 10_000_000)
    turn(person(), [user(" ".join(f"w{i:0>40}" for i in range(30_000)))], "too many words")
    turn(person(), [user("needle")], "ok")
    assert sealing.seal() == 2
    assert "cannot be indexed" in caplog.text
    assert len(hits("needle")) == 1


def grown(conversation):
    return tree.build_tree(conversation.messages.all(), conversation.snapshots.all())


def texts(line):
    return [node.message.text for node in line]


def test_the_tree_shows_each_message_once_and_every_branch():
    alice = person()
    first = turn(alice, [{"role": "system", "content": "Be brief."}, user("hi")], "Hello!")
    base = [user("hi"), assistant("Hello!", refusal=None)]
    one = turn(alice, [*base, user("joke?")], "One.")
    two = turn(alice, [*base, user("joke?")], "Two.")
    riddle = turn(alice, [user("hi"), assistant(" Hello!"), user("riddle?")], "Three.")
    grove = grown(first.conversation)
    assert texts(grove.preambles) == ["Be brief."]
    assert texts(grove.line()) == ["hi", "Hello!", "riddle?", "Three."]
    assert texts(grove.line(one.reply_id)) == ["hi", "Hello!", "joke?", "One."]
    assert texts(grove.line(one.head_id)) == ["hi", "Hello!", "joke?", "Two."]
    node = grove.nodes[two.reply_id]
    assert ([sibling.message.text for sibling in node.siblings], node.version) == (
        ["One.", "Two."],
        2,
    )
    assert [call.id for call in grove.nodes[riddle.reply_id].calls] == [riddle.id]
    assert len(grove.nodes) == Message.objects.count()
    assert len({id(node) for node in grove.nodes.values()}) == 8


def test_a_failed_call_hangs_at_its_question():
    call = ask(person(), [user("hi")])
    record.close(call, record.Outcome(status="failed", error="No."))
    grove = grown(Snapshot.objects.get().conversation)
    [node] = grove.line()
    assert [snapshot.error for snapshot in node.calls] == ["No."]
