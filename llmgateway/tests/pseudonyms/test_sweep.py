"""Under PSEUDONYMS a reviewer finds no name on any path; figures are by alias."""

import orjson
import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from conversations.exports import selection
from conversations.exports.format import Format
from conversations.exports.formats import FORMATS
from conversations.exports.selection import Chosen, Selection
from conversations.models import Snapshot, User
from conversations.people.identity import Names, alias
from conversations.tests.calls import person, turn, user
from conversations.tests.cast import client_of
from llmgateway.tests.pseudonyms.zelda import (
    CALLS,
    CONVERSATIONS,
    MARKS,
    WHO,
    finds,
    shows,
    swept,
    transcript_of,
)
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db


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
        [row] = people
        assert (named if name == "lead" else WHO) in row["name"]
        assert (WHO if name == "lead" else named) not in row["name"]


def test_a_list_costs_no_query_for_each_alias(call):
    for n in range(4):
        turn(person(f"p{n}"), [user(f"hello {n}")], "hi")
    rita = client_of("rita", "Reviewer")
    for path in (CONVERSATIONS, CALLS, "/admin/queue/"):
        rita.get(path)
        with CaptureQueriesContext(connection) as queries:
            rita.get(path)
        assert len(queries) <= 8, [query["sql"][:120] for query in queries]
