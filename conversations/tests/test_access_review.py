"""The access review: each right with the event that gave it, however it was given."""

import csv
import io

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.test import Client

from conversations.admin import access_review
from conversations.models import AuditEvent, User
from conversations.people import grants
from conversations.tests.calls import person
from conversations.tests.cast import client_of, signed_in

pytestmark = pytest.mark.django_db
PAGE = "/admin/access/"


@pytest.fixture
def root() -> Client:
    return signed_in(User.objects.create_superuser("root", email="root@example.com"))


@pytest.fixture
def auditor() -> Client:
    return client_of("audrey", "Auditor")


def change(client: Client, user: User, **fields) -> None:
    """Save an account's form with these changes."""
    form = {
        "username": user.username,
        "email": user.email,
        "is_active": "on",
        "groups": [group.pk for group in user.groups.all()],
        "user_permissions": [each.pk for each in user.user_permissions.all()],
        "reviews_departments": "\n".join(user.reviews_departments),
        **{name: "on" for name in ("is_staff", "is_superuser") if getattr(user, name)},
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }
    form |= fields
    form = {name: value for name, value in form.items() if value is not None}
    assert client.post(f"/admin/conversations/user/{user.pk}/change/", form).status_code == 302


def change_group(client: Client, group: Group, *added: str) -> None:
    permissions = [*group.permissions.all(), *Permission.objects.filter(codename__in=added)]
    form = {"name": group.name, "permissions": [each.pk for each in permissions]}
    assert client.post(f"/admin/auth/group/{group.pk}/change/", form).status_code == 302


def ids_of(*names: str) -> list[int]:
    return list(Group.objects.filter(name__in=names).values_list("pk", flat=True))


def lines(client: Client, query: str = "") -> list[dict[str, str]]:
    reply = client.get(f"{PAGE}all.csv{query}")
    text = b"".join(reply.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def line_of(client: Client, account: str, right: str, through: str = "") -> dict[str, str]:
    [line] = [
        each
        for each in lines(client)
        if (each["account"], each["right"]) == (account, right) and through in ("", each["through"])
    ]
    return line


def newest() -> AuditEvent:
    return AuditEvent.objects.doing("changed").latest("id")


def test_a_right_by_a_group_has_its_event(root, auditor):
    rita = person("rita")
    change(root, rita, groups=ids_of("Reviewer"), is_staff="on")
    line = line_of(auditor, "rita", "view_content")
    assert (line["through"], line["granted_by"]) == ("Reviewer", "root")
    assert line["since"] == newest().at.isoformat(timespec="seconds")
    assert (line["self_granted"], line["on_the_trail"]) == ("no", "yes")
    assert line_of(auditor, "rita", "is_staff")["granted_by"] == "root"
    page = auditor.get(PAGE).content.decode()
    assert "Can read what was said" in page
    assert f"/admin/conversations/auditevent/{newest().pk}/change/" in page


def test_a_right_that_a_group_was_given_later_has_its_own_event(root, auditor):
    rita = person("rita")
    change(root, rita, groups=ids_of("Auditor"), is_staff="on")
    joined = newest()
    other = signed_in(User.objects.create_superuser("otto"))
    change_group(other, Group.objects.get(name="Auditor"), "view_content")
    line = line_of(auditor, "rita", "view_content")
    assert (line["granted_by"], line["since"]) == ("otto", f"{newest().at:%Y-%m-%dT%H:%M:%S}+00:00")
    assert line_of(auditor, "rita", "view_audit")["granted_by"] == "root"
    assert line_of(auditor, "rita", "view_audit")["since"][:19] == f"{joined.at:%Y-%m-%dT%H:%M:%S}"


def test_who_joins_a_group_after_it_was_changed_has_all_from_then(root, auditor):
    other = signed_in(User.objects.create_superuser("otto"))
    change_group(other, Group.objects.get(name="Auditor"), "view_content")
    change(root, person("rita"), groups=ids_of("Auditor"), is_staff="on")
    assert line_of(auditor, "rita", "view_content")["granted_by"] == "root"


def test_a_group_that_was_renamed_keeps_its_events(root, auditor):
    rita = person("rita")
    change(root, rita, groups=ids_of("Reviewer"), is_staff="on")
    group = Group.objects.get(name="Reviewer")
    form = {"name": "Readers", "permissions": [each.pk for each in group.permissions.all()]}
    assert root.post(f"/admin/auth/group/{group.pk}/change/", form).status_code == 302
    line = line_of(auditor, "rita", "view_content")
    assert (line["through"], line["granted_by"]) == ("Readers", "root")


def test_a_right_given_directly_and_one_taken_and_given_again(root, auditor):
    rita, otto = person("rita"), signed_in(User.objects.create_superuser("otto"))
    permission = Permission.objects.get(codename="export_content")
    change(root, rita, user_permissions=[permission.pk])
    assert line_of(auditor, "rita", "export_content")["through"] == "given directly"
    change(root, rita, user_permissions=[])
    assert not [line for line in lines(auditor) if line["account"] == "rita"]
    change(otto, rita, user_permissions=[permission.pk])
    assert line_of(auditor, "rita", "export_content")["granted_by"] == "otto"


@pytest.mark.parametrize("how", ["never on the trail", "taken on the trail, given beside it"])
def test_what_the_trail_does_not_explain_is_said(root, auditor, how):
    rita = person("rita")
    if how.startswith("taken"):
        change(root, rita, groups=ids_of("Reviewer"))
        change(root, rita, groups=[])
    rita.groups.set(ids_of("Reviewer"))
    line = line_of(auditor, "rita", "view_content")
    assert (line["since"], line["granted_by"], line["on_the_trail"]) == ("", "", "no")
    assert "not on the trail" in auditor.get(PAGE).content.decode()


@pytest.mark.parametrize("account", ["the same account", "another of the same person"])
def test_a_right_that_a_person_gave_itself_is_marked(root, auditor, account):
    me = User.objects.get(username="root")
    if account.startswith("another"):
        me = User.objects.create_user("root2", email="ROOT@example.com")
    change(root, me, groups=ids_of("Reviewer"))
    assert line_of(auditor, me.username, "view_content")["self_granted"] == "yes"
    assert "gave it to itself" in auditor.get(PAGE).content.decode()
    assert [change.value for change in grants.gives_itself(newest())] == ["Reviewer"]


def test_a_group_that_its_own_member_widens_is_a_right_given_to_oneself(root):
    me = User.objects.get(username="root")
    group = Group.objects.get(name="Auditor")
    change_group(root, group, "view_content")
    assert grants.gives_itself(newest()) == []
    me.groups.add(group)
    change_group(root, group, "export_content")
    given = [change.value for change in grants.gives_itself(newest())]
    assert given == [str(Permission.objects.get(codename="export_content"))]


@pytest.mark.parametrize(
    ("was", "now", "given"),
    [
        (["Sales"], [], ["all departments"]),
        (["Sales"], ["Legal", "Sales"], ["Legal"]),
        ([], ["Sales"], []),
        (["Legal", "Sales"], ["Sales"], []),
    ],
)
def test_more_departments_are_a_right(root, was, now, given):
    me = User.objects.get(username="root")
    me.reviews_departments = was
    me.save()
    change(root, me, reviews_departments="\n".join(now))
    assert [change.value for change in grants.gives_itself(newest())] == given


def test_a_superuser_of_the_command_line_has_its_event(auditor, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a good long password")
    call_command("createsuperuser", username="otto", email="", interactive=False, verbosity=0)
    line = line_of(auditor, "otto", "is_superuser")
    assert (line["granted_by"], line["on_the_trail"]) == ("manage.py createsuperuser", "yes")


def test_one_right_alone_and_only_active_accounts(root, auditor):
    change(root, person("rita"), groups=ids_of("Reviewer"), is_staff="on")
    change(root, person("lea"), groups=ids_of("Lead"), is_staff="on")
    assert {line["account"] for line in lines(auditor, "?right=lead")} == {"lea"}
    change(root, person("lea"), is_active=None)
    assert "lea" not in {line["account"] for line in lines(auditor)}
    assert {line["account"] for line in lines(auditor, "?right=nonsense")} >= {"rita", "root"}


def test_pages_and_stretches_show_each_account_once(root, auditor, monkeypatch):
    for number in range(7):
        person(f"p{number}").groups.set(ids_of("Reviewer"))
    monkeypatch.setattr(access_review, "SHOWN", 3)
    monkeypatch.setattr(access_review, "AT_ONCE", 2)
    seen, url = [], PAGE
    while url:
        context = auditor.get(url).context
        seen += [account.username for account, _ in context["rows"]]
        url = f"{PAGE}?{context['more']}" if context["more"] else ""
    assert seen == sorted(seen) == ["audrey", *(f"p{number}" for number in range(7)), "root"]
    assert sorted({line["account"] for line in lines(auditor)}) == seen


def test_each_reading_is_on_the_trail_first(auditor):
    auditor.get(PAGE)
    lines(auditor)
    mine = AuditEvent.objects.filter(actor_name="audrey", detail__contains="access review")
    assert [event.action for event in mine.order_by("id")] == ["list", "export"]


@pytest.mark.parametrize("group", ["Reviewer", "Records manager", "Gateway admin", ""])
def test_it_is_for_those_who_see_the_trail(group):
    client = client_of("other", *filter(None, [group]), is_superuser=not group)
    assert client.get(PAGE).status_code == client.get(f"{PAGE}all.csv").status_code == 403


def test_under_aliases_it_is_for_those_who_read_nothing(auditor, settings):
    settings.PSEUDONYMS = True
    lead = client_of("lea", "Lead")
    assert lead.get(PAGE).status_code == lead.get(f"{PAGE}all.csv").status_code == 403
    assert auditor.get(PAGE).status_code == 200


def test_a_lead_of_some_departments_sees_theirs():
    for name, department in (("rita", "Sales"), ("otto", "Legal")):
        User.objects.create_user(name, is_staff=True, department=department)
    lead = client_of("lea", "Lead", reviews_departments=["Sales"])
    assert {line["account"] for line in lines(lead)} == {"rita"}


def test_the_page_costs_few_queries(auditor, django_assert_max_num_queries):
    for number in range(20):
        person(f"p{number}").groups.set(ids_of("Reviewer", "Lead"))
    auditor.get(PAGE)
    with django_assert_max_num_queries(8):
        auditor.get(PAGE)
