"""Ticked rows of a list: into the queue, to a reviewer, decided, or as a CSV; by who may."""

import pytest
from django.contrib.messages import get_messages

from conversations import record
from conversations.models import AuditEvent, Conversation, Decision, Review, Snapshot, User
from conversations.record import CallRequest
from conversations.tests.admin.desk import CALLS, CONVERSATIONS, transcript_of
from conversations.tests.calls import turn, user
from conversations.tests.cast import client_of
from conversations.tests.html import Html

pytestmark = pytest.mark.django_db
BASES = pytest.mark.parametrize("base", [CONVERSATIONS, CALLS])


@pytest.fixture
def calls(alice) -> list[Snapshot]:
    return [turn(alice, [user(f"matter {i}")], "ok") for i in range(3)]


def ticks(base: str, calls: list[Snapshot]) -> list[str]:
    return [str(call.conversation_id if base == CONVERSATIONS else call.id) for call in calls]


def post(client, base, calls, act, **fields):
    data = {"row": ticks(base, calls), "act": act} | fields
    if act == "no-issue" and "shown" not in fields:
        page = Html(client.get(base)).all("input", name="shown")
        data |= {"shown": page[0]["value"]} if page else {}
    return client.post(f"{base}rows/?user=alice", data)


def said(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


@BASES
def test_rows_can_be_ticked_without_a_script(desk, calls, base):
    page = Html(desk.get(f"{base}?user=alice"))
    boxes = page.all("input", type="checkbox", name="row", form="gw-ticked")
    assert {box["value"] for box in boxes} == set(ticks(base, calls))
    assert all(box["aria-label"] for box in boxes)
    [form] = page.all("form", id="gw-ticked")
    assert (form["method"], form["action"]) == ("post", f"{base}rows/?user=alice")


@BASES
def test_ticked_rows_enter_the_queue(desk, calls, base):
    response = post(desk, base, calls[:2], "queue")
    assert response["location"] == f"{base}?user=alice"
    assert said(response) == ["Put into the queue: 2."]
    waiting = Review.objects.waiting()
    assert set(waiting.values_list("conversation", "source")) == {
        (call.conversation_id, "chosen") for call in calls[:2]
    }
    events = AuditEvent.objects.filter(action="queued")
    assert {event.conversation for event in events} == {call.conversation_id for call in calls[:2]}
    assert said(post(desk, base, calls, "queue"))[-2:] == [
        "Put into the queue: 1.",
        "Skipped: 2, your own or waiting already.",
    ]


def test_what_was_decided_enters_again_and_what_is_held_stays(desk, calls, rita):
    lea = client_of("lea", "Lead")
    post(lea, CONVERSATIONS, calls[:1], "no-issue", reason="routine")
    post(lea, CONVERSATIONS, calls[1:2], "assign", to="rita")
    assert said(post(desk, CONVERSATIONS, calls[:2], "queue"))[0] == "Put into the queue: 1."
    first, second = (Review.objects.get(conversation=call.conversation_id) for call in calls[:2])
    assert (first.state, first.source, first.assignee) == ("waiting", "chosen", None)
    assert first.decision
    assert second.assignee == rita


def test_ones_own_conversations_are_left_out(desk, rita):
    own = turn(rita, [user("mine")], "ok")
    assert "Put into the queue: 0." in said(post(desk, CONVERSATIONS, [own], "queue"))
    assert not Review.objects.exists()


@BASES
def test_a_lead_assigns_ticked_rows(calls, rita, base):
    lea = client_of("lea", "Lead")
    assert said(post(lea, base, calls[:2], "assign", to="rita")) == ["Assigned to rita: 2."]
    assert Review.objects.held_by(rita, calls[0].opened).count() == 2
    assert said(post(lea, base, calls, "assign", to="nobody"))[-1] == (
        "Not assigned: 3. There is no user with that name."
    )


def test_a_lead_decides_about_ticked_conversations_and_not_about_calls(calls):
    lea = client_of("lea", "Lead")
    assert said(post(lea, CONVERSATIONS, calls, "no-issue", reason=" "))[-1] == (
        "Enter a reason for these decisions."
    )
    assert post(lea, CALLS, calls, "no-issue", reason="routine").status_code == 404
    assert not Decision.objects.exists()
    post(lea, CONVERSATIONS, calls[2:], "no-issue", reason="routine")
    [decision] = Decision.objects.all()
    assert (decision.conversation_id, decision.disposition, decision.reason) == (
        calls[2].conversation_id,
        "no_issue",
        "routine",
    )


@BASES
def test_ticked_rows_leave_as_a_csv_that_is_on_the_trail(desk, calls, base):
    response = post(desk, base, calls[:2], "csv")
    lines = b"".join(response).decode("utf-8-sig").splitlines()
    assert len(lines) == 3
    for call in calls[:2]:
        assert any(str(call.id) in line for line in lines)
    event = AuditEvent.objects.latest("id")
    assert event.action == "export"
    assert all(row in event.detail for row in ticks(base, calls[:2]))


@pytest.mark.parametrize(
    ("base", "act"),
    [
        *((base, act) for base in (CONVERSATIONS, CALLS) for act in ("queue", "assign", "csv")),
        (CONVERSATIONS, "no-issue"),
    ],
)
def test_who_may_not_changes_and_gets_nothing(calls, base, act):
    for groups, refused in {
        (): True,
        ("Auditor",): True,
        ("Gateway admin",): True,
        ("Reviewer",): act in ("assign", "no-issue"),
    }.items():
        client = client_of("-".join(["x", *groups]), *groups, is_superuser=True)
        before = list(Review.objects.values()), Decision.objects.count()
        response = post(client, base, calls, act, to="rita", reason="r")
        assert (response.status_code == 403) == refused, groups
        if refused:
            assert (list(Review.objects.values()), Decision.objects.count()) == before


@pytest.mark.parametrize(
    ("base", "act"),
    [
        *((base, act) for base in (CONVERSATIONS, CALLS) for act in ("queue", "assign", "csv")),
        (CONVERSATIONS, "no-issue"),
    ],
)
def test_rows_of_other_departments_are_not_reached(calls, alice, base, act):
    User.objects.filter(pk=alice.pk).update(department="Sales")
    lea = client_of("lea", "Lead", reviews_departments=["Legal"])
    response = post(lea, base, calls, act, to="lea", reason="r")
    shown = response.getvalue().decode()
    assert not any(call.id.hex in shown.replace("-", "") for call in calls)
    assert "matter" not in shown
    assert act != "csv" or len(shown.splitlines()) == 1
    assert not Review.objects.exists()
    assert not Decision.objects.exists()


@BASES
def test_a_form_that_makes_no_sense_changes_nothing(desk, calls, base):
    assert desk.get(f"{base}rows/?user=alice")["location"] == f"{base}?user=alice"
    assert said(desk.post(f"{base}rows/", {"act": "queue"})) == ["Select rows first."]
    assert said(desk.post(f"{base}rows/", {"act": "queue", "row": "nonsense"}))[-1] == (
        "Select rows first."
    )
    assert post(desk, base, calls, "delete_selected").status_code == 404
    missing = "019a0000-0000-7000-8000-000000000000"
    desk.post(f"{base}rows/", {"act": "queue", "row": missing})
    assert not Review.objects.exists()


@pytest.fixture
def alone(alice) -> Snapshot:
    """A call in no conversation, which was refused."""
    body = {"model": "m"}
    record.refuse(CallRequest(owner=alice.pk, kind="chat", model="m", body=body), "no_model", "No.")
    return Snapshot.objects.get(conversation=None)


@pytest.mark.parametrize("act", ["queue", "assign"])
def test_a_call_in_no_conversation_is_reviewed_like_one(alone, rita, act):
    lea = client_of("lea", "Lead")
    for _ in range(2):
        response = lea.post(f"{CALLS}rows/", {"act": act, "row": str(alone.id), "to": "rita"})
        assert response.status_code == 302
    row = Conversation.objects.get()
    assert (row.pk, row.is_one_call) == (alone.pk, True)
    assert Review.objects.waiting().get().pk == alone.pk


def test_a_change_that_is_refused_leaves_no_row_of_a_call(alone, rita):
    lea = client_of("lea", "Lead")
    lea.post(f"{CALLS}rows/", {"act": "assign", "row": str(alone.id), "to": "nobody"})
    assert not Conversation.objects.exists()


def test_calls_that_are_not_reviewed_are_left_out_and_said(desk, alice):
    how = {"owner": alice.pk, "model": "m", "body": {"model": "m"}}
    record.refuse(CallRequest(kind="title", **how), "no_model", "No.")
    record.open(CallRequest(kind="embeddings", **how))
    rows = [str(pk) for pk in Snapshot.objects.values_list("pk", flat=True)]
    response = desk.post(f"{CALLS}rows/", {"act": "queue", "row": rows})
    text = "Left out: 2, calls that are not complete, or the gateway’s own."
    assert said(response) == ["Put into the queue: 0.", text]
    assert not Conversation.objects.exists()


# About what the list showed -----------------------------------------------------------------------


def shown_by(client, base: str = CONVERSATIONS) -> str:
    [field] = Html(client.get(base)).all("input", name="shown")
    return field["value"]


def test_a_decision_about_ticked_rows_names_the_list_and_its_calls(calls):
    lea = client_of("lea", "Lead")
    shown = shown_by(lea)
    event = AuditEvent.objects.latest("id")
    post(lea, CONVERSATIONS, calls, "no-issue", reason="routine", shown=shown)
    for call in calls:
        decision = Decision.objects.get(conversation=call.conversation_id)
        assert (decision.pages, decision.seen, decision.uncovered) == ([event.pk], [call.pk], [])


def test_what_went_on_since_the_list_is_left_out_and_does_not_enter_the_queue(calls, alice):
    lea = client_of("lea", "Lead")
    shown = shown_by(lea)
    turn(alice, [user("more")], "ok", root=calls[0].conversation_id)
    post(lea, CONVERSATIONS, calls[1:2], "no-issue", reason="by another page")
    post(lea, CONVERSATIONS, calls, "no-issue", reason="routine", shown=shown)
    decided = Decision.objects.filter(reason="routine")
    assert [each.conversation_id for each in decided] == [calls[2].conversation_id]
    assert not Review.objects.filter(conversation=calls[0].conversation_id).exists()


@pytest.mark.parametrize("shown", ["", "made-up", "of another Lead"])
def test_without_a_list_of_ones_own_nothing_is_decided(calls, shown):
    lea, lou = client_of("lea", "Lead"), client_of("lou", "Lead")
    if shown == "of another Lead":
        shown = shown_by(lou)
    response = post(lea, CONVERSATIONS, calls, "no-issue", reason="routine", shown=shown)
    assert said(response) == ["Open the list again, then select and decide."]
    assert not Review.objects.exists()


def test_only_leads_are_signed_a_list(desk, calls):
    for base in (CONVERSATIONS, CALLS):
        assert not Html(desk.get(base)).all("input", name="shown")
    assert not Html(client_of("lea", "Lead").get(CALLS)).all("input", name="shown")


def test_under_aliases_a_refusal_does_not_say_whose_it_is(calls, alice, settings):
    settings.PSEUDONYMS = True
    alice.groups.set([])
    lea = client_of("lea", "Lead")
    lea_said = said(post(lea, CONVERSATIONS, calls, "assign", to="alice"))
    assert lea_said == ["Not assigned: 3. This conversation cannot be assigned to that user."]
    assert AuditEvent.objects.filter(action="assignment", detail__contains="refused").count() == 3


def test_the_title_in_a_label_hides_nothing(desk, alice):
    call = turn(alice, [user("evil \u202egnp")], "ok")
    body = desk.get(CONVERSATIONS).content.decode()
    assert "\u202e" not in body
    assert transcript_of(call) in body
