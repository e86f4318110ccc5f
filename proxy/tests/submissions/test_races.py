"""Two workers at one feed, the first transaction held open; and a worker whose lease ends."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from conversations.proof import sealing
from conversations.tests.calls import person, turn, user
from conversations.tests.held import race
from proxy.jobs import submissions
from proxy.models import Submission

pytestmark = pytest.mark.usefixtures("on")


@pytest.fixture
def sealed(feed):
    """Three calls that the receiver gets."""
    for text in ("one", "two", "three"):
        turn(person(), [user(text)], "ok")
    while sealing.seal():
        pass


def numbers(claimed: list[Submission]) -> list[int]:
    return [submission.number for submission in claimed]


def test_the_log_is_taken_up_by_one(sealed):
    _, second = race(submissions.take_up, submissions.take_up, waits=False)
    assert second is False
    assert Submission.objects.count() == 3


def test_a_call_is_claimed_by_one(sealed):
    submissions.take_up()
    due = numbers(Submission.objects.due())
    first, second = race(lambda: submissions.claim(2), lambda: submissions.claim(2), waits=False)
    assert (numbers(first), numbers(second)) == (due[:2], due[2:])
    assert submissions.claim(3) == []


def test_a_lease_that_ends_gives_its_calls_to_another(sealed):
    submissions.take_up()
    first = numbers(submissions.claim(3))
    assert submissions.claim(3) == []
    Submission.objects.update(due=Now() - timedelta(seconds=1))
    assert numbers(submissions.claim(3)) == first
