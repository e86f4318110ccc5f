"""What an assessment took no account of has the conversation assessed again, whatever overlaps."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from conversations import record
from conversations.models import Conversation, Snapshot
from conversations.record import Outcome
from conversations.report import assessments
from conversations.tests.calls import answer, ask, assistant, person, turn, user
from conversations.tests.cast import client_of
from proxy.jobs import metadata

pytestmark = pytest.mark.django_db
TODAY = datetime.now(UTC).date()


@pytest.fixture
def hers() -> Conversation:
    return turn(person("alice"), [user("How?")], "So.").conversation


def assess(conversation: Conversation) -> None:
    call = record.open(metadata.build_request(conversation))
    assert record.close(call, Outcome(status="ok", response={"id": "c"}))


def nothing(hers):
    assess(hers)


def answered_after(hers):
    call = ask(hers.owner, [user("slow")], root=hers.pk)
    turn(hers.owner, [user("quick")], "yes", root=hers.pk)
    assess(hers)
    answer(call, "at last")


def answered_before_by_its_time(hers):
    """Its close was committed after the assessment, and says a time before it."""
    call = ask(hers.owner, [user("slow")], root=hers.pk)
    turn(hers.owner, [user("quick")], "yes", root=hers.pk)
    before = datetime.now(UTC)
    assess(hers)
    reply = assistant("at last")
    assert record.close(call, Outcome(status="ok", replies=[reply], closed=before))


def answered_meanwhile(hers):
    call = record.open(metadata.build_request(hers))
    turn(hers.owner, [user("quick")], "yes", root=hers.pk)
    assert record.close(call, Outcome(status="ok", response={"id": "c"}))


def imported(hers):
    assess(hers)
    ago = datetime.now(UTC) - timedelta(days=9)
    call = ask(hers.owner, [user("long ago")], root=hers.pk, opened=ago)
    assert record.close(call, Outcome(status="ok", replies=[assistant("x")], closed=ago))


def of_an_older_version(hers):
    """A call that does not say how much it took account of."""
    call = ask(hers.owner, [user("slow")], root=hers.pk)
    turn(hers.owner, [user("quick")], "yes", root=hers.pk)
    request = metadata.build_request(hers)
    request.covers = None
    record.close(record.open(request), Outcome(status="ok", response={"id": "c"}))
    assert not assessments.due(hers)
    answer(call, "at last")


@pytest.mark.parametrize(
    ("overlap", "is_due"),
    [
        (nothing, False),
        (answered_after, True),
        (answered_before_by_its_time, True),
        (answered_meanwhile, True),
        (imported, True),
        (of_an_older_version, True),
    ],
)
def test_it_is_due_and_said_where_something_was_answered_since(hers, overlap, is_due):
    assert assessments.due(hers)
    overlap(hers)
    assert assessments.due(hers) == is_due
    assert assessments.sample(TODAY, 100, 10) == ([hers.pk] if is_due else [])
    path = reverse("admin:conversations_conversation_change", args=[hers.pk])
    [assessment] = client_of("lea", "Lead").get(path).context["assessments"]
    assert assessment.overtaken == is_due
    assess(hers)
    assert not assessments.due(hers)


def test_it_is_about_what_was_answered_last(hers):
    call = ask(hers.owner, [user("slow")], root=hers.pk)
    turn(hers.owner, [user("quick")], "yes", root=hers.pk)
    answer(call, "at last")
    ask(hers.owner, [user("no answer yet")], root=hers.pk)
    request = metadata.build_request(hers)
    assert "at last" in str(request.body)
    assert request.covers == Snapshot.objects.filter(status="ok").count() == 3
