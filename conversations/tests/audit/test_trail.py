"""The audit trail as auditors see it: listed, filtered, downloaded, changed by no one."""

import csv
import io
import json

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from conversations.models import AuditEvent, Snapshot, User
from conversations.people import audit
from conversations.tests.audit.events import CALLS, CONVERSATIONS, Action, newest
from conversations.tests.calls import person

pytestmark = pytest.mark.django_db


# The trail, for Auditors --------------------------------------------------------------------------


AUDIT = "/admin/conversations/auditevent/"


def auditor(*groups: str) -> Client:
    auden = User.objects.create_user("auden", is_staff=True)
    auden.groups.add(*Group.objects.filter(name__in=groups or ["Auditor"]))
    client = Client(raise_request_exception=False)
    client.force_login(auden)
    return client


def listed(client: Client, query: str = "") -> list[str]:
    response = client.get(f"{AUDIT}{query}")
    assert response.status_code == 200
    return [event.action for event in response.context["cl"].result_list]


@pytest.fixture
def trail(desk, call) -> Snapshot:
    """Sign-in, list, search for a word of the conversation, transcript, call."""
    for path in (
        CONVERSATIONS,
        f"{CONVERSATIONS}?q=secret",
        f"{CONVERSATIONS}{call.conversation_id}/change/",
        f"{CALLS}{call.id}/change/",
    ):
        assert desk.get(path).status_code == 200
    return call


def test_the_newest_event_stands_first_and_looking_is_one_too(trail):
    client = auditor()
    assert listed(client) == ["sign_in", "call", "transcript", "search", "list", "sign_in"]
    assert (newest().action, newest().kind, newest().actor_name) == ("list", "auditevent", "auden")
    assert client.get(f"{AUDIT}{newest().id}/change/").status_code == 200


def test_details_are_words():
    what = [
        {"changed": {"fields": ["Groups"]}},
        {
            "rights": {
                "is_staff": {"was": False, "is": True},
                "groups": {"was": [], "is": ["Reviewer"]},
            }
        },
    ]
    audit.record("manage.py something", Action.CHANGED, person("alice"), what=what, at=None, rows=0)
    said = (
        "what changed fields Groups, rights is_staff was no, is yes, groups was none, is Reviewer; "
        "rows 0"
    )
    assert said in auditor().get(AUDIT).content.decode()


def test_filters(trail, rf):
    client = auditor()
    audit.record("manage.py something", Action.CHANGED)
    assert listed(client, "?who=rit") == ["call", "transcript", "search", "list", "sign_in"]
    assert listed(client, "?who=manage") == ["changed"]
    assert listed(client, "?action=transcript") == ["transcript"]
    assert listed(client, "?action=reading&who=rita") == ["call", "transcript"]
    assert listed(client, f"?about={trail.conversation_id}") == ["call", "transcript"]
    assert listed(client, f"?about={trail.id}") == ["call"]
    assert listed(client, "?since=2020-01-01&until=2020-01-02") == []
    assert listed(client, "?action=nonsense") == []
    assert "Correct the filter" in client.get(f"{AUDIT}?until=yesterday").content.decode()


def test_an_auditor_sees_no_content_whatever_was_searched_for(trail):
    client = auditor()
    for path in (
        AUDIT,
        f"{AUDIT}{AuditEvent.objects.get(action='search').pk}/change/",
        f"{AUDIT}csv/",
        f"{AUDIT}{newest().pk}/history/",
    ):
        response = client.get(path)
        assert response.status_code == 200
        assert b"secret" not in response.getvalue(), path
    both = User.objects.get(username="auden")
    both.groups.add(Group.objects.get(name="Reviewer"))
    assert b"secret" in client.get(AUDIT).content
    assert b"secret" in client.get(f"{AUDIT}csv/").getvalue()


def test_only_those_who_may_see_the_trail_do(trail, desk):
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    for client in (desk, root):
        for path in (AUDIT, f"{AUDIT}csv/", f"{AUDIT}{newest().pk}/change/"):
            assert client.get(path).status_code == 403
    transcript = desk.get(f"{CONVERSATIONS}{trail.conversation_id}/change/").content
    assert b"Audit trail of this conversation" not in transcript
    lead = auditor("Lead")
    assert (
        f'href="{AUDIT}?about={trail.conversation_id}"'
        in lead.get(f"{CONVERSATIONS}{trail.conversation_id}/change/").content.decode()
    )


def test_nobody_changes_the_trail(trail):
    client, event = auditor(), newest()
    for path in (f"{AUDIT}add/", f"{AUDIT}{event.pk}/change/", f"{AUDIT}{event.pk}/delete/"):
        assert client.post(path, {"post": "yes", "action": "x"}).status_code == 403
    assert AuditEvent.objects.filter(pk=event.pk).exists()


def test_the_trail_as_csv_is_an_event_and_safe(trail):
    audit.record("=cmd|' /C calc'!A0", Action.CHANGED, name="=1+1")
    client = auditor()
    rows = list(
        csv.DictReader(
            io.StringIO(
                client.get(f"{AUDIT}csv/?action=changed").getvalue().decode("utf-8-sig"), newline=""
            )
        )
    )
    assert [(row["who"], row["action"]) for row in rows] == [("'=cmd|' /C calc'!A0", "changed")]
    assert (newest().action, newest().kind, json.loads(newest().detail)["filter"]["action"]) == (
        "export",
        "auditevent",
        "changed",
    )


def test_a_trail_that_cannot_be_written_cannot_be_read(trail, request):
    client = auditor()
    request.getfixturevalue("no_audit_store")
    for path in (AUDIT, f"{AUDIT}csv/", f"{AUDIT}{newest().pk}/change/"):
        with transaction.atomic():
            response = client.get(path)
            transaction.set_rollback(True)
        assert response.status_code == 503
        assert b"rita" not in response.content


def test_a_page_of_the_trail_costs_eight_queries_at_most(trail):
    client = auditor()
    with CaptureQueriesContext(connection) as queries:
        listed(client, f"?who=rita&action=reading&about={trail.conversation_id}")
    assert len(queries) <= 8
