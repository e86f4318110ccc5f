"""The audit trail: what is on it, and that nothing is shown where it cannot be written."""

import json

import pytest
from django.db import connection

from conversations import audit
from conversations.audit import NotRecorded
from conversations.models import AuditEvent

from .calls import person, turn, user

pytestmark = pytest.mark.django_db
Action = AuditEvent.Action


@pytest.fixture
def no_audit_store(db):
    """The table refuses every new row."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE conversations_auditevent ADD CONSTRAINT none_fits CHECK (action IS NULL) NOT VALID")


# One event ------------------------------------------------------------------------------------------------------


def test_an_event_says_who_did_what_with_which_row(rf):
    call = turn(person("alice"), [user("hi")], "Hello!")
    request = rf.get("/", headers={"User-Agent": "Fire\0fox " + 600 * "x"})
    request.user, request.client_address = person("rita"), "192.0.2.7"
    audit.record(request, Action.CALL, call, terms="word", rows=3)
    event = AuditEvent.objects.get()
    assert (event.actor, event.actor_name, event.address, event.action) == (request.user, "rita", "192.0.2.7", "call")
    assert (event.kind, event.subject, event.conversation) == ("snapshot", str(call.id), call.conversation_id)
    assert (event.terms, json.loads(event.detail)) == ("word", {"rows": 3})
    assert len(event.user_agent) == audit.LONGEST
    assert "\0" not in event.user_agent
    assert list(AuditEvent.objects.about(call.conversation_id)) == list(AuditEvent.objects.of(call)) == list(AuditEvent.objects.by(request.user)) == [event]


def test_a_command_has_a_name_and_no_account():
    event = audit.record("manage.py something", Action.CHANGED, person("alice"), password=True)
    assert (event.actor, event.actor_name, event.conversation) == (None, "manage.py something", None)
    assert event.said == "changed"


def test_what_cannot_be_written_is_an_error(no_audit_store):
    with pytest.raises(NotRecorded):
        audit.record(person("alice"), Action.LIST)
