"""The queue and the decisions: who may, who holds what, and what comes back."""

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import RequestFactory
from django.utils import timezone

from conversations import review
from conversations.models import AuditEvent, Decision, Review, SamplingPolicy, User
from conversations.proof import sealing
from conversations.review import ReviewRefused
from conversations.tests.calls import assistant, person, turn, user
from conversations.tests.reviews import basis_of, decide, listed, talk, waiting

ESCALATED = Decision.Disposition.ESCALATED


def as_(name: str, *groups: str):
    """A request of a member of staff."""
    request = RequestFactory().post("/")
    request.user = User.objects.get_or_create(username=name, defaults={"is_staff": True})[0]
    request.user.groups.add(*Group.objects.filter(name__in=groups or ["Reviewer"]))
    return request


@pytest.mark.django_db
def test_claim_decide_and_the_next():
    first, second = talk(text="one"), talk(text="two")
    waiting(first, second)
    rita = as_("rita")
    assert review.claim_next(rita, Review.objects.all()).conversation == first
    assert review.claim_next(as_("rolf"), Review.objects.all()).conversation == second
    assert review.claim_next(as_("rosa"), Review.objects.all()) is None
    with pytest.raises(ReviewRefused, match="rita is reviewing"):
        decide(as_("rolf"), first)
    decide(rita, first, note="fine")
    row = Review.objects.get(conversation=first)
    assert (row.state, row.assignee, row.decision.note) == ("decided", None, "fine")
    assert list(
        AuditEvent.objects.about(first.pk).values_list("action", flat=True).order_by("id")
    ) == ["assignment", "decision"]


@pytest.mark.django_db
def test_nobody_reviews_their_own():
    own = talk("rita")
    waiting(own)
    rita, lea = as_("rita"), as_("lea", "Lead")
    assert review.claim_next(rita, Review.objects.all()) is None
    for attempt in (
        lambda: review.claim(rita, own),
        lambda: decide(rita, own),
        lambda: review.assign(lea, own, rita.user),
    ):
        with pytest.raises(ReviewRefused, match=r"your own conversation|rita owns this"):
            attempt()
    assert review.no_issue(as_("rita", "Lead"), [own], listed(own), "routine") == 0
    assert not Decision.objects.exists()


@pytest.mark.django_db
def test_a_lease_ends_and_an_assignment_does_not():
    one, two = talk(text="one"), talk(text="two")
    waiting(one, two)
    review.claim(as_("rita"), one)
    review.assign(as_("lea", "Lead"), two, as_("rita").user)
    assert review.claim_next(as_("rolf"), Review.objects.all()) is None
    Review.objects.filter(conversation=one).update(lease=timezone.now() - timedelta(seconds=1))
    assert review.claim_next(as_("rolf"), Review.objects.all()).conversation == one
    with pytest.raises(ReviewRefused):
        review.release(as_("rita"), one)
    review.release(as_("rita"), two)
    assert review.claim_next(as_("rosa"), Review.objects.all()).conversation == two
    with pytest.raises(ReviewRefused, match="is not a reviewer"):
        review.assign(as_("lea", "Lead"), two, person("alice"))


@pytest.mark.django_db
def test_what_was_not_seen_is_not_decided_and_a_later_turn_reopens():
    talked = talk()
    rita, seen = as_("rita"), basis_of(talked)
    turn(person("alice"), [user("hi"), assistant("hello"), user("and now the secret")], "no")
    with pytest.raises(ReviewRefused, match="has continued"):
        decide(rita, talked, basis=seen)
    decide(rita, talked)
    sealing.seal()
    assert Review.objects.get(conversation=talked).state == "decided"
    turn(
        person("alice"),
        [user("hi"), assistant("hello"), user("and now the secret"), assistant("no"), user("yes")],
        "no",
    )
    sealing.seal()
    row = Review.objects.get(conversation=talked)
    assert (row.state, row.source, row.assignee) == ("waiting", "reopened", None)
    assert row.due > timezone.now()


@pytest.mark.django_db
def test_an_escalation_waits_for_a_lead():
    talked = talk()
    lea = as_("lea", "Lead")
    decide(as_("rita"), talked, ESCALATED, reason="names a client", addressee=lea.user)
    assert review.claim_next(as_("rolf"), Review.objects.all()) is None
    with pytest.raises(ReviewRefused, match="Only a Lead can decide"):
        decide(as_("rita"), talked)
    row = Review.objects.get(conversation=talked)
    assert (row.state, row.source, row.assignee, row.lease) == (
        "waiting",
        "escalated",
        lea.user,
        None,
    )
    decide(lea, talked, Decision.Disposition.VIOLATION, reason="a client is named")
    assert [each.disposition for each in Decision.objects.order_by("id")] == [
        "escalated",
        "violation",
    ]


@pytest.mark.django_db
def test_many_at_once_are_the_leads_with_a_reason_and_a_cap():
    talks = [talk(text=str(n)) for n in range(3)]
    review.claim(as_("rita"), talks[0])
    lea = as_("lea", "Lead")
    with pytest.raises(ReviewRefused, match="reason"):
        review.no_issue(lea, talks, listed(*talks), " ")
    with pytest.raises(ReviewRefused, match="at most"):
        review.no_issue(lea, talks * 100, listed(*talks), "routine")
    assert review.no_issue(lea, talks, listed(*talks), "routine") == 2
    assert Decision.objects.filter(reviewer=lea.user, reason="routine").count() == 2


@pytest.mark.django_db
def test_a_policy_draws_what_its_seed_says_and_nothing_older():
    older = talk(text="older")
    policy = SamplingPolicy.objects.create(
        percent=Decimal("50"), model="m", seed=b"s" * 32, made_by=as_("lea", "Lead").user
    )
    SamplingPolicy.objects.create(
        percent=Decimal("100"), department="Finance", seed=b"t" * 32, made_by=policy.made_by
    )
    talks = [talk(text=str(n)) for n in range(40)]
    while sealing.seal():
        pass
    chosen = set(Review.objects.values_list("conversation", flat=True))
    assert chosen == {
        each.pk for each in talks if review.drawn(policy.seed, each.pk, policy.percent)
    }
    assert 8 <= len(chosen) <= 32
    assert older.pk not in chosen
    assert set(Review.objects.values_list("policy", "source")) == {(policy.pk, "sampled")}
    assert not review.drawn(b"s" * 32, older.pk, Decimal(0))
    assert review.drawn(b"s" * 32, older.pk, Decimal(100))


@pytest.mark.django_db(transaction=True)
def test_six_reviewers_claim_four_hundred_and_nothing_twice():
    waiting(*(talk(text=str(n)) for n in range(400)))
    requests = [as_(f"reviewer{n}") for n in range(6)]
    claimed: list[list] = [[] for _ in requests]

    def work(number: int) -> None:
        try:
            while found := review.claim_next(requests[number], Review.objects.all()):
                claimed[number].append(found.pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [pk for one in claimed for pk in one]
    assert len(every) == len(set(every)) == 400
    assert all(claimed)
