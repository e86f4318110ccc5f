"""One gate on every path: no account finds content without clearance for it.

Nor does it beyond the departments that it reviews.
"""

import pytest
from django.test import Client
from django.urls import reverse

from conversations import review
from conversations.models import AuditEvent, Conversation, Review, Snapshot, User
from conversations.search import index
from conversations.tests.calls import turn, user
from conversations.tests.cast import client_of
from llmgateway.tests.paths import CANARY, PNG, paths

pytestmark = pytest.mark.django_db


@pytest.fixture
def call() -> Snapshot:
    """In Finance: in the prompt, the question, the answer, the title and a file."""
    alice = User.objects.create_user("alice", department="Finance")
    asked = [
        {"role": "system", "content": CANARY},
        user([{"type": "text", "text": CANARY}, {"type": "image_url", "image_url": {"url": PNG}}]),
    ]
    call = turn(alice, asked, CANARY, title=CANARY)
    Conversation.objects.update(title=CANARY)
    index.index_messages([call.id])
    return call


def finds(client: Client, path: str) -> bool:
    """What was searched for is told apart from what was found."""
    response = client.get(path)
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


@pytest.mark.parametrize(
    ("groups", "flags"),
    [
        (["Auditor"], {}),
        (["Records manager"], {}),
        (["Gateway admin"], {}),
        (["Auditor", "Records manager", "Gateway admin"], {"is_superuser": True}),
        ([], {"is_superuser": True}),
        ([], {}),
    ],
)
def test_nobody_without_clearance_finds_it_anywhere(call, groups, flags):
    client_of("rita", "Reviewer").get(
        reverse("admin:conversations_conversation_changelist"), {"q": CANARY}
    )
    assert AuditEvent.objects.filter(terms=CANARY).exists()
    client = client_of("someone", *groups, **flags)
    assert [path for path in paths(call) if finds(client, path)] == []


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
    assert not Review.objects.exists()
