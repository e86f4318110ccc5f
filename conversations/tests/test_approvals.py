"""Two people for one thing: who may agree, when asking alone is enough, and what the pages say."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import IntegrityError, transaction
from django.test import Client, RequestFactory
from django.utils import timezone

from conversations.models import Approval, AuditEvent, User
from conversations.people import approvals
from conversations.people.approvals import State, Verdict, Wanted, acts_alone_at, judge
from conversations.tests.cast import client_of, signed_in

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOME = "/admin/"


def reviewer(name: str, **fields) -> User:
    account = User.objects.create_user(name, is_staff=True, last_login=NOW, **fields)
    account.groups.add(Group.objects.get(name="Reviewer"))
    return account


def ask(asker: User, **changes) -> Approval:
    request = RequestFactory().post("/")
    request.user = asker
    wanted = {
        "kind": "test",
        "target": "1",
        "name": "a thing",
        "content": {"b": 1, "a": ["x"]},
        "right": "view_content",
    }
    return approvals.ask(request, Wanted(**wanted | changes))


def page(approval: Approval) -> str:
    return f"/admin/conversations/approval/{approval.pk}/change/"


def press(client: Client, approval: Approval, button: str):
    return client.post(f"/admin/conversations/approval/{approval.pk}/decide/", {button: "1"})


@pytest.mark.parametrize(
    ("state", "agrees", "asked_it", "holds"), list(product(State, *[(True, False)] * 3))
)
def test_who_may_decide(state, agrees, asked_it, holds):
    found = judge(state, agrees=agrees, asked_it=asked_it, holds_right=holds)
    if state in (State.AGREED, State.REFUSED, State.OVER):
        assert found == Verdict.SETTLED
    elif agrees and asked_it:
        assert found == Verdict.SAME_PERSON
    elif not asked_it and not holds:
        assert found == Verdict.NO_RIGHT
    else:
        assert found == Verdict.MAY


@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("others", [0, 1, 5])
def test_only_the_only_holder_acts_alone(holds, others):
    at = acts_alone_at(NOW, DAY, asker_holds_right=holds, others=others)
    assert at == (NOW + DAY if holds and not others else None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"external_id": "e1"}, {"external_id": "e1"}, True),
        ({"external_id": "e1"}, {"external_id": "e2"}, False),
        ({"email": "Ann@example.com"}, {"email": "ann@EXAMPLE.com"}, True),
        ({"email": "ann@example.com"}, {"email": "bob@example.com"}, False),
        ({}, {}, False),  # nothing known of either joins them
    ],
)
def test_accounts_of_one_person_are_one_person(one, other, same):
    asker, second = reviewer("ann", **one), reviewer("ann-admin", **other)
    approval = ask(asker)
    assert approvals.is_same_person(asker, second) == same
    assert (approval.acts_alone is None) == (not same)  # two accounts of one: nobody else
    press(signed_in(second), approval, "agree")
    approval.refresh_from_db()
    assert approval.state == (State.WAITING if same else State.AGREED)


@pytest.mark.django_db
def test_an_account_that_cannot_sign_in_is_no_second_person(settings):
    settings.APPROVAL_DELAY_HOURS = 48
    asker = reviewer("ann")
    for name, fields in (
        ("gone", {"is_active": False}),
        ("absent", {}),
        ("program", {"is_service": True, "last_login": NOW, "password": "a good long password"}),
    ):
        other = User.objects.create_user(name, is_staff=True, **fields)
        other.user_permissions.add(Permission.objects.get(codename="view_content"))
    approval = ask(asker)
    assert approval.acts_alone - approval.asked == timedelta(hours=48)


@pytest.mark.django_db
def test_a_service_account_agrees_to_nothing():
    asker, program = reviewer("ann"), reviewer("batch", is_service=True)
    approval = ask(asker)
    press(signed_in(program), approval, "agree")
    approval.refresh_from_db()
    assert approval.state == State.WAITING
    assert ask(program).acts_alone is None  # nor acts what it asks for


@pytest.mark.django_db
def test_what_acts_alone_waits_is_named_acts_and_can_still_be_refused():
    asker, admin = reviewer("ann"), client_of("root", is_superuser=True)
    approval = ask(asker)
    assert "a thing acts on" in admin.get(HOME).content.decode()
    assert "a thing acts on" in signed_in(asker).get(HOME).content.decode()
    now = timezone.now()
    for at, state in ((now, State.WAITING), (approval.acts_alone, State.ALONE)):
        assert approval.state_at(at) == state
        in_force = state == State.ALONE
        assert Approval.objects.in_force(at).exists() == in_force
        assert Approval.objects.waiting(at).exists() != in_force
    Approval.objects.update(acts_alone=now)
    press(signed_in(asker), approval, "refuse")
    assert not Approval.objects.in_force(timezone.now()).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("agreed", [True, None])
def test_it_is_over_when_its_time_is(agreed):
    approval = ask(reviewer("ann"), until=NOW + DAY)
    if agreed:
        approval.decide(reviewer("second"), agreed=True)
    Approval.objects.update(acts_alone=NOW)
    approval.refresh_from_db()
    for at, over in ((NOW, False), (NOW + DAY, True)):
        assert (approval.state_at(at) == State.OVER) == over
        assert Approval.objects.in_force(at).exists() != over
        assert not Approval.objects.waiting(at).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("button", ["agree", "refuse"])
def test_roles_at_the_page(button):
    approval = ask(reviewer("ann"))
    for name, fields, groups, status in (
        ("nobody", {}, (), 403),
        ("gateway", {}, ("Gateway admin",), 403),
        ("root", {"is_superuser": True}, (), 302),
        ("auditor", {}, ("Auditor",), 302),
    ):
        client = client_of(name, *groups, **fields)
        assert press(client, approval, button).status_code == status
        assert client.get(page(approval)).status_code == (200 if status == 302 else 403)
        approval.refresh_from_db()
        assert approval.decided is None, name
    second = signed_in(reviewer("second"))
    assert "Exactly what is asked for" in second.get(page(approval)).content.decode()
    press(second, approval, button)
    approval.refresh_from_db()
    assert (approval.agreed, approval.decided_by.username) == (button == "agree", "second")
    event = AuditEvent.objects.doing("changed").get(kind="approval")
    assert event.actor_name == "second"


@pytest.mark.django_db
def test_a_decision_is_made_once():
    approval, second = ask(reviewer("ann")), reviewer("second")
    stale = Approval.objects.get(pk=approval.pk)
    assert approval.decide(second, agreed=False)
    assert not stale.decide(second, agreed=True)
    press(signed_in(second), approval, "agree")
    approval.refresh_from_db()
    assert approval.state == State.REFUSED


@pytest.mark.django_db
def test_the_database_knows_no_agreement_by_one_account():
    ann = reviewer("ann")
    approval = ask(ann)
    for changes in (
        {"decided": NOW, "decided_by": ann, "agreed": True},
        {"agreed": True},
        {"decided": NOW},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Approval.objects.filter(pk=approval.pk).update(**changes)
