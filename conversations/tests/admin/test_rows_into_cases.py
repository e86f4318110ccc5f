"""Ticked rows that are put into a case: by its members, what they may read, each once."""

import pytest
from django.contrib.messages import get_messages

from conversations import record
from conversations.models import AuditEvent, Case, CaseEntry, Conversation, Snapshot, User
from conversations.record import CallRequest
from conversations.tests.admin.desk import CALLS, CONVERSATIONS
from conversations.tests.calls import turn, user
from conversations.tests.cast import client_of
from conversations.tests.html import Html

pytestmark = pytest.mark.django_db
BASES = pytest.mark.parametrize("base", [CONVERSATIONS, CALLS])


@pytest.fixture
def calls(alice) -> list[Snapshot]:
    return [turn(alice, [user(f"matter {i}")], "ok") for i in range(3)]


@pytest.fixture
def case(desk) -> Case:
    desk.post("/admin/cases/new/", {"name": "Project Larch", "purpose": "a leak of prices"})
    return Case.objects.get()


def put(client, base, calls, case) -> list[str]:
    rows = [str(call.conversation_id if base == CONVERSATIONS else call.id) for call in calls]
    data = {"row": rows, "act": "case", "case": str(case)}
    response = client.post(f"{base}rows/?user=alice", data)
    assert response.headers.get("location", f"{base}?user=alice") == f"{base}?user=alice"
    return [str(message) for message in get_messages(response.wsgi_request)]


def linked() -> list:
    return list(CaseEntry.objects.links().order_by("id").values_list("conversation", flat=True))


@BASES
def test_ticked_rows_are_linked_once_and_on_the_trail(desk, case, calls, base):
    [chosen] = Html(desk.get(base)).all("option", value=str(case.pk))
    assert chosen
    assert put(desk, base, calls[:2], case.pk) == ["Put into the case “Project Larch”: 2."]
    assert set(linked()) == {call.conversation_id for call in calls[:2]}
    assert put(desk, base, calls, case.pk)[-2:] == [
        "Put into the case “Project Larch”: 1.",
        "Left out: 2. This conversation is linked already.",
    ]
    assert len(linked()) == 3
    for call in calls:
        assert AuditEvent.objects.about(call.conversation_id).filter(kind="caseentry").count() == 1


@BASES
def test_one_s_own_are_left_out(desk, case, rita, base):
    own = turn(rita, [user("mine")], "ok")
    assert put(desk, base, [own], case.pk) == [
        "Put into the case “Project Larch”: 0.",
        "Left out: 1. This is your own conversation, so another reviewer must link it.",
    ]
    assert linked() == []


@BASES
def test_only_who_opens_the_case_finds_it(case, calls, base):
    gus = client_of("gus", "Reviewer")
    assert b"Larch" not in gus.get(base).content
    for name in (case.pk, "", "nonsense", "019a0000-0000-7000-8000-000000000000"):
        assert put(gus, base, calls, name)[-1] == "Choose a case."
    lea = client_of("lea", "Lead")
    assert b"Larch" in lea.get(base).content
    assert put(lea, base, calls[:1], case.pk) == ["Put into the case “Project Larch”: 1."]
    assert len(linked()) == 1


@BASES
@pytest.mark.parametrize("groups", [(), ("Auditor",), ("Gateway admin",)])
def test_others_change_nothing(case, calls, base, groups):
    client = client_of("gus", *groups, is_superuser=True)
    data = {"row": [str(calls[0].id)], "act": "case", "case": str(case.pk)}
    assert client.post(f"{base}rows/", data).status_code == 403
    assert linked() == []


@BASES
def test_rows_of_other_departments_are_not_reached(desk, case, calls, alice, base):
    User.objects.filter(pk=alice.pk).update(department="Sales")
    legal = client_of("legal", "Reviewer", reviews_departments=["Legal"])
    desk.post(f"/admin/cases/{case.pk}/join/", {"user": "legal"})
    assert put(legal, base, calls, case.pk) == ["Put into the case “Project Larch”: 0."]
    assert linked() == []


def test_a_call_in_no_conversation_is_linked_like_one(desk, case, alice):
    body = {"model": "m"}
    record.refuse(CallRequest(owner=alice.pk, kind="chat", model="m", body=body), "no_model", "No.")
    alone = Snapshot.objects.get()
    data = {"row": str(alone.id), "act": "case"}
    desk.post(f"{CALLS}rows/", data)
    assert not Conversation.objects.exists(), "a change that is refused left a row"
    desk.post(f"{CALLS}rows/", data | {"case": str(case.pk)})
    assert linked() == [alone.id]


@BASES
def test_a_list_that_offers_cases_costs_eight_queries(
    desk, case, calls, base, django_assert_max_num_queries
):
    with django_assert_max_num_queries(8):
        desk.get(f"{base}?user=alice&q=matter")
