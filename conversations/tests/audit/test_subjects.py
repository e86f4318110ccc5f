"""What a row of the trail names: a link to it, times in words, and whose trail a Lead sees."""

import re

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from conversations import cases
from conversations.models import AuditEvent, Decision, SamplingPolicy, Snapshot, User
from conversations.people import audit
from conversations.tests.audit.events import Action
from conversations.tests.calls import person, turn, user
from conversations.tests.cast import client_of

pytestmark = pytest.mark.django_db
AUDIT, DECISIONS = "/admin/conversations/auditevent/", "/admin/conversations/decision/"
POLICIES = "/admin/conversations/samplingpolicy/"


def links(client: Client) -> set[str]:
    """The addresses in the column of what events are about, of the list and of their pages."""
    events = AuditEvent.objects.all()
    pages = [AUDIT, *(f"{AUDIT}{event.pk}/change/" for event in events)]
    cell = re.compile(
        r'(?:field-about|class="readonly")[^>]*>[^<]*<a href="(/admin/[^"?]+)"><code>'
    )
    return {each for page in pages for each in cell.findall(client.get(page).content.decode())}


@pytest.fixture
def named(rf, rita) -> dict[str, str]:
    """The page of each kind of row that the trail names."""
    call = turn(person("alice"), [user("hi")], "Hello!")
    decision = Decision.objects.create(
        conversation=call.conversation, reviewer=rita, disposition="no_issue", newest=call.id
    )
    policy = SamplingPolicy.objects.create(percent=5, seed=b"", made_by=rita)
    group, request = Group.objects.get(name="Reviewer"), rf.post("/")
    request.user = rita
    case = cases.open_case(request, "Larch", "prices")
    for row in (call.conversation, call, decision, policy, group, person("alice")):
        audit.record(rita, Action.LIST, row)
    return {
        "conversation": f"/admin/conversations/conversation/{call.conversation_id}/change/",
        "snapshot": f"/admin/conversations/snapshot/{call.id}/change/",
        "decision": f"{DECISIONS}{decision.pk}/change/",
        "samplingpolicy": f"{POLICIES}{policy.pk}/change/",
        "group": f"/admin/auth/group/{group.pk}/change/",
        "user": f"/admin/conversations/user/{person('alice').pk}/change/",
        "case": f"/admin/cases/{case.pk}/",
    }


@pytest.mark.parametrize(
    ("groups", "fields", "kinds"),
    [
        (["Lead"], {"is_superuser": True}, None),
        (["Lead"], {}, {"conversation", "snapshot", "decision", "samplingpolicy", "case"}),
        (["Auditor"], {}, {"decision"}),
    ],
)
def test_a_row_links_to_what_it_names_where_its_reader_may_open_it(named, groups, fields, kinds):
    client = client_of("reader", *groups, **fields)
    own = f"/admin/conversations/user/{User.objects.get(username='reader').pk}/change/"
    found = {each for each in links(client) if AUDIT not in each} - {own}
    assert found == {url for kind, url in named.items() if kinds is None or kind in kinds}
    for url in found:
        assert client.get(url).status_code == 200, url


def test_under_aliases_no_link_has_the_number_of_a_person(named, settings):
    settings.PSEUDONYMS = True
    reader = client_of("reader", "Lead", is_superuser=True)
    assert named["user"] not in links(reader)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("2026-01-31T12:00:00.123Z", "2026-01-31 13:00:00 CET"),
        ("2026-07-31T12:00:00+00:00", "2026-07-31 14:00:00 CEST"),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T12:00:00", "2026-01-31T12:00:00"),
        ("2026-99-31T12:00:00Z", "2026-99-31T12:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_times_in_details_are_in_the_reader_s_zone(value, says):
    audit.record("manage.py something", Action.CHANGED, until=value)
    client = client_of("ada", "Auditor", time_zone="Europe/Berlin")
    assert f"until {says}<" in client.get(AUDIT).content.decode()


# A Lead of some departments -----------------------------------------------------------------------


def talk_of(name: str, department: str) -> Snapshot:
    User.objects.create_user(name, department=department)
    return turn(person(name), [user(f"of {name}")], "Hello!")


@pytest.fixture
def legal() -> Client:
    return client_of("lea", "Lead", reviews_departments=["Legal"])


def test_the_trail_and_decisions_are_those_of_the_lead_s_departments(legal, rita):
    mine, other = talk_of("lena", "Legal"), talk_of("otto", "Finance")
    for call in (mine, other):
        Decision.objects.create(
            conversation=call.conversation, reviewer=rita, disposition="no_issue", newest=call.id
        )
        for row in (call.conversation, call, call.owner):
            audit.record(rita, Action.LIST, row)
    audit.record(rita, Action.SEARCH, Snapshot, terms="of otto", user="otto")
    response = legal.get(AUDIT)
    events = [each for each in response.context["cl"].result_list if each.actor_name != "lea"]
    about = {event.subject for event in events}
    assert about == {str(mine.conversation_id), str(mine.pk), str(mine.owner_id)}
    page = response.content.decode()
    assert "otto" not in page
    assert "lea" in page, "what the Lead did is there"
    foreign = AuditEvent.objects.get(subject=str(other.pk))
    for path in (f"{AUDIT}{foreign.pk}/change/", f"{AUDIT}{foreign.pk}/history/"):
        assert str(other.pk) not in legal.get(path, follow=True).content.decode()
    assert b"otto" not in legal.get(f"{AUDIT}csv/").getvalue()
    listed = legal.get(DECISIONS).context["cl"].result_list
    assert [each.newest for each in listed] == [mine.id]
    foreign_decision = Decision.objects.get(newest=other.id)
    assert legal.get(f"{DECISIONS}{foreign_decision.pk}/change/").status_code == 302
    assert str(other.conversation_id).encode() not in legal.get(f"{DECISIONS}csv/").getvalue()
    everything = client_of("ada", "Auditor").get(AUDIT).context["cl"].result_list
    assert {str(other.pk), str(mine.pk)} <= {event.subject for event in everything}


def test_policies_are_those_of_the_lead_s_departments(legal):
    User.objects.create_user("lena", department="Legal")
    made_by = person("root")
    rows = {
        name: SamplingPolicy.objects.create(
            percent=5, department=name, seed=name.encode(), made_by=made_by
        )
        for name in ("Legal", "Finance", "")
    }
    listed = legal.get(POLICIES).context["cl"].result_list
    assert {policy.department for policy in listed} == {"Legal", ""}
    for name, status in (("Legal", 302), ("", 403)):
        path = f"{POLICIES}{rows[name].pk}/change/"
        assert legal.get(path).status_code == 200
        assert legal.post(path, {}).status_code == status, name
    assert (
        "Finance"
        not in legal.get(f"{POLICIES}{rows['Finance'].pk}/change/", follow=True).content.decode()
    )
    active = dict(SamplingPolicy.objects.values_list("department", "active"))
    assert active == {"Legal": False, "Finance": True, "": True}
    for department in ("Finance", ""):
        made = {"percent": "5", "department": department, "active": "on"}
        assert legal.post(f"{POLICIES}add/", made).status_code == 200
    legal.post(f"{POLICIES}add/", {"percent": "5", "department": "Legal", "active": "on"})
    assert SamplingPolicy.objects.filter(department="Legal").count() == 2
