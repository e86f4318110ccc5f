"""Who is told what: each thing once, those whom it concerns, and nothing of what was said."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from conversations import notices, review
from conversations.models import (
    AuditEvent,
    Notice,
    NoticeFeed,
    OtherName,
    Review,
    User,
    Verification,
)
from conversations.people import audit
from conversations.proof import sealing
from conversations.tests.calls import person
from conversations.tests.cast import client_of
from conversations.tests.reviews import decide, talk, waiting

pytestmark = pytest.mark.django_db
Action = AuditEvent.Action
SECRET_WORDS = "a canary that was said"


@pytest.fixture(autouse=True)
def on(settings):
    settings.NOTICE_URL, settings.NOTICE_SECRET = "https://alerts.example/in", "secret"
    settings.NOTICE_MAIL, settings.NOTICE_FROM = "smtps://mail.example", "gateway@example.com"
    settings.PUBLIC_URL = "https://gateway.example/"
    seal()
    notices.collect()  # begins with what comes from now on


@pytest.fixture
def staff() -> dict[str, User]:
    """Two Leads, a reviewer and an Auditor, who have addresses for mail."""
    groups = {"lea": "Lead", "leo": "Lead", "rita": "Reviewer", "audrey": "Auditor"}
    for name, group in groups.items():
        client_of(name, group, email=f"{name}@example.com", last_login=timezone.now())
    return {name: User.objects.get(username=name) for name in groups}


def seal() -> None:
    while sealing.seal():
        pass


def told() -> set[tuple[str, str]]:
    """What was told since to whom; “” is the webhook."""
    seal()
    before = set(Notice.objects.values_list("pk", flat=True))
    notices.collect()
    notices.collect()
    new = Notice.objects.exclude(pk__in=before).select_related("recipient")
    for notice in new:
        said = "".join(notices.write(notice)) + notice.facts
        assert SECRET_WORDS not in said
        assert "alice" not in said
    return {(each.kind, each.recipient.username if each.recipient else "") for each in new}


def request_of(name: str, rf):
    request = rf.post("/")
    request.user = User.objects.get(username=name)
    return request


def words(kind: str) -> tuple[str, str]:
    return notices.write(Notice.objects.filter(kind=kind, recipient=None).latest("id"))


# Each kind ----------------------------------------------------------------------------------------


def test_an_assigned_reviewer_hears_of_it(staff, rf):
    about = talk("alice", SECRET_WORDS)
    review.assign(request_of("lea", rf), about, staff["rita"])
    assert told() == {("assigned", "rita"), ("assigned", "")}
    subject, text = words("assigned")
    assert subject == "A conversation was assigned to rita"
    address = f"https://gateway.example/admin/conversations/conversation/{about.pk}/change/"
    assert text == f"lea assigned a conversation to rita.\n\n{address}\n"


def test_who_claims_one_or_puts_it_back_tells_nobody(staff, rf):
    about = talk("alice", SECRET_WORDS)
    review.claim(request_of("rita", rf), about)
    review.release(request_of("rita", rf), about)
    audit.record(staff["lea"], Action.ASSIGNMENT, about, to="rita", refused=True)
    assert told() == set()


def ask(by: User, about, to: str) -> None:
    detail = {"disposition": "needs_information", "to": to, "until": "2026-12-24"}
    audit.record(by, Action.DECISION, about, **detail)


def test_who_is_asked_for_information_hears_of_it(staff, rf):
    about = talk("alice", SECRET_WORDS)
    request = request_of("rita", rf)
    day = timezone.localdate() + timedelta(days=3)
    asked = {"addressee": staff["leo"], "until": day, "reason": SECRET_WORDS, "note": SECRET_WORDS}
    decide(request, about, "needs_information", **asked)
    assert told() == {("asked", "leo"), ("asked", "")}
    subject, text = words("asked")
    assert subject == "leo is asked for information about a conversation"
    address = f"https://gateway.example/admin/conversations/conversation/{about.pk}/change/"
    said = f"rita asks leo for information about a conversation, by {day}."
    assert text == f"{said}\n\n{address}\n"


def test_who_asks_oneself_tells_nobody(staff):
    ask(staff["rita"], talk("alice", SECRET_WORDS), "rita")
    assert told() == set()


def leave(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def limit(user: User) -> None:
    User.objects.filter(pk=user.pk).update(reviews_departments=["Sales"])


def lose_the_right(user: User) -> None:
    user.groups.clear()


def turn_out_to_be_the_owner(user: User) -> None:
    OtherName.objects.create(kind="account", account=person("alice"), person=user)


@pytest.mark.parametrize("happens", [None, leave, limit, lose_the_right, turn_out_to_be_the_owner])
@pytest.mark.parametrize("kind", ["assigned", "asked", "escalated"])
def test_who_may_no_more_decide_about_it_learns_nothing(staff, rf, kind, happens):
    """The company's webhook hears of it all the same."""
    about = talk("alice", SECRET_WORDS)
    if kind == "assigned":
        review.assign(request_of("rita", rf), about, staff["leo"])
    elif kind == "asked":
        ask(staff["rita"], about, "leo")
    else:
        escalate(staff["rita"], about, to="leo")
    if happens:
        happens(staff["leo"])
    people = set() if happens else {(kind, "leo")}
    assert told() == people | {(kind, "")}


def escalate(by: User, about, **detail) -> None:
    audit.record(by, Action.DECISION, about, disposition="escalated", **detail)


def test_an_escalation_goes_to_the_leads_or_to_the_one_it_names(staff):
    about = talk("alice", SECRET_WORDS)
    escalate(staff["rita"], about)
    assert told() == {("escalated", name) for name in ("lea", "leo", "")}
    escalate(staff["rita"], about, to="leo")
    assert told() == {("escalated", name) for name in ("leo", "")}
    audit.record(staff["rita"], Action.DECISION, about, disposition="no_issue")
    assert told() == set()


def test_no_lead_hears_of_an_escalation_that_is_not_theirs_to_decide(staff):
    """Their own conversation, and one of a department that they do not review."""
    own = talk("lea", SECRET_WORDS)
    escalate(staff["rita"], own)
    assert told() == {("escalated", "leo"), ("escalated", "")}
    User.objects.filter(username="leo").update(reviews_departments=["Sales"])
    escalate(staff["rita"], talk("alice", SECRET_WORDS))
    assert told() == {("escalated", "lea"), ("escalated", "")}


def test_who_gives_itself_a_right_is_told_to_the_others(staff):
    root = User.objects.create_superuser("root", email="root@example.com")
    root.groups.add(Group.objects.get(name="Auditor"))
    client = Client()
    client.force_login(root)
    groups = Group.objects.filter(name__in=["Auditor", "Reviewer"])
    form = {
        "username": "root",
        "email": root.email,
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "groups": [group.pk for group in groups],
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }
    url = "/admin/conversations/user/{}/change/"
    assert client.post(url.format(root.pk), form).status_code == 302
    assert told() == {("self_granted", name) for name in ("lea", "leo", "audrey", "")}
    assert "root gave itself rights" in words("self_granted")[0]
    assert "Reviewer" in words("self_granted")[1]
    assert client.post(url.format(root.pk), form | {"first_name": "Ada"}).status_code == 302
    form |= {"username": "rita", "email": "rita@example.com"}
    assert client.post(url.format(staff["rita"].pk), form).status_code == 302
    assert told() == set()


def test_a_record_that_is_not_whole_is_told_without_a_trail(staff):
    """Also where nothing is sealed any more."""
    now = timezone.now()
    Verification.objects.create(began=now, seals=5)
    bad = Verification.objects.create(began=now, seals=7, problem="The row is gone.")
    old = Verification.objects.create(began=now, seals=7, problem="Long ago.")
    Verification.objects.filter(pk=old.pk).update(ended=now - timedelta(days=30))
    assert told() == {("not_whole", name) for name in ("lea", "leo", "audrey", "")}
    assert Notice.objects.filter(kind="not_whole").values("subject").distinct().count() == 1
    assert Notice.objects.filter(subject=str(bad.pk)).exists()
    assert words("not_whole")[1].endswith("https://gateway.example/admin/checks/\n")


def overdue(owner: str, assignee: User | None = None) -> None:
    about = talk(owner, SECRET_WORDS)
    waiting(about)
    due = timezone.now() - timedelta(hours=1)
    Review.objects.filter(conversation=about).update(due=due, assignee=assignee)


def test_overdue_reviews_are_told_once_a_day(staff):
    waiting(talk("alice"))
    Review.objects.update(due=timezone.now() + timedelta(days=1))
    assert told() == set()
    overdue("alice", staff["rita"])
    overdue("alice")
    overdue("lea")
    assert told() == {("overdue", name) for name in ("rita", "lea", "leo", "")}
    counts = {
        notice.recipient and notice.recipient.username: json.loads(notice.facts)["count"]
        for notice in Notice.objects.filter(kind="overdue").select_related("recipient")
    }
    assert counts == {None: 3, "rita": 1, "lea": 1, "leo": 2}
    overdue("alice")
    assert told() == set()
    notices.collect(timezone.now() + timedelta(days=1))
    assert Notice.objects.filter(kind="overdue").count() == 8


# Once, and not before it is on --------------------------------------------------------------------


def test_a_stretch_of_the_trail_that_is_read_again_tells_nothing_twice(staff, rf, monkeypatch):
    monkeypatch.setattr(notices, "AT_ONCE", 2)
    for _ in range(5):
        review.assign(request_of("lea", rf), talk("alice"), staff["rita"])
    assert len(told()) == 2
    assert Notice.objects.filter(kind="assigned").count() == 10
    NoticeFeed.objects.update(number=0)
    assert notices.collect() == 0
    assert Notice.objects.filter(kind="assigned").count() == 10


def test_what_is_not_sealed_yet_is_told_later(staff, rf):
    review.assign(request_of("lea", rf), talk("alice"), staff["rita"])
    assert notices.collect() == 0
    assert told() == {("assigned", "rita"), ("assigned", "")}


def test_what_happened_while_it_was_off_is_not_told(staff, rf, settings):
    settings.NOTICE_URL = settings.NOTICE_MAIL = ""
    assert told() == set()
    review.assign(request_of("lea", rf), talk("alice"), staff["rita"])
    assert told() == set()
    settings.NOTICE_URL = "https://alerts.example/in"
    assert told() == set()
    review.assign(request_of("lea", rf), talk("alice"), staff["rita"])
    assert told() == {("assigned", "")}


def test_who_has_no_address_gets_no_mail(staff, rf, settings):
    User.objects.filter(username="rita").update(email="")
    settings.NOTICE_URL = ""
    review.assign(request_of("lea", rf), talk("alice"), staff["rita"])
    assert told() == set()


def test_a_month_is_kept(staff, rf):
    review.assign(request_of("lea", rf), talk("alice"), staff["rita"])
    told()
    Notice.objects.update(made=timezone.now() - timedelta(days=31))
    notices.collect()
    assert not Notice.objects.exists()


def test_deactivated_accounts_and_programs_are_told_nothing(staff):
    User.objects.filter(username="leo").update(is_active=False)
    person("bot")
    User.objects.filter(username="bot").update(
        is_service=True, email="bot@example.com", last_login=timezone.now()
    )
    User.objects.get(username="bot").groups.add(Group.objects.get(name="Lead"))
    escalate(staff["rita"], talk("alice"))
    assert told() == {("escalated", "lea"), ("escalated", "")}
