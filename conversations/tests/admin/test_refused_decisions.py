"""A decision that is refused: its page again, read anew, with all that its reviewer typed."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from conversations import record
from conversations.models import AuditEvent, Conversation, Decision, Snapshot
from conversations.record import CallRequest
from conversations.tests.calls import person, turn, user
from conversations.tests.cast import client_of
from conversations.tests.forms import Form
from conversations.tests.html import Html
from conversations.tests.reviews import (
    QUEUE,
    messages_of,
    open_form,
    post_decision,
    talk,
    transcript_of,
)

pytestmark = pytest.mark.django_db
TOMORROW = str(timezone.localdate() + timedelta(days=1))
LONG = "\nquoted <b>“twice”</b> & more \r\n" * 300
TYPED = {
    "disposition": "violation",
    "reason": 'names a "client" & <more>',
    "note": LONG,
    "addressee": "lea",
    "until": TOMORROW,
}


@pytest.fixture
def lea(db) -> Client:
    return client_of("lea", "Lead")


def typed_on(page: Any) -> dict[str, str]:
    [form] = Html(page).all("form", id="review-decide")
    sent = Form(page, form["action"].partition("?")[0]).values
    return {name: value for name, [value] in sent.items()}


def post(
    client: Client, conversation: Conversation, values: dict[str, str], query: str = ""
) -> Any:
    return client.post(f"{QUEUE}{conversation.pk}/decide/{query}", values)


# What happens between the page and its form; each is refused --------------------------------------


def nothing_said(conversation: Conversation) -> dict[str, str]:
    return {"reason": " "}


def wrong_day(conversation: Conversation) -> dict[str, str]:
    return {"disposition": "needs_information", "until": "soon"}


def no_such_user(conversation: Conversation) -> dict[str, str]:
    return {"disposition": "escalated", "addressee": "nobody at all"}


def no_choice(conversation: Conversation) -> dict[str, str]:
    return {"disposition": ""}


def too_long(conversation: Conversation) -> dict[str, str]:
    return {"note": "n" * 200_000}


def went_on(conversation: Conversation) -> dict[str, str]:
    turn(conversation.owner, [user("more")], "yes", root=conversation.pk)
    return {}


def decided(conversation: Conversation) -> dict[str, str]:
    post_decision(client_of("rolf", "Reviewer"), conversation, disposition="false_positive")
    return {}


def claimed(conversation: Conversation) -> dict[str, str]:
    client_of("rolf", "Reviewer").post(f"{QUEUE}{conversation.pk}/claim/")
    return {}


def escalated(conversation: Conversation) -> dict[str, str]:
    fields = {"disposition": "escalated", "addressee": "lea", "reason": "r"}
    post_decision(client_of("rolf", "Reviewer"), conversation, **fields)
    return {}


HAPPENS = [
    nothing_said,
    wrong_day,
    no_such_user,
    no_choice,
    too_long,
    went_on,
    decided,
    claimed,
    escalated,
]
Happens = Callable[[Conversation], dict[str, str]]


@pytest.mark.parametrize("happens", HAPPENS)
def test_what_was_typed_is_in_the_form_again_and_why_stands_beside_it(desk, lea, happens: Happens):
    conversation = talk(text="a secret matter")
    values = TYPED | open_form(desk, conversation)
    values |= happens(conversation)
    before = Decision.objects.count()
    page = post(desk, conversation, values)
    assert page.status_code == 200
    assert "a secret matter" in page.content.decode()
    [problem] = Html(page).all("p", id="problem")
    assert problem["role"] == "alert"
    [words] = messages_of(page)
    assert Html(page).text.count(words) == 1
    again = typed_on(page)
    expected = {name: values[name] for name in TYPED}
    if happens is no_such_user:
        expected["addressee"] = ""
    assert {name: again.get(name, "") for name in TYPED} == expected
    assert Decision.objects.count() == before


def test_a_call_in_no_conversation_likewise(desk, lea, alice):
    request = CallRequest(owner=alice.pk, kind="chat", model="m", body={"model": "m"})
    record.refuse(request, "no_model", "No such model.")
    call = Snapshot.objects.get()
    address = f"/admin/conversations/snapshot/{call.pk}/change/"
    values = typed_on(desk.get(address)) | TYPED | {"reason": ""}
    page = desk.post(f"{QUEUE}{call.pk}/decide/", values)
    assert messages_of(page) == ["A violation needs a reason."]
    again = typed_on(page)
    assert {name: again[name] for name in TYPED} == TYPED | {"reason": ""}
    assert not Conversation.objects.exists()
    desk.post(f"{QUEUE}{call.pk}/decide/", again | {"reason": "a client"})
    assert Decision.objects.get().note.split() == LONG.split()


# The page is read as any --------------------------------------------------------------------------


def test_the_page_is_on_the_trail_and_its_form_decides_about_it(desk, lea):
    conversation = talk(text="first")
    values = TYPED | open_form(desk, conversation)
    turn(conversation.owner, [user("second")], "yes", root=conversation.pk)
    page = post(desk, conversation, values)
    event = AuditEvent.objects.latest("id")
    assert (event.action, event.conversation) == ("transcript", conversation.pk)
    again = typed_on(page)
    assert again["page"] == str(event.pk)
    assert "second" in page.content.decode()
    post(desk, conversation, again)
    decision = Decision.objects.get()
    assert (decision.page, decision.disposition) == (event.pk, "violation")
    assert decision.note.split() == LONG.split()


def test_without_a_row_on_the_trail_there_is_no_page(desk, lea):
    conversation = talk(text="a secret matter")
    values = TYPED | open_form(desk, conversation) | {"reason": ""}
    desk.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "ALTER TABLE conversations_auditevent "
            "ADD CONSTRAINT none_fits CHECK (action IS NULL) NOT VALID"
        )
    with transaction.atomic():
        page = post(desk, conversation, values)
        transaction.set_rollback(True)
    assert page.status_code == 503
    assert b"a secret matter" not in page.content


@pytest.mark.parametrize("groups", [(), ("Auditor",), ("Gateway admin",)])
def test_who_may_not_read_is_shown_nothing(lea, groups):
    conversation = talk(text="a secret matter")
    page = post(client_of("gus", *groups, is_superuser=True), conversation, TYPED)
    assert page.status_code == 403
    assert b"a secret matter" not in page.content
    legal = client_of("legal", "Reviewer", reviews_departments=["Legal"])
    for answer in (
        post(legal, conversation, TYPED),
        legal.get(f"{QUEUE}{conversation.pk}/decide/"),
    ):
        assert b"a secret matter" not in answer.content


def test_an_owner_is_told_and_shown_no_form(desk):
    own = talk("rita", "her own matter")
    page = post(desk, own, TYPED | open_form(desk, talk()))
    assert "Open this conversation" in Html(page).text
    assert 'id="review-decide"' not in page.content.decode()


def test_the_page_keeps_its_place_and_its_links_lead_on(desk, lea):
    """The stretch that was read, the search and the queue; a link is one of the transcript's."""
    conversation = turn(person("alice"), [user(f"matter {n}") for n in range(150)], "ok")
    conversation = conversation.conversation
    query = "?from=100&of=free&_changelist_filters=q%3Dmatter"
    opened = desk.get(transcript_of(conversation) + query)
    [form] = Html(opened).all("form", id="review-decide")
    assert form["action"] == f"{QUEUE}{conversation.pk}/decide/{query}"
    values = typed_on(opened) | TYPED | {"reason": ""}
    page = desk.post(form["action"], values)
    assert page.context["transcript"].first == 100
    assert page.context["words"] == "matter"
    [earlier] = [a["href"] for a in Html(page).all("a") if "from=0" in a.get("href", "")]
    answer = desk.get(f"{QUEUE}{conversation.pk}/decide/{earlier}", follow=True)
    [(address, status)] = answer.redirect_chain
    assert (address, status) == (transcript_of(conversation) + earlier, 302)
    assert answer.context["transcript"].first == 0
