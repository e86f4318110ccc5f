"""Two at once, in the one order that hurts: the first has acted and not yet committed."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.test import RequestFactory
from django.utils import timezone

from conversations import record, review
from conversations.models import (
    AuditEvent,
    Conversation,
    Decision,
    Message,
    Review,
    Snapshot,
    Unsealed,
    Usage,
    User,
)
from conversations.record import Outcome
from conversations.review import ReviewRefused
from conversations.tests.calls import ask, assistant, person, turn, user
from conversations.tests.held import race
from conversations.tests.reviews import basis_of, decide, listed, talk, waiting

pytestmark = pytest.mark.django_db(transaction=True)


def reviewer(name: str, group: str = "Reviewer"):
    """A request of a reviewer."""
    request = RequestFactory().post("/")
    request.user = User.objects.create_user(name, is_staff=True)
    request.user.groups.add(Group.objects.get(name=group))
    return request


@pytest.fixture
def rita():
    return reviewer("rita")


@pytest.fixture
def ruth():
    return reviewer("ruth")


@pytest.mark.parametrize("queued", [True, False], ids=["in the queue", "chosen"])
def test_one_conversation_is_claimed_by_one(queued, rita, ruth):
    one = talk()
    if queued:
        waiting(one)
    first, second = race(
        lambda: review.claim(rita, one), lambda: review.claim(ruth, one), waits=True
    )
    assert first.assignee == rita.user
    assert isinstance(second, ReviewRefused)
    assert "rita is reviewing" in str(second)
    assert Review.objects.get().assignee == rita.user
    assert AuditEvent.objects.filter(action="assignment").count() == 1


def test_the_next_one_is_another_for_each(rita, ruth):
    one, two = talk(text="one"), talk(text="two")
    waiting(one, two)
    every = Review.objects.all()
    claims = race(
        lambda: review.claim_next(rita, every),
        lambda: review.claim_next(ruth, every),
        waits=False,
    )
    assert [each.conversation for each in claims] == [one, two]


def test_the_only_one_is_next_for_one(rita, ruth):
    waiting(talk())
    every = Review.objects.all()
    _, second = race(
        lambda: review.claim_next(rita, every),
        lambda: review.claim_next(ruth, every),
        waits=False,
    )
    assert second is None
    assert Review.objects.get().assignee == rita.user


@pytest.mark.parametrize("queued", [True, False], ids=["in the queue", "chosen"])
def test_a_decision_waits_for_a_claim(queued, rita, ruth):
    one = talk()
    if queued:
        waiting(one)
    _, second = race(
        lambda: review.claim(rita, one),
        lambda: decide(ruth, one),
        waits=True,
    )
    assert isinstance(second, ReviewRefused)
    assert not Decision.objects.exists()


@pytest.mark.parametrize("queued", [True, False], ids=["in the queue", "chosen"])
def test_of_two_decisions_on_what_both_saw_one_is_made(queued, rita, ruth):
    one = talk()
    if queued:
        waiting(one)
    seen = basis_of(one)
    _, second = race(
        lambda: decide(rita, one, basis=seen, reason="first"),
        lambda: decide(ruth, one, basis=seen, reason="second"),
        waits=True,
    )
    assert isinstance(second, ReviewRefused)
    assert "rita decided: no issue" in str(second)
    assert Decision.objects.get().reason == "first"
    assert Review.objects.get().decision == Decision.objects.get()


def test_one_form_sent_twice_at_once_is_one_decision(rita):
    one, page = talk(), uuid4()
    seen = basis_of(one)
    again = lambda: review.decide(  # noqa: E731
        rita,
        Decision(conversation=one, disposition="no_issue", reason="", note="", page=page),
        seen,
    )
    assert race(again, again, waits=True) == (True, False)
    assert Decision.objects.count() == 1
    assert AuditEvent.objects.filter(action="decision").count() == 1


def test_many_at_once_leave_out_what_is_being_claimed(rita):
    one, two = talk(text="one"), talk(text="two")
    waiting(one, two)
    lead = reviewer("lena", "Lead")
    _, decided = race(
        lambda: review.claim(rita, one),
        lambda: review.no_issue(lead, [one, two], listed(one, two), "sampled"),
        waits=True,
    )
    assert decided == 1
    assert Decision.objects.get().conversation == two


def test_a_lease_that_ends_frees_the_conversation(rita, ruth):
    one = talk()
    waiting(one)
    review.claim(rita, one)
    with pytest.raises(ReviewRefused):
        review.claim(ruth, one)
    assert review.claim_next(ruth, Review.objects.all()) is None
    Review.objects.update(lease=timezone.now() - timedelta(seconds=1))
    assert review.claim_next(ruth, Review.objects.all()).assignee == ruth.user
    Review.objects.update(lease=timezone.now() - timedelta(seconds=1))
    assert review.claim(rita, one).assignee == rita.user


def outcome(status: str, text: str) -> Outcome:
    replies = [assistant(text)]
    return Outcome(status=status, replies=replies, prompt_tokens=3, completion_tokens=2)


@pytest.mark.parametrize("late", ["interrupted", "ok"])
def test_a_call_is_closed_once(late):
    call = ask(person(), [user("question")])
    results = race(
        lambda: record.close(call, outcome("ok", "the answer")),
        lambda: record.close(call, outcome(late, "another")),
        waits=True,
    )
    assert results == (True, False)
    row = Snapshot.objects.get()
    assert (row.status, row.reply.text) == ("ok", "the answer")
    assert not Message.objects.filter(text="another").exists()
    assert Unsealed.objects.filter(subject=call.id).count() == 1
    conversation = Conversation.objects.get()
    assert (conversation.turns, conversation.prompt_tokens) == (1, 3)
    assert Usage.objects.get().calls == 1


def test_each_choice_hangs_from_its_own_question():
    """Also where two calls, each with two choices, ask at the same place."""
    first = ask(person(), [user("one")])
    later = [user("one"), assistant("a"), user("two")]
    choices = [assistant("a"), assistant("b")]
    record.close(first, Outcome(status="ok", replies=choices))
    second = ask(person(), later)
    record.close(second, Outcome(status="ok", replies=choices))
    for call, question in ((first, "one"), (second, "two")):
        replies = Message.objects.filter(snapshot=call.id, role="assistant")
        assert sorted(replies.values_list("text", "parent__text", "depth")) == [
            (text, question, call.head_depth + 1) for text in ("a", "b")
        ]
    third = turn(person(), [*later, assistant("b"), user("three")], "end")
    assert third.conversation_id == second.conversation
    path = third.head.parent
    assert (path.text, path.parent_id) == ("b", second.head)
