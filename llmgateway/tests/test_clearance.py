"""One gate on every path: no account finds content without clearance for it.

Nor does it beyond the departments that it reviews.
"""

import base64
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse
from django.urls.exceptions import NoReverseMatch

from conversations import review
from conversations.models import Attachment, AuditEvent, Conversation, Review, Snapshot, User
from conversations.search import index
from conversations.tests.calls import turn, user
from conversations.tests.cast import client_of

pytestmark = pytest.mark.django_db
CANARY = "canary7q4"
# Parameters of paths to rows that hold no content, or that the models' pages below go through.
OF_OTHER_ROWS = {"name", "object_id", "content_type_id"}
PNG = (
    "data:image/png;base64,"
    + base64.b64encode(b"\x89PNG\r\n\x1a\n" + CANARY.encode() * 200).decode()
)


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


def names(resolver=None, space: str = "") -> Iterator[tuple[str, list[str]]]:
    """Each named URL, with the parameters of its path."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            yield from names(entry, f"{space}{entry.namespace}:" if entry.namespace else space)
        elif entry.name:
            yield space + entry.name, list(entry.pattern.converters)


def paths(call: Snapshot) -> list[str]:
    """Every URL that the rows there are make, and every page of every registered model."""
    known = {
        "id": [call.id, call.conversation_id],
        "pk": [call.id, call.conversation_id],
        "root": [call.conversation_id],
        "file": [Attachment.objects.get().pk],
        "number": [Attachment.objects.get().pk],
        "call": [call.id],
        "message": [call.head_id],
        "panel": ["conversations"],
        "app_label": ["conversations", "proxy"],
    }
    found = {"/admin/", "/"}
    for name, parameters in names():
        for i in range(2):
            if {*parameters} & OF_OTHER_ROWS:
                continue
            values = {each: known[each][i % len(known[each])] for each in parameters}
            try:
                found.add(reverse(name, kwargs=values))
            except NoReverseMatch:
                continue
    for model in admin.site._registry:
        label = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        for row in model._default_manager.all()[:5]:
            found |= {
                reverse(f"{label}_{page}", args=[row.pk])
                for page in ("change", "delete", "history")
            }
    lists = {
        reverse(f"admin:conversations_{name}_changelist")
        for name in ("conversation", "snapshot", "auditevent")
    }
    found |= {
        f"{path}{query}"
        for path in lists
        for query in (f"?q={CANARY}", f"?q=id:{str(call.id)[:13]}", "?since=")
    }
    return sorted(path for path in found if "sign-out" not in path and "logout" not in path)


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
