"""Under PSEUDONYMS a reviewer finds nobody's name on any path, until a reason is on record: then of one conversation, and for half an hour."""

import re

import orjson
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from conversations import audit, record, search
from conversations.identity import alias
from conversations.models import AuditEvent, Review, Snapshot, User
from conversations.record import Asked
from conversations.tests.calls import person, turn, user
from proxy.models import ApiKey

from .test_clearance import PNG, client_of, paths

pytestmark = pytest.mark.django_db
WHO = "zelda7q4"
MARKS = re.compile(rb"zelda7q4|198\.51\.100\.77|gw-zelda", re.IGNORECASE)
PERSONAL = {
    "first_name": f"F{WHO}",
    "last_name": f"L{WHO}",
    "email": f"{WHO}@firm.example",
    "job_title": f"J{WHO}",
    "department": f"D{WHO}",
    "external_id": f"X{WHO}",
}
CONVERSATIONS, CALLS = "/admin/conversations/conversation/", "/admin/conversations/snapshot/"
ACTION = AuditEvent.Action


@pytest.fixture
def call(settings) -> Snapshot:
    """By somebody whose name stands wherever a client and a company can put one."""
    settings.PSEUDONYMS = True
    zelda = User.objects.create_user(WHO, **PERSONAL)
    key = ApiKey.make(zelda, f"{WHO}'s laptop")[0]
    said = {"user": f"u{WHO}", "safety_identifier": f"s{WHO}", "metadata": {"who": WHO}, "prompt_cache_key": WHO, "headers": {"from": WHO}}
    by = {"key": f"gw-{WHO}", "address": "198.51.100.77", "user_agent": f"agent/{WHO}", "end_user": f"u{WHO}"}
    image = {"type": "image_url", "image_url": {"url": PNG}}
    question = user([{"type": "text", "text": "which invoices are late"}, image]) | {"name": WHO, "sender": {"mail": WHO}}
    call = turn(zelda, [question], "these", params=said, session_key=f"session-{WHO}", classic={"title": f"J{WHO}"}, **by)
    search.index([call.id])
    refused = record.refuse(Asked(owner=zelda.pk, kind="chat", model="m", body={"model": "m", **said}, **by), "no_model", "No such model.")
    assert refused
    Review.objects.create(conversation=call.conversation, source=Review.Source.SAMPLED, due=timezone.now())
    audit.record(zelda, ACTION.SIGN_IN_FAILED, zelda, name=WHO)
    audit.record(zelda, ACTION.ADDED, key, name=str(key))
    audit.record(person("admin"), ACTION.CHANGED, zelda, name=WHO)
    audit.record(person("ruth"), ACTION.LIST, Snapshot, filter={"user": WHO, "source": f"gw-{WHO}", "job_title": f"J{WHO}"})
    return call


def swept(call: Snapshot) -> list[str]:
    """Every path of the clearance sweep, and each list by what a reviewer without a reason may choose."""
    more = [reverse("admin:usage-csv", args=[panel]) for panel in ("people", "history", "departments", "job-titles")]
    lists = [reverse(f"admin:conversations_{name}_changelist") for name in ("conversation", "snapshot", "auditevent", "decision")]
    queue = [f"/admin/queue/?of={which}" for which in ("free", "mine", "overdue", "escalated", "all")]
    return [*paths(call), *more, *queue, *(f"{path}csv/?since=" for path in lists), *(f"{path}?q=invoices&since=" for path in lists[:2])]


def finds(client: Client, path: str) -> bool:
    response = client.get(path)
    return bool(MARKS.search(b"".join([response.getvalue(), *(f"{name}: {value}".encode() for name, value in response.headers.items())])))


def transcript_of(call: Snapshot) -> str:
    return reverse("admin:conversations_conversation_change", args=[call.conversation_id])


def shows(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.getvalue().decode()


# Nobody is found ------------------------------------------------------------------------------------------------


def test_without_aliases_the_sweep_finds_the_person_wherever_people_stand(call, settings):
    settings.PSEUDONYMS = False
    lead = client_of("lead", "Lead")
    found = {path for path in swept(call) if finds(lead, path)}
    page = reverse("admin:conversations_snapshot_change", args=[call.id])
    assert {transcript_of(call), page, CONVERSATIONS, CALLS, "/admin/queue/", "/admin/usage/", "/admin/conversations/auditevent/"} <= found
    assert {f"{CALLS}{call.id}/request.json", f"{CALLS}csv/?since=", "/admin/conversations/auditevent/csv/?since=", "/admin/usage/people.csv"} <= found


@pytest.mark.parametrize("group", ["Reviewer", "Lead"])
def test_a_reviewer_finds_the_person_nowhere(call, group):
    client = client_of("rita", group)
    assert [path for path in swept(call) if finds(client, path)] == []
    named = alias(call.owner_id)
    for path in (CONVERSATIONS, CALLS, transcript_of(call), reverse("admin:conversations_snapshot_change", args=[call.id]), "/admin/queue/"):
        assert named in shows(client, path), path
    request = orjson.loads(client.get(f"{CALLS}{call.id}/request.json").content)
    assert (request["user"], request["messages"][0]["name"]) == (alias(f"u{WHO}"), alias(WHO))
    assert request["messages"][0]["content"][0] == {"type": "text", "text": "which invoices are late"}
