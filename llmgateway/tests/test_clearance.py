"""One gate on every path: no account finds content without clearance for it.

Nor does it beyond the departments that it reviews.
"""

from typing import Any

import pytest
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from conversations import review
from conversations.models import AuditEvent, Conversation, Decision, Review, Snapshot, User
from conversations.search import index
from conversations.search.queue import TABS
from conversations.tests.calls import turn, user
from conversations.tests.cast import client_of
from conversations.tests.reviews import shown_list
from llmgateway.tests.paths import CANARY, PNG, filtered, paths
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db
QUEUE_TILES = ("Overdue", "Unassigned", "Escalated")
OF_LEGAL = {"reviews_departments": ["Legal"]}
OTHERS_LEAD = (["Lead"], OF_LEGAL)
NOBODY = ([], {})
ALL_BUT_CLEARANCE = (["Auditor", "Records manager", "Gateway admin"], {"is_superuser": True})
WITHOUT_CLEARANCE = [
    (["Auditor"], {}),
    (["Records manager"], {}),
    (["Gateway admin"], {}),
    ALL_BUT_CLEARANCE,
    ([], {"is_superuser": True}),
    NOBODY,
]


@pytest.fixture
def call() -> Snapshot:
    """In Finance: in the prompt, the question, the answer, the title, a file and a decision.

    It was escalated, and a Lead should have decided by now.
    """
    alice = User.objects.create_user("alice", department="Finance")
    asked = [
        {"role": "system", "content": CANARY},
        user([{"type": "text", "text": CANARY}, {"type": "image_url", "image_url": {"url": PNG}}]),
    ]
    call = turn(alice, asked, CANARY, title=CANARY)
    Conversation.objects.update(title=CANARY)
    index.index_messages([call.id])
    now, earlier = timezone.now(), User.objects.create_user("earlier")
    words = {"disposition": "escalated", "reason": CANARY, "note": CANARY}
    decision = Decision.objects.create(
        conversation=call.conversation, reviewer=earlier, newest=call.id, **words
    )
    Review.objects.create(
        conversation=call.conversation, source="escalated", decision=decision, entered=now, due=now
    )
    return call


def finds(client: Client, path: str) -> bool:
    return shows(client.get(path), path)


def shows(response: HttpResponseBase, path: str) -> bool:
    """What was searched for is told apart from what was found."""
    body = response.getvalue()
    for echo in (f'value="{CANARY}"', f"q={CANARY}", f"q%3D{CANARY}", f"“{CANARY}”"):
        body = body.replace(echo.encode(), b"") if f"q={CANARY}" in path else body
    return response.status_code < 300 and CANARY.encode() in body


def test_the_canary_is_where_reviewers_look(call):
    rita = client_of("rita", "Reviewer")
    found = [path for path in paths(call) if finds(rita, path)]
    transcript = reverse("admin:conversations_conversation_change", args=[call.conversation_id])
    assert {
        transcript,
        reverse("admin:conversations_conversation_changelist"),
        reverse("admin:conversations_snapshot_change", args=[call.id]),
    } <= set(found)
    assert any("/a/" in path for path in found)
    assert any("csv" in path for path in found)


@pytest.mark.parametrize(("groups", "flags"), WITHOUT_CLEARANCE)
def test_nobody_without_clearance_finds_it_anywhere(call, groups, flags):
    client_of("rita", "Reviewer").get(
        reverse("admin:conversations_conversation_changelist"), {"q": CANARY}
    )
    assert AuditEvent.objects.filter(terms=CANARY).exists()
    client = client_of("someone", *groups, **flags)
    assert [path for path in paths(call) if finds(client, path)] == []


@pytest.mark.parametrize(("groups", "flags"), [ALL_BUT_CLEARANCE, OTHERS_LEAD])
def test_no_filter_finds_it(call, groups, flags):
    client = client_of("someone", *groups, **flags)
    assert [path for path in filtered(call) if finds(client, path)] == []


def evidence(call: Snapshot) -> list[dict[str, Any]]:
    """All that a form could change of the call's conversation."""
    reviewed = (Review.objects.all(), Decision.objects.all())
    owned = (
        Conversation.objects.filter(pk=call.conversation_id),
        call.conversation.snapshots.all(),
    )
    return [row for rows in (*reviewed, *owned) for row in rows.values()]


def forms(call: Snapshot) -> dict[str, str]:
    """What the forms of the desk ask for, in one."""
    decided = {"disposition": "no_issue", "reason": "routine", "page": str(call.id), "next": "1"}
    chosen = {"conversation": str(call.conversation_id), "to": "someone", "of": "all"}
    return decided | chosen | {"title": "another", "name": "a filter", "purpose": "to look"}


@pytest.mark.parametrize(("groups", "flags"), [ALL_BUT_CLEARANCE, NOBODY, OTHERS_LEAD])
def test_no_form_shows_or_changes_it(call, groups, flags):
    client, before = client_of("someone", *groups, **flags), evidence(call)
    posted = [path for path in paths(call) if shows(client.post(path, forms(call)), path)]
    assert posted == []
    assert evidence(call) == before


def test_a_key_without_scopes_shows_and_changes_nothing(call):
    reviewer = User.objects.get(username="earlier")
    _, secret = ApiKey.make(reviewer, "nothing", scopes=[])
    client = Client(headers={"authorization": f"Bearer {secret}"})
    client_of("rita", "Lead")
    reviewer.groups.set(User.objects.get(username="rita").groups.all())
    before = evidence(call)
    for path in paths(call):
        assert not finds(client, path), path
        assert not shows(client.post(path, forms(call)), path), path
    assert evidence(call) == before


@pytest.mark.parametrize("group", ["Reviewer", "Lead"])
def test_nobody_finds_it_beyond_the_departments_of_the_account(call, group):
    client_of("rita", "Reviewer").get(
        reverse("admin:conversations_conversation_changelist"), {"q": CANARY}
    )
    legal, finance = (
        client_of("legal", group, reviews_departments=["Legal"]),
        client_of("finance", group, reviews_departments=["Legal", "Finance"]),
    )
    assert [path for path in paths(call) if finds(legal, path)] == []
    assert finds(
        finance, reverse("admin:conversations_conversation_change", args=[call.conversation_id])
    )


def test_a_foreign_conversation_is_neither_claimed_nor_assigned(call, rf):
    legal = client_of("legal", "Lead", reviews_departments=["Legal"])
    conversation = call.conversation
    assert legal.post(f"/admin/queue/{conversation.pk}/claim/").status_code == 404
    with pytest.raises(review.ReviewRefused):
        review.assign(rf.get("/"), conversation, User.objects.get(username="legal"))
    assert Review.objects.get().assignee is None


def tiles(client: Client) -> list[str]:
    """The figures of the queue's tiles on the home page."""
    shown = {tile.name: tile.figure for tile in client.get("/admin/").context["tiles"]}
    return [shown[name] for name in QUEUE_TILES]


def test_the_queue_offers_and_counts_what_its_reader_may_review(call):
    legal, finance = (
        client_of("legal", "Lead", **OF_LEGAL),
        client_of("finance", "Lead", reviews_departments=["Legal", "Finance"]),
    )
    before = evidence(call)
    many = {"conversation": [str(call.conversation_id)], "reason": "routine"}
    for tab in TABS:
        legal.post("/admin/queue/next/", {"of": tab})
    legal.post("/admin/queue/no-issue/", many)
    assert tiles(legal) == ["0", "0", "0"]
    assert evidence(call) == before
    assert tiles(finance) == ["1", "1", "1"]
    finance.post("/admin/queue/next/", {"of": "free"})
    assert Review.objects.get().assignee.username == "finance"
    finance.post("/admin/queue/no-issue/", many | {"shown": shown_list(finance)})
    assert Decision.objects.get(reason="routine").reviewer.username == "finance"
