"""Under PSEUDONYMS a reviewer finds no name on any path, until a reason is on record.

Then it is the name behind one conversation, for half an hour.
"""

import json
import re
from datetime import timedelta

import orjson
import pytest
from django.contrib.auth.models import AnonymousUser, Permission
from django.db import connection, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from conversations import record
from conversations.exports import selection
from conversations.exports.format import Format
from conversations.exports.formats import FORMATS
from conversations.exports.selection import Chosen, Selection
from conversations.models import AuditEvent, Review, Snapshot, User
from conversations.people import audit
from conversations.people.identity import Names, alias
from conversations.proof import sealing
from conversations.record import CallRequest
from conversations.search import index
from conversations.tests.calls import person, turn, user
from conversations.tests.cast import client_of
from llmgateway.tests.paths import PNG, paths
from proxy.models import ApiKey

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
    said = {
        "user": f"u{WHO}",
        "safety_identifier": f"s{WHO}",
        "metadata": {"who": WHO},
        "prompt_cache_key": WHO,
        "headers": {"from": WHO},
    }
    by = {
        "key": f"gw-{WHO}",
        "address": "198.51.100.77",
        "user_agent": f"agent/{WHO}",
        "end_user": f"u{WHO}",
    }
    image = {"type": "image_url", "image_url": {"url": PNG}}
    question = user([{"type": "text", "text": "which invoices are late"}, image]) | {
        "name": WHO,
        "sender": {"mail": WHO},
    }
    call = turn(
        zelda,
        [question],
        "these",
        params=said,
        session_key=f"session-{WHO}",
        classic={"title": f"J{WHO}"},
        **by,
    )
    index.index_messages([call.id])
    refused = record.refuse(
        CallRequest(owner=zelda.pk, kind="chat", model="m", body={"model": "m", **said}, **by),
        "no_model",
        "No such model.",
    )
    assert refused
    Review.objects.create(
        conversation=call.conversation, source=Review.Source.SAMPLED, due=timezone.now()
    )
    request = RequestFactory().get("/", headers={"User-Agent": f"agent/{WHO}"})
    request.user, request.client_address = AnonymousUser(), "198.51.100.77"  # type: ignore[attr-defined]
    audit.record(request, ACTION.SIGN_IN_FAILED, zelda, name=WHO)
    request.user = zelda
    audit.record(request, ACTION.ADDED, key, name=str(key))
    audit.record(person("admin"), ACTION.CHANGED, zelda, name=WHO)
    audit.record(
        person("rose"),
        ACTION.LIST,
        Snapshot,
        filter={"user": WHO, "source": f"gw-{WHO}", "job_title": f"J{WHO}"},
    )
    sealing.seal()
    return call


def swept(call: Snapshot) -> list[str]:
    """Every path of the clearance sweep, and each list by what a reviewer may choose by alias."""
    more = [
        reverse("admin:usage-csv", args=[panel])
        for panel in ("people", "history", "departments", "job-titles")
    ]
    lists = [
        reverse(f"admin:conversations_{name}_changelist")
        for name in ("conversation", "snapshot", "auditevent", "decision")
    ]
    queue = [
        f"/admin/queue/?of={which}" for which in ("free", "mine", "overdue", "escalated", "all")
    ]
    more += [f"/api/export.{of}?purpose=sweep" for of in ("csv", "jsonl")] + [
        f"/api/export.csv?purpose=sweep&of={of}" for of in ("figures", "classic")
    ]
    return [
        *paths(call),
        *more,
        *queue,
        *(f"{path}csv/?since=" for path in lists),
        *(f"{path}?q=invoices&since=" for path in lists[:2]),
    ]


def finds(client: Client, path: str) -> bool:
    response = client.get(path)
    return bool(
        MARKS.search(
            b"".join(
                [
                    response.getvalue(),
                    *(f"{name}: {value}".encode() for name, value in response.headers.items()),
                ]
            )
        )
    )


def transcript_of(call: Snapshot) -> str:
    return reverse("admin:conversations_conversation_change", args=[call.conversation_id])


def shows(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.getvalue().decode()


# Nobody is found ----------------------------------------------------------------------------------


def test_without_aliases_the_sweep_finds_the_person_wherever_people_stand(call, settings):
    settings.PSEUDONYMS = False
    lead = client_of("lead", "Lead")
    found = {path for path in swept(call) if finds(lead, path)}
    page = reverse("admin:conversations_snapshot_change", args=[call.id])
    assert {
        transcript_of(call),
        page,
        CONVERSATIONS,
        CALLS,
        "/admin/queue/",
        "/admin/usage/",
        "/admin/conversations/auditevent/",
    } <= found
    assert {
        f"{CALLS}{call.id}/request.json",
        f"{CALLS}csv/?since=",
        "/admin/conversations/auditevent/csv/?since=",
        "/admin/usage/people.csv",
    } <= found
    assert {"/api/export.csv?purpose=sweep", "/api/export.jsonl?purpose=sweep"} <= found


@pytest.mark.parametrize("group", ["Reviewer", "Lead"])
def test_a_reviewer_finds_the_person_nowhere(call, group):
    client = client_of("rita", group)
    assert [path for path in swept(call) if finds(client, path)] == []
    named = alias(call.owner_id)
    for path in (
        CONVERSATIONS,
        CALLS,
        transcript_of(call),
        reverse("admin:conversations_snapshot_change", args=[call.id]),
        "/admin/queue/",
    ):
        assert named in shows(client, path), path
    request = orjson.loads(client.get(f"{CALLS}{call.id}/request.json").content)
    assert (request["user"], request["messages"][0]["name"]) == (alias(f"u{WHO}"), alias(WHO))
    assert request["messages"][0]["content"][0] == {
        "type": "text",
        "text": "which invoices are late",
    }


def test_no_format_of_an_export_names_the_person(call, settings, tmp_path):
    client_of("rita", "Reviewer")
    rita = User.objects.get(username="rita")

    def written(made: type[Format]) -> bytes:
        chosen, format, last = (
            Chosen(tmp_path / "chosen"),
            made(Names(rita), tmp_path),
            selection.newest_seal(),
        )
        chosen.write(Selection(Snapshot.objects.all(), 0, last), conversations=made.conversations)
        return b"".join(
            piece for stretch in chosen.stretches(10) for piece in format.rows(stretch, last)
        )

    found = {name: written(made) for name, made in FORMATS.items()}
    assert [name for name, data in found.items() if MARKS.search(data)] == []
    assert {
        name for name, data in found.items() if alias(call.owner_id).encode() in data
    } == FORMATS.keys() - {"attachments"}
    settings.PSEUDONYMS = False
    assert {
        name for name, made in FORMATS.items() if MARKS.search(written(made))
    } == FORMATS.keys() - {"attachments"}


# A reveal -----------------------------------------------------------------------------------------


def later(monkeypatch, minutes: float) -> None:
    moment = timezone.now() + timedelta(minutes=minutes)
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)


def reveals() -> list[tuple]:
    events = AuditEvent.objects.filter(action=AuditEvent.Action.REVEAL).order_by("id")
    return [
        (event.actor_name, event.kind, event.subject, json.loads(event.detail)["reason"])
        for event in events
    ]


def test_a_reveal_shows_one_conversation_to_one_reader_for_half_an_hour(call, monkeypatch):
    other = turn(call.owner, [user("another matter")], "yes", session_key="another")
    rita, ruth = client_of("rita", "Reviewer"), client_of("ruth", "Reviewer")
    page, there = (
        reverse("admin:conversations_snapshot_change", args=[call.id]),
        transcript_of(call) + "?from=0",
    )
    assert "Reveal for 30 minutes" in shows(rita, there)
    answer = rita.post(
        f"/admin/reveal/{call.conversation_id}/", {"reason": "It may be a threat.", "next": there}
    )
    assert (answer.status_code, answer["location"]) == (302, there)
    assert reveals() == [("rita", "conversation", str(call.conversation_id), "It may be a threat.")]
    assert AuditEvent.objects.get(action="reveal").conversation == call.conversation_id

    revealed = [there, page, f"{CALLS}{call.id}/request.json"]
    assert f"L{WHO}" in shows(rita, there)
    assert "Revealed to you until" in shows(rita, there)
    for mark in ("198.51.100.77", f"agent/{WHO}", f"gw-{WHO}", f"s{WHO}", f"D{WHO}"):
        assert mark in shows(rita, page), mark
    assert orjson.loads(rita.get(revealed[2]).content)["metadata"] == {"who": WHO}
    assert [path for path in swept(call) if finds(ruth, path)] == []
    assert not finds(rita, transcript_of(other))
    assert not finds(rita, reverse("admin:conversations_snapshot_change", args=[other.id]))
    assert [
        path
        for path in (CONVERSATIONS, CALLS, f"{CALLS}csv/", "/admin/queue/", "/admin/usage/")
        if finds(rita, path)
    ] == []

    later(monkeypatch, 29)
    assert all(finds(rita, path) for path in revealed)
    later(monkeypatch, 2)
    assert [path for path in swept(call) if finds(rita, path)] == []
    assert len(reveals()) == 1


def test_a_call_in_no_conversation_is_revealed_by_itself(call):
    refused, rita = Snapshot.objects.get(conversation=None), client_of("rita", "Reviewer")
    page = reverse("admin:conversations_snapshot_change", args=[refused.id])
    assert rita.post(f"/admin/reveal/{call.id}/", {"reason": "why"}).status_code == 404, (
        "it is revealed by its conversation"
    )
    assert (
        rita.post(
            f"/admin/reveal/{refused.id}/", {"reason": "why", "next": "https://elsewhere.example/"}
        )["location"]
        == page
    )
    assert finds(rita, page)
    assert not finds(rita, transcript_of(call))


def test_nobody_is_revealed_without_reason_right_reach_or_record(call, settings):
    rita, path = client_of("rita", "Reviewer"), f"/admin/reveal/{call.conversation_id}/"
    for reason in ("", "   "):
        response = rita.post(path, {"reason": reason})
        assert (response.status_code, b"Give a reason" in response.content) == (400, True)
    assert rita.post("/admin/reveal/").status_code == 400
    assert (
        client_of("legal", "Reviewer", reviews_departments=["Legal"])
        .post(path, {"reason": "why"})
        .status_code
        == 404
    )
    assert (
        client_of("auditor", "Auditor", "Gateway admin").post(path, {"reason": "why"}).status_code
        == 403
    )
    assert client_of("root", is_superuser=True).post(path, {"reason": "why"}).status_code == 403
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_content"))
    (reading := Client()).force_login(reader)
    assert "Reveal" not in shows(reading, transcript_of(call))
    for address in (path, "/admin/reveal/"):
        assert reading.post(address, {"reason": "why"}).status_code == 403
    assert rita.get(path).status_code == 200
    assert not reveals()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "ALTER TABLE conversations_auditevent "
            "ADD CONSTRAINT none_fits CHECK (action IS NULL) NOT VALID"
        )
    rita.raise_request_exception = False
    for address in (path, "/admin/reveal/"):
        with transaction.atomic():
            assert rita.post(address, {"reason": "why"}).status_code == 503
            transaction.set_rollback(True)
    settings.PSEUDONYMS = False
    assert rita.post(path, {"reason": "why"}).status_code == 404


def test_who_loses_the_right_loses_what_was_revealed(call):
    rita = client_of("rita", "Reviewer")
    rita.post(f"/admin/reveal/{call.conversation_id}/", {"reason": "why"})
    assert finds(rita, transcript_of(call))
    User.objects.get(username="rita").groups.get().permissions.remove(
        Permission.objects.get(codename="reveal_identity")
    )
    assert not finds(rita, transcript_of(call))


# Searching ----------------------------------------------------------------------------------------


def found(client: Client, **chosen: str) -> list[str]:
    """Whom the list of calls shows, or why it shows nothing."""
    listed = client.get(CALLS, {"since": "", **chosen}).context["cl"]
    return [error for errors in listed.filter.errors.values() for error in errors] or sorted(
        {row.names.name(row.owner) for row in listed.result_list}
    )


def test_an_alias_is_always_searched_for_and_a_name_for_a_reason(call, monkeypatch):
    rita, ruth, named = (
        client_of("rita", "Reviewer"),
        client_of("ruth", "Reviewer"),
        alias(call.owner_id),
    )
    begins = named.partition("-")[0]
    # a name that begins as the alias does
    alike = turn(person(f"{begins}y"), [user("hello")], "hi").owner_id
    for text in (named, named.upper().replace("-", " "), named[:-3]):
        assert found(rita, user=text) == [named], text
    by_person = [
        {"user": WHO},
        {"q": f"user:{WHO}"},
        {"user": f"L{WHO}"},
        {"user": "nobody"},
        {"source": f"gw-{WHO}"},
        {"department": f"D{WHO}"},
        {"job_title": f"J{WHO}"},
    ]
    for chosen in by_person:
        [error] = found(rita, **chosen)
        assert error.endswith("To search by name, give a reason below."), chosen
        assert rita.get(f"{CALLS}csv/", chosen).status_code == 302
    page = rita.get(CALLS, {"user": WHO}).content.decode()
    assert '<details class="gw-reveal" open>' in page

    answer = rita.post(
        "/admin/reveal/", {"reason": "A complaint names her.", "next": f"{CALLS}?user={WHO}"}
    )
    assert answer["location"] == f"{CALLS}?user={WHO}"
    assert reveals() == [("rita", "user", "", "A complaint names her.")]
    for chosen in by_person:
        assert found(rita, **chosen) == ([] if chosen == {"user": "nobody"} else [named]), chosen
    assert found(rita, user=named) == [named]
    assert found(rita, user=begins) == sorted([named, alias(alike)])
    assert not finds(rita, transcript_of(call)), "a search is not a reveal"
    assert len(found(ruth, user=WHO)) == len(reveals()) == 1
    assert found(ruth, user=WHO) != [named]
    later(monkeypatch, 31)
    assert found(rita, user=WHO) != [named]


def test_a_lead_finds_staff_on_the_audit_trail_by_name_and_others_by_alias(call):
    lead, trail = client_of("lead", "Lead"), "/admin/conversations/auditevent/"
    client_of("rita", "Reviewer").get(CALLS, {"user": WHO})
    assert "rita" in shows(lead, f"{trail}?who=rita")
    assert lead.get(trail, {"who": WHO}).context["cl"].result_count == 0
    assert lead.get(trail, {"who": alias(call.owner_id)}).context["cl"].result_count == 1
    assert finds(client_of("auditor", "Auditor"), f"{trail}?action=sign_in_failed"), (
        "who reads no content sees no alias to match"
    )


# Figures ------------------------------------------------------------------------------------------


def test_who_reads_content_sees_usage_by_alias_and_who_does_not_by_name(call):
    lead, named = client_of("lead", "Lead"), alias(call.owner_id)
    manager = client_of("manager")
    rights = Permission.objects.filter(codename__in=["view_usage", "view_usage_by_user"])
    User.objects.get(username="manager").user_permissions.set(rights)
    for client, seen, unseen in ((lead, named, WHO), (manager, WHO, named)):
        page = shows(client, "/admin/usage/people.csv")
        assert seen in page
        assert unseen not in page
    for name in ("lead", "manager"):
        _, secret = ApiKey.make(User.objects.get(username=name), "figures", scopes=["usage"])
        people = (
            Client()
            .get("/api/usage?of=everyone", headers={"authorization": f"Bearer {secret}"})
            .json()["people"]
        )
        assert [row["name"] for row in people] == [named if name == "lead" else WHO]


def test_a_list_costs_no_query_for_each_alias(call):
    for n in range(4):
        turn(person(f"p{n}"), [user(f"hello {n}")], "hi")
    rita = client_of("rita", "Reviewer")
    for path in (CONVERSATIONS, CALLS, "/admin/queue/"):
        rita.get(path)
        with CaptureQueriesContext(connection) as queries:
            rita.get(path)
        assert len(queries) <= 8, [query["sql"][:120] for query in queries]
