"""A second reviewer decides a share of decisions, too; how long and how much was read is kept."""

import csv
import io
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from conversations.ids import make_id
from conversations.models import AuditEvent, Conversation, Decision, OtherName, Review, User
from conversations.proof import sealing
from conversations.tests.admin.desk import text
from conversations.tests.calls import assistant, person, turn, user
from conversations.tests.cast import client_of
from conversations.tests.reviews import (
    QUEUE,
    messages_of,
    open_form,
    post_decision,
    shown_list,
    talk,
    transcript_of,
    waiting,
)
from conversations.tests.unguarded import unguarded

pytestmark = pytest.mark.django_db
REPORT, DECISIONS = "/admin/reviewers/", "/admin/conversations/decision/"


@pytest.fixture(autouse=True)
def everything_is_drawn(settings) -> None:
    settings.SECOND_LINE_PERCENT = 100.0


@pytest.fixture
def rolf(db) -> Client:
    return client_of("rolf", "Reviewer")


@pytest.fixture
def lea(db) -> Client:
    return client_of("lea", "Lead")


@pytest.fixture
def checked(desk) -> Conversation:
    """What rita decided, and what waits for another now."""
    conversation = talk()
    waiting(conversation)
    post_decision(desk, conversation)
    return conversation


def review_of(conversation: Conversation) -> Review:
    return Review.objects.get(conversation=conversation)


# Who is second ------------------------------------------------------------------------------------


def test_a_decision_that_was_drawn_waits_for_another(checked, rolf):
    first = Decision.objects.get()
    assert first.drawn
    assert (review_of(checked).state, review_of(checked).source) == ("waiting", "second")
    assert rolf.get(QUEUE).context["rows"][0].conversation == checked
    post_decision(rolf, checked, disposition="false_positive")
    second = Decision.objects.exclude(pk=first.pk).get()
    assert (second.second_of, second.drawn) == (first, False)
    assert review_of(checked).state == "decided"


def joined(accounts: str) -> Client:
    """A client of an account that is rita's, by way of another."""
    rita = User.objects.get(username="rita")
    client, between = client_of(accounts, "Lead"), person("between")
    second = User.objects.get(username=accounts)
    OtherName.objects.create(kind="account", account=between, person=rita)
    OtherName.objects.create(kind="account", account=second, person=between)
    return client


@pytest.mark.parametrize("is_other_account", [False, True])
def test_nobody_is_the_second_of_themselves(checked, desk, lea, is_other_account):
    client = joined("rita-admin") if is_other_account else desk
    name = "rita-admin" if is_other_account else "rita"
    at = f"{QUEUE}{checked.pk}/"
    for tab in ("free", "all", "overdue"):
        assert not client.get(QUEUE, {"of": tab}).context["rows"]
    client.post(f"{QUEUE}next/", {"of": "free"})
    refused = [
        client.post(f"{at}claim/", follow=True),
        post_decision(client, checked, disposition="no_issue"),
    ]
    for response in refused:
        assert "You decided this conversation" in messages_of(response)[-1]
    lea.post(f"{at}assign/", {"to": name})
    assert Decision.objects.count() == 1
    assert review_of(checked).assignee is None


def test_no_bulk_is_a_second_look(checked, lea):
    chosen = {"conversation": [checked.pk], "reason": "fine", "shown": shown_list(lea)}
    lea.post(f"{QUEUE}no-issue/", chosen)
    assert Decision.objects.count() == 1


def test_the_second_reads_all_of_it_whatever_the_first_read(desk, rolf):
    first = turn(person("alice"), [user("one")], "two")
    line = [user("one"), assistant("two"), user("three")]
    turn(person("alice"), line, "four")
    turn(person("alice"), [*line[:2], user("another")], "five")
    conversation = first.conversation
    waiting(conversation)
    for at in conversation.messages.filter(role="assistant"):
        desk.get(f"{transcript_of(conversation)}?at={at.pk}")
    post_decision(desk, conversation)
    assert review_of(conversation).source == "second"
    response = post_decision(rolf, conversation)
    assert "reads the whole conversation" in messages_of(response)[-1]
    for at in conversation.messages.filter(role="assistant"):
        rolf.get(f"{transcript_of(conversation)}?at={at.pk}")
    post_decision(rolf, conversation)
    assert Decision.objects.exclude(second_of=None).get().reviewer.username == "rolf"


@pytest.mark.parametrize(
    ("percent", "drawn"), [(0.0, 0), (100.0, 20), (50.0, None)], ids=["none", "all", "half"]
)
def test_as_many_are_drawn_as_are_set(lea, settings, percent, drawn):
    settings.SECOND_LINE_PERCENT = percent
    conversations = [talk(text=f"{number}") for number in range(20)]
    waiting(*conversations)
    chosen = {"conversation": [each.pk for each in conversations], "reason": "routine"}
    lea.post(f"{QUEUE}no-issue/", chosen | {"shown": shown_list(lea)})
    found = Decision.objects.filter(drawn=True).count()
    assert Decision.objects.filter(drawn__isnull=False).count() == 20
    assert found == drawn if drawn is not None else 1 <= found <= 19
    assert Review.objects.second().count() == found


@pytest.mark.parametrize(
    "fields",
    [
        {"disposition": "escalated", "reason": "look", "addressee": "lea"},
        {
            "disposition": "needs_information",
            "addressee": "lea",
            "until": timezone.localdate() + timedelta(days=2),
        },
    ],
)
def test_what_is_handed_on_is_not_drawn(desk, lea, fields):
    conversation = talk()
    post_decision(desk, conversation, **fields)
    assert Decision.objects.get().drawn is False
    assert review_of(conversation).source != "second"


# What is on the decision --------------------------------------------------------------------------


def test_a_decision_says_how_long_it_took_and_how_much_was_read(desk, monkeypatch):
    conversation = talk(text="x" * 400)
    waiting(conversation)
    form = open_form(desk, conversation)
    now = timezone.now() + timedelta(seconds=90)
    monkeypatch.setattr("django.utils.timezone.now", lambda: now)
    post_decision(desk, conversation, form)
    made = Decision.objects.get()
    assert 88 <= made.seconds <= 92
    assert 400 < made.length < 600


def test_a_later_decision_counts_from_its_own_first_page(desk, rolf, settings, monkeypatch):
    settings.SECOND_LINE_PERCENT = 0.0
    conversation = talk(text="x" * 400)
    post_decision(desk, conversation)
    later = timezone.now() + timedelta(days=3)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    turn(person("alice"), [user("x" * 400), assistant("hello"), user("and?")], "so")
    post_decision(desk, conversation)
    first, second = Decision.objects.order_by("made")
    assert first.seconds < 60
    assert second.length > first.length
    assert second.seconds is not None


@pytest.mark.parametrize("name", ["seconds", "length", "drawn", "second_of"])
def test_it_is_sealed(checked, rolf, name):
    post_decision(rolf, checked)
    row = Decision.objects.exclude(second_of=None).get()
    sealed = [("decision", row.pk)]
    before = sealing.read_digests(sealed)
    others = {"seconds": 777, "length": 777, "drawn": True, "second_of": row.pk}
    with unguarded():
        Decision.objects.filter(pk=row.pk).update(**{name: others[name]})
    assert sealing.read_digests(sealed) != before


# The report ---------------------------------------------------------------------------------------


@pytest.fixture
def decided(desk, rolf) -> list[Decision]:
    """Of rita's four decisions three were drawn, and two of these checked; one alike."""
    made = []
    for number, (seconds, length, drawn) in enumerate(
        [(10, 5000, True), (20, 100, True), (60, 100, True), (90, 100, False)]
    ):
        made.append(decide("rita", number, seconds=seconds, length=length, drawn=drawn))
    for first, disposition in zip(made, ("no_issue", "violation"), strict=False):
        decide(
            "rolf",
            9,
            first.conversation,
            disposition=disposition,
            second_of=first,
            drawn=False,
            seconds=30,
            length=100,
        )
    return made


def decide(name: str, number: int, conversation=None, **fields) -> Decision:
    conversation = conversation or talk(text=f"number {number}")
    shown = dict.fromkeys(("shown", "messages", "opened", "branches"), 1)
    page = {"page": make_id(timezone.now()), "pages": [], "uncovered": []}
    said = {"disposition": "no_issue"} | page | shown | fields
    return Decision.objects.create(
        conversation=conversation,
        reviewer=User.objects.get(username=name),
        newest=conversation.snapshots.get().pk,
        **said,
    )


def rows_of(client: Client) -> dict[str, dict[str, str]]:
    body = client.get(f"{REPORT}reviewers.csv").content.decode("utf-8-sig")
    return {row["reviewer"]: row for row in csv.DictReader(io.StringIO(body))}


def test_the_report_says_how_reviewers_decide(decided, settings):
    settings.SECOND_LINE_PERCENT = 50.0
    auditor = client_of("otto", "Auditor")
    rows = rows_of(auditor)
    rita = rows["rita"]
    assert (rita["decisions"], rita["no_issue"], rita["in_haste"]) == ("4", "4", "1")
    assert (rita["median_seconds"], rita["median_bytes_read"]) == ("40.0", "100")
    assert (rita["second_line_required"], rita["second_line_drawn"]) == ("2.0", "3")
    assert (rita["second_line_checked"], rita["second_line_agreed"]) == ("2", "1")
    assert (rows[""]["decisions"], rows[""]["second_line_required"]) == ("6", "2.0")
    page = text(auditor.get(REPORT))
    assert "50 % of 4 decisions are 2.0. 3 were drawn, and 2 of these decided" in page
    assert "rita 4 40 s 0.1 kB 1 0 2 of 3 50 %" in page
    listed = text(auditor.get(DECISIONS))
    assert "40 s 0.1 kB 1 0 2 of 3 50 %" in listed
    assert "All reviewers" not in text(auditor.get(f"{DECISIONS}?reviewer=ri"))


def test_it_prints_with_each_decision(decided):
    auditor = client_of("otto", "Auditor")
    page = text(auditor.get(f"{REPORT}?print=on"))
    for made in decided:
        assert str(made.conversation_id) in page
    assert "number 1" not in page  # no title
    assert str(decided[0].conversation_id) not in text(auditor.get(REPORT))


def test_a_sampling_policy_is_held_against_what_was_decided(decided, lea):
    lea.post(
        "/admin/conversations/samplingpolicy/add/",
        {"percent": "100", "department": "", "model": "", "active": "on"},
    )
    for number in range(4):
        talk(text=f"later {number}")
    sealing.seal()
    drawn = Review.objects.filter(source="sampled")
    assert drawn.count() == 4
    post_decision(lea, drawn.first().conversation)
    assert "100 % of all conversations 4 1 (25 %)" in text(lea.get(REPORT))


@pytest.mark.parametrize("path", [REPORT, f"{REPORT}reviewers.csv"])
def test_it_is_for_auditors_and_on_the_trail(decided, desk, path):
    assert desk.get(path).status_code == 403
    auditor = client_of("otto", "Auditor")
    assert auditor.get(path).status_code == 200
    assert auditor.get(f"{path}?since=2026-02-30").status_code in (302, 400)
    none = auditor.get(f"{path}?since=2020-01-01&until=2020-01-02")
    assert "rita" not in none.content.decode()
    events = AuditEvent.objects.filter(actor_name="otto", detail__contains="report")
    assert set(events.values_list("action", flat=True)) >= {"export" if "csv" in path else "list"}
