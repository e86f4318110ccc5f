"""Calls and decisions that overlap: what a decision did not see brings its conversation back."""

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import RequestFactory

from conversations import record
from conversations.models import Conversation, Decision, Review, Snapshot, User
from conversations.proof import sealing
from conversations.record import Call, Outcome
from conversations.tests.calls import answer, ask, turn, user
from conversations.tests.held import Apart, race
from conversations.tests.reviews import decide, talk

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rita():
    request = RequestFactory().post("/")
    request.user = User.objects.create_user("rita", is_staff=True)
    request.user.groups.add(Group.objects.get(name="Reviewer"))
    return request


@pytest.fixture
def one() -> Conversation:
    return talk()


def ask_more(one: Conversation) -> Call:
    return ask(one.owner, [user("more")], root=one.pk)


def seal_all() -> None:
    while sealing.seal():
        pass


def nothing_more(rita, one):
    decide(rita, one)


def closed_before(rita, one):
    answer(ask_more(one), "yes")
    decide(rita, one)


def closed_after(rita, one):
    call = ask_more(one)
    decide(rita, one)
    answer(call, "yes")


def older_than_the_newest_and_closed_after(rita, one):
    call = ask_more(one)
    turn(one.owner, [user("quicker")], "yes", root=one.pk)
    decide(rita, one)
    answer(call, "yes")


def sealed_in_between(rita, one):
    call = ask_more(one)
    turn(one.owner, [user("quicker")], "yes", root=one.pk)
    decide(rita, one)
    seal_all()
    answer(call, "yes")


def close_is_committed_after(rita, one):
    """Its time and its number in the worker's queue are of before the decision."""
    call = ask_more(one)
    turn(one.owner, [user("quicker")], "yes", root=one.pk)
    close = Apart(lambda: answer(call, "yes"), held=True)
    decide(rita, one)
    close.end()


def decision_is_committed_after(rita, one):
    """The call is sealed while the decision that did not see it is under way."""
    call = ask_more(one)
    decision = Apart(lambda: decide(rita, one), held=True)
    answer(call, "yes")
    seal_all()
    decision.end()


def decision_in_the_queue_is_committed_after(rita, one):
    Review.objects.create(conversation=one, source="sampled", due=datetime.now(UTC))
    decision_is_committed_after(rita, one)


def closed_long_ago(rita, one):
    """As an import writes it: all its times are of before."""
    ago = datetime.now(UTC) - timedelta(days=9)
    decide(rita, one)
    call = ask(one.owner, [user("long ago")], root=one.pk, opened=ago)
    assert record.close(call, Outcome(status="ok", closed=ago))


def failed_after(rita, one):
    call = ask_more(one)
    decide(rita, one)
    assert record.close(call, Outcome(status="failed", error="down"))


@pytest.mark.parametrize("overlap", [nothing_more, closed_before])
def test_what_was_seen_stays_decided(rita, one, overlap):
    overlap(rita, one)
    seal_all()
    assert Review.objects.get().state == "decided"
    assert not Review.objects.gone_on().exists()


@pytest.mark.parametrize(
    "overlap",
    [
        closed_after,
        older_than_the_newest_and_closed_after,
        sealed_in_between,
        close_is_committed_after,
        decision_is_committed_after,
        decision_in_the_queue_is_committed_after,
        closed_long_ago,
        failed_after,
    ],
)
def test_what_was_not_seen_brings_it_back(rita, one, overlap):
    overlap(rita, one)
    seal_all()
    row = Review.objects.get()
    assert (row.state, row.source, row.severity) == ("waiting", "reopened", 2)
    assert list(Review.objects.gone_on()) == [row]
    calls = Snapshot.objects.filter(conversation=one)
    assert sum(not row.decision.saw(call.id, call.closed) for call in calls) == 1
    decide(rita, one)
    seal_all()
    assert Review.objects.get().state == "decided"


def test_a_decision_that_saw_the_call_is_not_undone_by_an_older_one(rita, one):
    """The worker waits for a decision that is under way, and looks at what that one saw."""
    decide(rita, one)
    turn(one.owner, [user("more")], "yes", root=one.pk)
    race(lambda: decide(rita, one), seal_all, waits=True)
    assert Review.objects.get().state == "decided"


# Decisions of older versions ----------------------------------------------------------------------


def decide_as_before(one: Conversation) -> None:
    """A decision that does not say what it saw, as they were made before."""
    rolf = User.objects.create_user("rolf")
    seen = Snapshot.objects.filter(conversation=one).exclude(status="pending").latest("id")
    decision = Decision.objects.create(
        conversation=one, reviewer=rolf, disposition="no_issue", newest=seen.id
    )
    due = datetime.now(UTC)
    Review.objects.create(
        conversation=one, source="sampled", state="decided", decision=decision, due=due
    )


def test_a_call_that_overlapped_an_older_decision_brings_it_back(one):
    call = ask_more(one)
    turn(one.owner, [user("quicker")], "yes", root=one.pk)
    decide_as_before(one)
    seal_all()
    assert Review.objects.get().state == "decided"
    answer(call, "yes")
    seal_all()
    assert Review.objects.get().source == "reopened"


@pytest.mark.parametrize("overlaps", [True, False])
def test_the_upgrade_brings_back_what_was_missed(one, overlaps):
    call = ask_more(one)
    turn(one.owner, [user("quicker")], "yes", root=one.pk)
    if not overlaps:
        answer(call, "yes")
    decide_as_before(one)
    if overlaps:
        answer(call, "yes")
    with connection.cursor() as cursor:
        cursor.execute(import_module("conversations.migrations.0044_unseen_calls").REOPEN)
    assert Review.objects.get().state == ("waiting" if overlaps else "decided")
