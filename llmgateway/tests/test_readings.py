"""Whatever URL shows what another person said: it is on the audit trail, or it is not shown.

Which URLs those are is asked of the URLconf and of the pages themselves: a new one is in here.
"""

import pytest
from django.db import connection, transaction
from django.test import Client

from conversations.models import AuditEvent, Conversation, Decision, Snapshot, User
from conversations.search import index
from conversations.tests.calls import turn, user
from conversations.tests.cast import client_of
from llmgateway.tests.paths import CANARY, PNG, paths

pytestmark = pytest.mark.django_db


@pytest.fixture
def call() -> Snapshot:
    """Decided on, waiting again, and said in every place where words can be."""
    asked = [
        {"role": "system", "content": CANARY},
        user([{"type": "text", "text": CANARY}, {"type": "image_url", "image_url": {"url": PNG}}]),
    ]
    call = turn(User.objects.create_user("alice"), asked, CANARY, title=CANARY)
    Conversation.objects.update(title=CANARY)
    index.index_messages([call.id])
    Decision.objects.create(
        conversation=call.conversation,
        reviewer=User.objects.create_user("earlier"),
        disposition="violation",
        reason=CANARY,
        note=CANARY,
        newest=call.id,
    )
    return call


def shows(client: Client, path: str) -> bool:
    response = client.get(path)
    body = response.getvalue()
    searched = (f'value="{CANARY}"', f"q={CANARY}", f"q%3D{CANARY}", f"“{CANARY}”")
    for echo in searched if f"q={CANARY}" in path else ():
        body = body.replace(echo.encode(), b"")
    return response.status_code < 300 and CANARY.encode() in body


@pytest.mark.parametrize("group", ["Reviewer", "Lead"])
def test_each_page_that_shows_words_is_an_event_of_its_reader(call, group):
    client, unheard, shown = client_of("rita", group), [], []
    for path in paths(call):
        before = set(AuditEvent.objects.values_list("id", flat=True))
        if not shows(client, path):
            continue
        shown.append(path)
        events = AuditEvent.objects.exclude(id__in=before)
        named = {event.conversation for event in events if event.actor.username == "rita"}
        is_of_one = str(call.id) in path or str(call.conversation_id) in path
        if not named or (is_of_one and named != {call.conversation_id}):
            unheard.append(path)
    assert unheard == []
    assert len(shown) > 12


def test_where_no_event_can_be_written_no_page_shows_words(call):
    client = client_of("rita", "Lead")
    client.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "ALTER TABLE conversations_auditevent "
            "ADD CONSTRAINT none_fits CHECK (action IS NULL) NOT VALID"
        )
    shown = []
    for path in paths(call):
        with transaction.atomic():
            if shows(client, path):
                shown.append(path)
            transaction.set_rollback(True)
    assert shown == []
