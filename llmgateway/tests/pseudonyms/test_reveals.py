"""A reason on record reveals one conversation, to one reader, for half an hour."""

import json
from datetime import timedelta

import orjson
import pytest
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from conversations.models import AuditEvent, Snapshot, User
from conversations.people.identity import alias
from conversations.tests.calls import person, turn, user
from conversations.tests.cast import client_of
from llmgateway.tests.pseudonyms.zelda import (
    CALLS,
    CONVERSATIONS,
    WHO,
    finds,
    found,
    shows,
    swept,
    transcript_of,
)

pytestmark = pytest.mark.django_db


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

    later(monkeypatch, 20)
    assert all(finds(rita, path) for path in revealed)
    later(monkeypatch, 11)
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
