"""What word hashes cost, and those of replies that an older version recorded."""

from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest

from conversations.models import Snapshot, Unhashed, WordHash
from conversations.record import old_words
from conversations.tests.calls import answer, ask, assistant, person, turn, user
from conversations.tests.trimmed.shapes import RESPELLED, follow_up, read_origins, reply_with
from conversations.tests.unguarded import unguarded

pytestmark = pytest.mark.django_db


@contextmanager
def counted(monkeypatch):
    """Count the statements of the record: they do not pass Django's cursor."""
    counts: list[str] = []
    execute = psycopg.Cursor.execute

    def count(cursor, sql, *values, **how):
        counts.append(sql)
        return execute(cursor, sql, *values, **how)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", count)
        yield counts


def count_statements(monkeypatch, owner, messages, text="Yes.", **how):
    with counted(monkeypatch) as counts:
        answer(ask(owner, messages, **how), text)
    return len(counts)


def test_a_call_whose_answers_are_known_asks_no_more_than_before(monkeypatch):
    alice = person()
    opener, known = [user("a")], [user("a"), assistant("A."), user("b")]
    turn(alice, [user("z")], "Z.")  # its owner's seed is read once
    assert count_statements(monkeypatch, alice, opener, "A.") == 2  # open, close
    assert count_statements(monkeypatch, alice, known) == 3  # and one look for the conversation
    assert count_statements(monkeypatch, alice, known) == 3
    assert count_statements(monkeypatch, alice, known, session_key="s") == 3
    assert count_statements(monkeypatch, alice, known, session_key="s") == 3
    respelled = [user("a"), assistant("A.\n", annotations=[]), user("b")]
    assert count_statements(monkeypatch, alice, respelled) == 3


def test_a_trimmed_history_costs_two_looks_more(monkeypatch):
    alice = person()
    turn(alice, [user("a")], "<think>Hm.</think>A.")
    trimmed = [user("a"), assistant("A."), user("b")]
    assert count_statements(monkeypatch, alice, trimmed) == 5
    claimed = [user("a"), assistant("Never said."), user("b")]
    assert count_statements(monkeypatch, alice, claimed) == 4
    assert count_statements(monkeypatch, alice, claimed) == 3  # known as a claim


def test_a_reply_that_nothing_can_be_trimmed_of_needs_no_row():
    alice = person()
    turn(alice, [user("a")], "A.")
    turn(alice, [user("a"), assistant("A."), user("b")], "B.")
    assert not WordHash.objects.exists()
    turn(alice, [user("a"), assistant("A."), user("b")], "<think>Hm.</think>C.")
    assert WordHash.objects.count() == 1


@pytest.fixture
def old_conversations():
    """Two conversations for each client, as a version without word hashes recorded them."""
    alice, robot = person(), person("robot")
    for client, (reply, _) in RESPELLED.items():
        for owner, how in ((alice, {}), (robot, {"end_user": "ann"})):
            reply_with(owner, [user(client)], reply, **how)
            turn(owner, [user(client), reply, *follow_up(reply)], "Yes.", **how)
    hashes = {row.message_id: bytes(row.hash) for row in WordHash.objects.all()}
    assert len(hashes) > len(RESPELLED)
    WordHash.objects.all().delete()
    conversations = set(Snapshot.objects.values_list("conversation", flat=True))
    Unhashed.objects.bulk_create([Unhashed(conversation=each) for each in conversations])
    return hashes


def test_replies_of_an_older_version_get_what_they_would_have_got(old_conversations, monkeypatch):
    monkeypatch.setattr(old_words, "AT_ONCE", 7)
    waiting = Unhashed.objects.count()
    assert old_words.fill_word_hashes() == 7
    assert Unhashed.objects.count() == waiting - 7
    assert 0 < WordHash.objects.count() < len(old_conversations)
    while old_words.fill_word_hashes():
        pass
    filled = {row.message_id: bytes(row.hash) for row in WordHash.objects.all()}
    assert filled == old_conversations
    for client, (_, back) in RESPELLED.items():
        history = [user(client), back, *follow_up(back), assistant("Yes.", name="m"), user("more")]
        for owner, how in ((person(), {}), (person("robot"), {"end_user": "ann"})):
            assert read_origins(turn(owner, history, "More.", **how)) == ["relayed", "relayed"]


def test_to_fill_again_changes_nothing(old_conversations):
    """A worker was killed between its replies and its end; a conversation may be gone by then."""
    waiting = list(Unhashed.objects.all())
    old_words.fill_word_hashes()
    Unhashed.objects.bulk_create([*waiting, Unhashed(conversation=uuid4())])
    while old_words.fill_word_hashes():
        pass
    filled = {row.message_id: bytes(row.hash) for row in WordHash.objects.all()}
    assert filled == old_conversations


def test_an_erased_message_takes_its_hash_along():
    alice = person()
    call = turn(alice, [user("a")], "<think>Hm.</think>A.")
    with unguarded():
        Snapshot.objects.filter(id=call.id).update(reply=None)
        call.reply.delete()
    assert not WordHash.objects.exists()
