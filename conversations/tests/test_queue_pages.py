"""The queue at its URLs: by forms alone, as each who may and may not."""

import re
from decimal import Decimal
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from conversations import review
from conversations.models import (
    AuditEvent,
    Conversation,
    Decision,
    Review,
    SamplingPolicy,
    User,
    Verification,
)
from conversations.tests.calls import person, turn, user
from conversations.tests.reviews import (
    QUEUE,
    messages_of,
    open_form,
    post_decision,
    shown_list,
    talk,
    waiting,
)

pytestmark = pytest.mark.django_db


def client_of(name: str, *groups: str) -> Client:
    someone = User.objects.get_or_create(username=name, defaults={"is_staff": True})[0]
    someone.groups.set(Group.objects.filter(name__in=groups))
    client = Client()
    client.force_login(someone)
    return client


@pytest.fixture
def rita(desk) -> Client:
    return desk


def act(client: Client, conversation: Conversation, what: str, **fields):
    return client.post(f"{QUEUE}{conversation.pk}/{what}/", fields, follow=True)


def test_claim_next_read_decide_and_on_to_the_next(rita):
    first, second = talk(text="first"), talk(text="second")
    waiting(first, second)
    page = rita.get(QUEUE).content.decode()
    assert "first" in page
    assert "second" in page
    opened = rita.post(f"{QUEUE}next/", {"of": "free"}, follow=True)
    assert (
        opened.redirect_chain[-1][0]
        == f"{reverse('admin:conversations_conversation_change', args=[first.pk])}?of=free"
    )
    assert "Assigned to you" in opened.content.decode()
    on = post_decision(rita, first, note="read it", next="1", of="free")
    assert str(second.pk) in on.redirect_chain[-1][0]
    assert Decision.objects.get().note == "read it"
    over = post_decision(rita, second, disposition="false_positive", next="1", of="free")
    assert messages_of(over) == ["Decided: false positive.", "No conversations left in this queue."]
    assert not Review.objects.waiting().exists()
    assert (
        "read it"
        in rita.get(
            reverse("admin:conversations_conversation_change", args=[first.pk])
        ).content.decode()
    )


def test_what_may_not_be_is_said_and_not_done(rita):
    talked, own = talk(), talk("rita")
    assert messages_of(post_decision(rita, talked, disposition="fine")) == ["Choose a decision."]
    for page in ("", "nonsense", str(uuid4())):
        refused = act(rita, talked, "decide", disposition="no_issue", page=page)
        assert messages_of(refused) == ["Open this conversation and read it, then decide."]
    assert messages_of(post_decision(rita, talked, disposition="violation")) == [
        "A violation needs a reason."
    ]
    [refused] = messages_of(post_decision(rita, own, form=open_form(rita, talked)))
    assert refused == "Open this conversation and read it, then decide."
    assert (
        "your own conversation"
        in rita.get(
            reverse("admin:conversations_conversation_change", args=[own.pk])
        ).content.decode()
    )
    act(client_of("rolf", "Reviewer"), talked, "claim")
    assert messages_of(act(rita, talked, "claim")) == ["rolf is reviewing this conversation."]
    assert rita.post(f"{QUEUE}{talked.pk}/assign/", {"to": "rolf"}).status_code == 403
    assert (
        rita.post(f"{QUEUE}no-issue/", {"conversation": str(talked.pk), "reason": "x"}).status_code
        == 403
    )
    assert rita.post(f"{QUEUE}{talked.pk}/nonsense/").status_code == 404
    assert rita.post(f"{QUEUE}01981c10-0000-7000-8000-000000000000/claim/").status_code == 404
    assert not Decision.objects.exists()


@pytest.mark.parametrize("group", ["Reviewer", "Lead"])
@pytest.mark.parametrize("what", ["claim", "release", "decide", "assign"])
def test_no_change_of_what_was_never_in_the_queue_fails(what, group):
    talked = talk()
    response = act(client_of("lena", "Reviewer", group), talked, what)
    assert response.status_code in (200, 403)
    if what == "release":
        assert messages_of(response) == ["This conversation is not in the queue."]
        assert not Review.objects.exists()


def test_a_lead_assigns_and_decides_about_many(rita):
    talks = [talk(text=f"matter {n}") for n in range(3)]
    waiting(*talks)
    lea = client_of("lea", "Lead")
    assert messages_of(act(lea, talks[0], "assign", to="rita")) == ["Assigned to rita."]
    assert messages_of(act(lea, talks[1], "assign", to=person("alice").username)) == [
        "alice is not a reviewer."
    ]
    assert messages_of(act(lea, talks[1], "assign", to="nobody")) == [
        "There is no user with that name."
    ]
    mine = rita.get(QUEUE, {"of": "mine"}).content.decode()
    assert "matter 0" in mine
    assert "matter 1" not in mine
    done = lea.post(
        f"{QUEUE}no-issue/",
        {
            "conversation": [str(each.pk) for each in talks] + ["nonsense"],
            "reason": "routine",
            "shown": shown_list(lea),
        },
        follow=True,
    )
    assert messages_of(done) == [
        "Decided as “no issue”: 2. Skipped: 1, your own, assigned to another reviewer, decided to"
        " be a violation, or changed since the list was shown."
    ]
    assert Decision.objects.filter(reason="routine").count() == 2


@pytest.mark.parametrize("groups", [(), ("Auditor",), ("Gateway admin",), ("Records manager",)])
def test_others_see_and_do_nothing(groups):
    talked = talk(text="secret matter")
    waiting(talked)
    client = client_of("gus", *groups)
    client.get(QUEUE)
    User.objects.filter(username="gus").update(is_superuser=True)
    for answer in (
        client.get(QUEUE),
        client.post(f"{QUEUE}next/"),
        *(client.post(f"{QUEUE}{talked.pk}/{what}/") for what in ("claim", "decide", "release")),
    ):
        assert answer.status_code == 403
        assert "secret matter" not in answer.content.decode()
    assert Client().get(QUEUE).status_code == 302
    assert Review.objects.get().assignee is None


def test_get_changes_nothing_and_eight_queries_show_the_queue(rita, django_assert_max_num_queries):
    talks = [talk(text=str(n)) for n in range(5)]
    waiting(*talks)
    for path in ("next/", f"{talks[0].pk}/claim/"):
        assert rita.get(QUEUE + path).status_code == 405
    assert rita.get(f"{QUEUE}no-issue/?of=all")["location"] == f"{QUEUE}?of=all"
    assert not Review.objects.exclude(decision=None, assignee=None).exists()
    with django_assert_max_num_queries(8):
        rita.get(QUEUE)
    assert AuditEvent.objects.filter(action="list", detail__contains="review queue").count() == 1


def test_the_evidence_of_review_names_who_and_what_and_no_content(rita):
    talked = talk(text="secret matter")
    lea, reason = client_of("lea", "Lead"), "names a client"
    post_decision(rita, talked, disposition="escalated", reason=reason, addressee="lea")
    post_decision(lea, talked, note="=fine()")
    auditor = client_of("ada", "Auditor")
    path = "/admin/conversations/decision/"
    page = auditor.get(path).content.decode()
    for word in ("rita", "lea", "escalated", str(talked.pk), "All reviewers"):
        assert word in page
    csv = b"".join(auditor.get(f"{path}csv/")).decode("utf-8-sig").splitlines()
    assert csv[0] == (
        '"id","made","reviewer","conversation","disposition","newest_call","messages_shown",'
        '"messages","branches_opened","branches","messages_uncovered","addressee","until",'
        '"seconds","bytes_read","drawn_for_second","second_of"'
    )
    assert csv[2].split(",")[6:13] == ['"2"', '"2"', '"1"', '"1"', '"0"', '"lea"', '""']
    assert csv[2].endswith(',"false",""')
    assert [line.split(",")[2] for line in csv[1:]] == ['"lea"', '"rita"']
    for words in ("secret matter", "names a client", "=fine()"):
        assert words not in page
        assert words not in "".join(csv)
    assert "names a client" in client_of("lea", "Lead").get(path).content.decode()
    assert '"\'=fine()"' in b"".join(client_of("lea", "Lead").get(f"{path}csv/")).decode()
    assert (
        "rita"
        not in auditor.get(path, {"reviewer": "le"}).content.decode().partition("All reviewers")[2]
    )
    for others in (("Reviewer",), ("Gateway admin",), ()):
        assert client_of("gus", *others).get(path).status_code == 403


def test_the_morning_in_eight_queries(rita, django_assert_max_num_queries):
    talks = [talk(text=str(n)) for n in range(4)]
    waiting(*talks)
    review.claim_next(
        type("R", (), {"user": User.objects.get(username="rita")}), Review.objects.all()
    )
    with django_assert_max_num_queries(8):
        home = rita.get("/admin/")
    tiles = {tile.name: (tile.figure, tile.says) for tile in home.context["tiles"]}
    assert tiles["My queue"][0] == "1"
    assert tiles["Overdue"][0] == "4"
    assert tiles["Unassigned"] == ("3", "3 routine")
    assert tiles["Integrity"] == ("never checked", "a worker does so once a day")
    Verification.objects.create(began=timezone.now(), seals=1234)
    assert re.fullmatch(
        r"1,234 seals, checked \d{4}-\d\d-\d\d \d\d:\d\d",
        {tile.name: tile.says for tile in rita.get("/admin/").context["tiles"]}["Integrity"],
    )
    assert "Decided this month" in {
        tile.name for tile in client_of("lea", "Lead").get("/admin/").context["tiles"]
    }
    assert {tile.name for tile in client_of("ada", "Auditor").get("/admin/").context["tiles"]} == {
        "Decided this month",
        "Integrity",
        "Waiting for a seal",
    }
    assert client_of("sam").get("/admin/").context["tiles"] == []


def test_policies_are_the_leads_and_stay_as_they_were_made():
    lea, path = client_of("lea", "Lead"), "/admin/conversations/samplingpolicy/"
    User.objects.create_user("fred", department="Finance")
    assert lea.post(f"{path}add/", {"percent": "0", "active": "on"}).status_code == 200
    assert (
        lea.post(
            f"{path}add/", {"percent": "12.5", "department": "Finance", "active": "on"}
        ).status_code
        == 302
    )
    policy = SamplingPolicy.objects.get()
    assert (policy.made_by.username, len(policy.seed), str(policy)) == (
        "lea",
        32,
        "12.5 % of Finance",
    )
    assert (
        lea.post(f"{path}{policy.pk}/change/", {"percent": "99", "department": "Legal"}).status_code
        == 302
    )
    policy.refresh_from_db()
    assert (policy.percent, policy.department, policy.active) == (Decimal("12.5"), "Finance", False)
    assert lea.post(f"{path}{policy.pk}/delete/", {"post": "yes"}).status_code == 403
    assert (
        AuditEvent.objects.filter(kind="samplingpolicy")
        .values_list("action", flat=True)
        .distinct()
        .count()
        == 2
    )
    for others in (("Reviewer",), ("Auditor",), ("Gateway admin",)):
        assert client_of("gus", *others).get(path).status_code == 403


@pytest.mark.parametrize(
    ("department", "model", "said"),
    [
        ("finance", "", "No person is in this department"),
        ("Legal", "", "No person is in this department"),
        ("", "another", "No call was for this model"),
        ("Legal", "another", "No person is in this department"),
        ("Finance", "m", ""),
        ("", "m", ""),
    ],
)
def test_a_policy_that_would_draw_nothing_is_refused(department, model, said):
    lea, add = client_of("lea", "Lead"), "/admin/conversations/samplingpolicy/add/"
    fred = User.objects.create_user("fred", department="Finance")
    User.objects.create_user("gone", department="Legal", is_active=False)
    turn(fred, [user("hi")], "ok", model="m")
    form = {"percent": "5", "department": department, "model": model, "active": "on"}
    answer = lea.post(add, form)
    assert answer.status_code == (200 if said else 302)
    assert SamplingPolicy.objects.exists() == (not said)
    if said:
        assert said in answer.content.decode()
