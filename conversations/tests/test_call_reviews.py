"""Calls in no conversation are reviewed like conversations, and stay unseen by their owners."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from conversations import record, review
from conversations.models import (
    AuditEvent,
    Case,
    Conversation,
    Decision,
    Review,
    SamplingPolicy,
    Snapshot,
    User,
)
from conversations.people.identity import alias
from conversations.proof import checkpoints, sealing
from conversations.proof.verification import verify
from conversations.record import CallRequest, Outcome, UnknownConversation
from conversations.report import rollups
from conversations.tests.calls import person, user
from conversations.tests.cast import client_of, signed_in
from conversations.tests.reviews import messages_of
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db
QUEUE, CALLS = "/admin/queue/", "/admin/conversations/snapshot/"


@pytest.fixture(autouse=True)
def checkpoint_file(settings, tmp_path):
    settings.CHECKPOINT_FILE = tmp_path / "checkpoints.jsonl"


def request_of(kind: str, owner: str = "alice", **how: Any) -> CallRequest:
    body = {"model": "m", "input": "the secret plan"}
    return CallRequest(
        owner=person(owner).pk, kind=kind, model="m", body=body, messages=[], sent=b"{}", **how
    )


def refused(owner: str = "alice") -> Snapshot:
    request = request_of("chat", owner)
    request.messages = [user("the secret plan")]
    return Snapshot.objects.get(id=record.refuse(request, "model_not_found", "No such model."))


def ended(kind: str, status: str = "ok") -> Snapshot:
    call = record.open(request_of(kind))
    record.close(call, Outcome(status=status, response={"data": []}))
    return Snapshot.objects.get(id=call.id)


MAKES = {
    "refused": refused,
    "embedding": lambda: ended("embedding"),
    "failed embedding": lambda: ended("embedding", "failed"),
    "image": lambda: ended("image"),
}


def make_call(kind: str) -> Snapshot:
    made = MAKES[kind]()
    assert made.conversation_id is None
    return made


@pytest.fixture(params=["refused", "embedding", "image"])
def call(request) -> Snapshot:
    """Of each kind; one that failed is decided about as well."""
    return make_call(request.param)


def page_of(call: Snapshot) -> str:
    return f"{CALLS}{call.pk}/change/"


def act(client: Client, call: Snapshot, what: str, **fields: Any) -> Any:
    return client.post(f"{QUEUE}{call.pk}/{what}/", fields, follow=True)


def decide(client: Client, call: Snapshot, **fields: Any) -> Any:
    """Decide by the form of the call's page."""
    page = client.get(page_of(call)).content.decode()
    [event] = re.findall(r'name="page" value="([0-9a-f-]{36})"', page)
    return act(client, call, "decide", disposition="no_issue", page=event, **fields)


@pytest.mark.parametrize("kind", MAKES)
def test_a_call_is_claimed_decided_and_sealed_like_a_conversation(desk, kind, rita):
    call = make_call(kind)
    claimed = act(desk, call, "claim", of="free")
    assert claimed.redirect_chain[-1][0] == f"{page_of(call)}?of=free"
    assert "Assigned to you until" in claimed.content.decode()
    mine = desk.get(QUEUE, {"of": "mine"})
    assert f'{call.pk}/change/?of=mine"' in mine.content.decode()
    decided = decide(desk, call, note="read it")
    assert messages_of(decided) == ["Decided: no issue."]
    [decision] = Decision.objects.all()
    assert (decision.conversation_id, decision.newest, decision.reviewer, decision.note) == (
        call.pk,
        call.pk,
        rita,
        "read it",
    )
    assert Review.objects.get().state == "decided"
    assert "read it" in desk.get(page_of(call)).content.decode()
    about = AuditEvent.objects.about(call.pk).order_by("id").values_list("action", flat=True)
    assert [action for action in about if action != "call"] == ["assignment", "decision"]
    while sealing.seal():
        pass
    assert checkpoints.write_checkpoint()
    assert Review.objects.get().state == "decided"
    assert verify().problem == ""


def test_a_lead_assigns_it_and_decides_about_many(desk, call):
    lea = client_of("lea", "Lead")
    assert messages_of(act(lea, call, "assign", to="rita")) == ["Assigned to rita."]
    assert str(call.pk) in desk.get(QUEUE, {"of": "mine"}).content.decode()
    act(desk, call, "release")
    page = lea.get(QUEUE).content.decode()
    [shown] = re.findall(r'name="shown" value="([^"]+)"', page)
    many = {"conversation": [str(call.pk)], "reason": "routine", "shown": shown}
    assert lea.post(f"{QUEUE}no-issue/", many).status_code == 302
    assert Decision.objects.get().conversation_id == call.pk


def test_nothing_is_decided_unread_nor_by_its_owner(desk, call):
    unread = act(desk, call, "decide", disposition="no_issue")
    assert messages_of(unread) == ["Open this conversation and read it, then decide."]
    own = refused("rita")
    assert "your own" in messages_of(act(desk, own, "claim"))[0]
    assert "own conversation" in desk.get(page_of(own)).content.decode()
    assert not Decision.objects.exists()
    assert not Review.objects.exists()
    assert not Conversation.objects.exists(), "what was refused left a row"


def test_departments_hold_for_it(call):
    User.objects.filter(username="alice").update(department="Finance")
    legal = client_of("lena", "Reviewer", reviews_departments=["Legal"])
    assert legal.get(page_of(call), follow=True).redirect_chain
    for what in ("claim", "decide", "release"):
        assert legal.post(f"{QUEUE}{call.pk}/{what}/").status_code == 404
    act(client_of("fay", "Reviewer", reviews_departments=["Finance"]), call, "claim")
    assert Review.objects.get().assignee.username == "fay"
    assert str(call.pk) not in legal.get(QUEUE, {"of": "all"}).content.decode()


@pytest.mark.parametrize("kind", ["title", "metadata"])
def test_the_gateway_s_own_calls_and_open_ones_are_not_reviewed(desk, kind):
    for call in (ended(kind), Snapshot.objects.get(id=record.open(request_of("embedding")).id)):
        assert desk.post(f"{QUEUE}{call.pk}/claim/").status_code == 404
    assert not Conversation.objects.exists()


def test_under_aliases_it_names_no_person(desk, call, settings):
    settings.PSEUDONYMS = True
    act(desk, call, "claim")
    named = alias(person("alice").pk)
    for path in (page_of(call), f"{QUEUE}?of=mine"):
        page = desk.get(path).content.decode()
        assert named in page, path
        assert "alice" not in page, path
    desk.post(f"/admin/reveal/{call.pk}/", {"reason": "a report"})
    assert "alice" in desk.get(page_of(call)).content.decode()


def test_it_is_linked_to_a_case(desk, call):
    desk.post("/admin/cases/new/", {"name": "Larch", "purpose": "prices"})
    case = Case.objects.get()
    assert f"/admin/cases/of/{call.pk}/" in desk.get(page_of(call)).content.decode()
    desk.post(f"/admin/cases/{case.pk}/link/", {"conversation": str(call.pk)})
    page = desk.get(f"/admin/cases/{case.pk}/").content.decode()
    found = re.search(rf'href="(/admin/[^"]+{call.pk}/change/)"', page)
    assert found
    assert "the secret plan" in desk.get(found[1], follow=True).content.decode()


# Whom the row of a call is no conversation --------------------------------------------------------


@pytest.fixture
def taken_up(desk, call) -> UUID:
    act(desk, call, "claim")
    assert Conversation.objects.get().pk == call.pk
    return call.pk


def test_no_owner_is_told_of_it(taken_up, alice):
    _, secret = ApiKey.make(alice, "laptop", scopes=["chat", "history", "history:write"])
    key = Client(headers={"authorization": f"Bearer {secret}"})
    pages = signed_in(alice)
    for client, path in (
        (key, f"/api/conversations/{taken_up}"),
        (pages, f"/c/{taken_up}/"),
        (pages, f"/c/{taken_up}/export.json"),
    ):
        assert client.get(path).status_code == 404, path
    for client, path in ((key, "/api/conversations"), (pages, "/history/"), (pages, "/")):
        page = client.get(path)
        assert page.status_code == 200, path
        assert str(taken_up) not in page.content.decode(), path
    assert key.delete(f"/api/conversations/{taken_up}").status_code == 404


def test_no_call_continues_it(taken_up):
    request = request_of("chat", root=taken_up)
    request.messages = [user("go on")]
    with pytest.raises(UnknownConversation):
        record.open(request)


def test_it_is_in_no_list_figure_or_roll_up(taken_up, desk):
    listed = desk.get("/admin/conversations/conversation/", {"since": ""})
    assert listed.context["cl"].result_count == 0
    assert "Untitled" not in desk.get("/admin/usage/").content.decode()
    assert rollups.differences() == []
    path = f"/admin/conversations/conversation/{taken_up}/change/?of=all"
    assert desk.get(path).url == f"{CALLS}{taken_up}/change/?of=all"


# Drawn by a policy --------------------------------------------------------------------------------


def draw(call: Snapshot, **policy: Any) -> bool:
    """Whether the call, once it is sealed, waits as one that this policy drew."""
    values = {"percent": Decimal(100), "seed": b"s" * 32, "made_by": person("lea")} | policy
    made = SamplingPolicy.objects.create(**{"made": call.opened} | values)
    while sealing.seal():
        pass
    drawn = Review.objects.filter(conversation=call.pk)
    assert not drawn or drawn.get().policy == made
    assert drawn.exists() == Conversation.objects.filter(pk=call.pk, is_one_call=True).exists()
    return drawn.exists()


def test_a_policy_draws_it_and_its_row_is_reviewed(desk, call):
    assert draw(call)
    assert call.pk.hex in desk.get(f"{QUEUE}?of=free").content.decode().replace("-", "")
    desk.post(f"{QUEUE}next/")
    row = Review.objects.get()
    assert (row.source, row.state, row.assignee.username) == (
        "sampled",
        "waiting",
        "rita",
    )
    assert checkpoints.write_checkpoint(now=True)
    assert verify().problem == ""


POLICIES: list[tuple[dict[str, Any], bool]] = [
    ({"department": "Legal", "model": "m"}, True),
    ({"department": "Finance"}, False),
    ({"model": "another"}, False),
    ({"active": False}, False),
    ({"made": timezone.now() + timedelta(days=1)}, False),
]


@pytest.mark.parametrize(("policy", "expected"), POLICIES)
def test_a_policy_draws_it_by_what_the_policy_says(call, policy, expected):
    User.objects.filter(pk=call.owner_id).update(department="Legal")
    assert draw(call, **policy) == expected


@pytest.mark.parametrize("kind", ["title", "metadata"])
def test_no_policy_draws_the_gateway_s_own(kind):
    assert not draw(ended(kind))


def test_the_seed_repeats_the_draw_of_calls():
    calls = [ended("embedding") for _ in range(30)]
    policy = {"percent": Decimal(50), "made": calls[0].opened}
    draw(calls[0], **policy)
    drawn = set(Review.objects.values_list("pk", flat=True))
    assert drawn == {each.pk for each in calls if review.drawn(b"s" * 32, each.pk, Decimal(50))}
    assert 5 <= len(drawn) <= 25
