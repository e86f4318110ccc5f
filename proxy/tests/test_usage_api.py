"""GET /api/usage: the report's figures, to a program."""

import orjson
import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from conversations import record
from conversations.models import AuditEvent, Conversation
from conversations.record import CallRequest, Outcome
from conversations.report import assessments
from conversations.tests.calls import person, turn, user
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db


def get(owner, query: str = "", scopes=(ApiKey.Scope.USAGE, ApiKey.Scope.HISTORY)):
    _, secret = ApiKey.make(owner, "laptop", scopes=list(scopes))
    return Client().get(f"/api/usage{query}", headers={"authorization": f"Bearer {secret}"})


@pytest.fixture
def spent():
    turn(person("alice"), [user("hi")], "hello")
    turn(person("alice"), [user("ho")], "hello")
    turn(person("bob"), [user("secret plan")], "hello")


def test_ones_own(spent):
    found = get(person("alice")).json()
    assert found["total"] == {
        "calls": 2,
        "failures": 0,
        "prompt_tokens": 6,
        "completion_tokens": 4,
        "cost_usd": 0.0,
        "people": 1,
    }
    assert [row["name"] for row in found["people"]] == ["alice"]
    assert [row["name"] for row in found["conversations"]] == ["ho", "hi"]
    assert sum(step["calls"] for step in found["steps"]) == 2
    assert len(found["steps"]) == 30
    assert "secret" not in str(found)
    without = get(person("alice"), scopes=[ApiKey.Scope.USAGE]).json()
    assert without | {"conversations": found["conversations"]} == found
    assert without["conversations"] == []  # titles are content


def test_everyones_for_those_who_may_see_it(spent):
    alice = person("alice")
    assert get(alice, "?of=everyone").status_code == 403
    alice.user_permissions.add(Permission.objects.get(codename="view_usage"))
    found = get(alice, "?of=everyone").json()
    assert found["total"]["calls"] == 3
    assert (found["people"], found["conversations"], found["departments"]) == ([], [], [])
    assert AuditEvent.objects.by(alice).count() == 1
    alice.user_permissions.add(
        *Permission.objects.filter(codename__in=["view_usage_by_user", "view_content"])
    )
    found = get(alice, "?of=everyone").json()
    assert {row["name"]: row["calls"] for row in found["people"]} == {"alice": 2, "bob": 1}
    assert found["history"] == [
        {"name": "alice", "calls": [0] * 29 + [2]},
        {"name": "bob", "calls": [0] * 29 + [1]},
    ]


def test_what_was_assessed_is_for_those_who_may_see_it_of_so_few(spent):
    alice, bobs = person("alice"), Conversation.objects.get(owner__username="bob")
    call = CallRequest(
        owner=bobs.owner_id, kind="metadata", model="m", body={"model": "m"}, about=bobs.id
    )
    said = (
        dict.fromkeys(assessments.TEXTS, "x")
        | dict.fromkeys(assessments.NUMBERS, 6)
        | {"work_related": True}
    )
    answer = {
        "choices": [{"message": {"role": "assistant", "content": orjson.dumps(said).decode()}}]
    }
    record.close(opened := record.open(call), Outcome(status="ok", response=answer))
    assessments.store_assessments([opened.id])
    alice.user_permissions.add(
        *Permission.objects.filter(codename__in=["view_usage", "view_usage_by_user"])
    )
    assert get(alice, "?of=everyone").json()["assessments"] is None
    alice.user_permissions.add(Permission.objects.get(codename="view_assessments"))
    worth = {
        "conversations": 1,
        "work_related": 1,
        "satisfaction_of_10": 6.0,
        "seconds_saved": 6,
        "assistant_seconds_saved": 6,
        "worth_usd": 0.01,
    }
    assert get(alice, "?of=everyone").json()["assessments"] == {
        "total": worth | {"people": 1},
        "people": [{"name": "bob"} | worth],
        "departments": [{"name": "Not known", "people": 1} | worth],
    }
    assert get(person("bob")).json()["assessments"] is None, "of one's own: /api/metadata_check"


@pytest.mark.parametrize(
    "query",
    [
        "?since=yesterday",
        "?since=2026-02-01&until=2026-01-01",
        "?until=0001-01-05",
        "?of=bob",
        "?until=9999-12-31",
    ],
)
def test_questions_that_make_no_sense(query):
    answer = get(person("alice"), query)
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_key_of_another_scope():
    answer = get(person("alice"), scopes=[ApiKey.Scope.CHAT])
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "scope_missing"
    assert Client().get("/api/usage").status_code == 401
