"""The review desk: rights, lists that page by id, transcripts that show all and obey nothing."""

import base64
import csv
import io
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import urlencode
from uuid import UUID

import orjson
import pytest
from django.contrib.auth.models import Group
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models.expressions import RawSQL
from django.http.response import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from conversations import record
from conversations.admin.call_fields import GROUPS, PAYLOAD
from conversations.models import (
    Attachment,
    AuditEvent,
    Conversation,
    Decision,
    Message,
    Review,
    SavedFilter,
    Snapshot,
    Unsealed,
    Usage,
    User,
)
from conversations.reading.pieces import pieces
from conversations.record import CallRequest, Outcome, attachments, growth, rebuild
from conversations.search import index
from conversations.tests.calls import answer, ask, assistant, person, turn, user
from conversations.tests.cast import signed_in
from conversations.tests.html import Html
from conversations.visible import show_hidden

pytestmark = pytest.mark.django_db
CONVERSATIONS, CALLS = "/admin/conversations/conversation/", "/admin/conversations/snapshot/"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 12


def read(client: Client, path: str) -> tuple[HttpResponseBase, bytes]:
    """The response and its body; a stream is closed at its end."""
    response = client.get(path)
    return response, response.getvalue()


def page_of(call: Snapshot) -> str:
    return reverse("admin:conversations_snapshot_change", args=[call.id])


def transcript_of(call: Snapshot) -> str:
    return reverse("admin:conversations_conversation_change", args=[call.conversation_id])


def ids(response) -> list[UUID]:
    return [row.pk for row in response.context["cl"].result_list]


def text(response) -> str:
    """What a person reads: without tags, entities resolved."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def rows(response) -> list[dict[str, str]]:
    """What a person reads in each cell of a list, by its column."""
    cell = re.compile(r'<t[dh] class="field-(\w+)[^"]*">(.*?)</t[dh]>', re.DOTALL)
    words = lambda html: " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())  # noqa: E731
    found = (
        {name: words(html) for name, html in cell.findall(row)}
        for row in response.content.decode().split("<tr")
    )
    return [row for row in found if row]


def made(owner: User, count: int, **how) -> list[UUID]:
    """So many calls of one message each, a minute apart, the last one now. Oldest first."""
    now = datetime.now(UTC)
    return [
        ask(owner, [user(f"question {i}")], opened=now - timedelta(minutes=count - i), **how).id
        for i in range(count)
    ]


# Who sees what ------------------------------------------------------------------------------------


def content_pages(call: Snapshot, file: Attachment) -> list[str]:
    return [
        CONVERSATIONS,
        CALLS,
        f"{CONVERSATIONS}csv/",
        f"{CALLS}csv/",
        f"{CALLS}?q=secret",
        transcript_of(call),
        page_of(call),
        f"{CALLS}{call.id}/request.json",
        f"{CALLS}{call.id}/response.json",
        f"{CONVERSATIONS}{call.conversation_id}/a/{file.pk}",
        f"{CONVERSATIONS}{call.conversation_id}/history/",
    ]


@pytest.fixture
def call(alice) -> Snapshot:
    picture = {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + base64.b64encode(PNG).decode()},
    }
    return turn(alice, [user([{"type": "text", "text": "my secret"}, picture])], "kept")


def test_reviewers_read_every_content_page(desk, call):
    for path in content_pages(call, Attachment.objects.get()):
        assert read(desk, path)[0].status_code == 200, path


def test_a_superuser_outside_the_group_reads_none(call):
    root = signed_in(User.objects.create_superuser("root"))
    for path in content_pages(call, Attachment.objects.get()):
        response = root.get(path)
        assert response.status_code == 403, path
        assert b"secret" not in response.content, path
    index = root.get("/admin/").content
    assert b"/admin/conversations/user/" in index
    assert CONVERSATIONS.encode() not in index
    assert CALLS.encode() not in index


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_employees_are_sent_to_sign_in_also_for_their_own(name, call):
    for path in content_pages(call, Attachment.objects.get()):
        response = signed_in(person(name)).get(path)
        assert response.status_code == 302, path
        assert response["location"].startswith("/admin/login/?next="), path


def test_a_group_member_who_is_deactivated_or_not_staff_reads_nothing(rita, call):
    rita.is_staff = False
    rita.save()
    assert signed_in(rita).get(CALLS).status_code == 302
    rita.is_staff, rita.is_active = True, False
    rita.save()
    assert signed_in(rita).get(CALLS).status_code == 302


def test_reading_without_the_right_to_export(call):
    reader = User.objects.create_user("reader", is_staff=True)
    reader.groups.add(group := Group.objects.create(name="Readers"))
    group.permissions.add(
        Group.objects.get(name="Reviewer").permissions.get(codename="view_content")
    )
    client = signed_in(reader)
    page = client.get(CALLS)
    assert page.status_code == 200
    assert b"Download CSV" not in page.content
    for path in (f"{CALLS}csv/", f"{CONVERSATIONS}csv/", f"{CALLS}{call.id}/request.json"):
        assert client.get(path).status_code == 403, path


def test_nothing_can_be_added_changed_or_deleted(rita, call):
    rita.is_superuser = True
    rita.save()
    client = signed_in(rita)
    before = (
        list(Snapshot.objects.values()),
        list(Conversation.objects.values()),
        list(Message.objects.values()),
    )
    for base, id in ((CONVERSATIONS, call.conversation_id), (CALLS, call.id)):
        assert client.get(f"{base}add/").status_code == 403
        assert client.post(f"{base}add/", {}).status_code == 403
        assert (
            client.post(f"{base}{id}/change/", {"title": "changed", "status": "ok"}).status_code
            == 403
        )
        assert client.get(f"{base}{id}/delete/").status_code == 403
        assert client.post(f"{base}{id}/delete/", {"post": "yes"}).status_code == 403
        client.post(
            base, {"action": "delete_selected", "_selected_action": [str(id)], "post": "yes"}
        )
    assert before == (
        list(Snapshot.objects.values()),
        list(Conversation.objects.values()),
        list(Message.objects.values()),
    )


def test_an_id_that_does_not_exist_leads_home_with_a_word(desk):
    for base in (CONVERSATIONS, CALLS):
        for id in ("019a0000-0000-7000-8000-000000000000", "nonsense"):
            response = desk.get(f"{base}{id}/change/", follow=True)
            assert response.redirect_chain == [("/admin/", 302)]
            assert "doesn’t exist" in text(response)


# Lists --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [CONVERSATIONS, CALLS])
def test_walking_to_older_pages_shows_every_row_once_whatever_arrives(desk, alice, base):
    made(alice, 120)
    rows = Conversation if base == CONVERSATIONS else Snapshot
    expected = list(rows.objects.order_by("-id").values_list("id", flat=True))
    seen, pages, url = [], 0, base
    while url:
        response = desk.get(url)
        seen += ids(response)
        pages += 1
        ask(alice, [user("meanwhile")])
        older = response.context["cl"].older
        url = base + older if older else ""
    assert seen == expected
    assert pages == 3
    back = desk.get(base + response.context["cl"].newer)
    assert ids(back) == expected[50:100]
    assert ids(desk.get(base + back.context["cl"].newer)) == expected[:50]


@pytest.mark.parametrize(
    "cursor",
    [
        "before=nonsense",
        "after=nonsense",
        "before=",
        "before=00000000-0000-0000-0000-000000000000",
        "after=ffffffff-ffff-ffff-ffff-ffffffffffff",
    ],
)
def test_a_cursor_that_leads_nowhere_leads_to_the_first_page_of_the_filter(desk, alice, cursor):
    made(alice, 3)
    response = desk.get(f"{CALLS}?{cursor}&user=alice")
    assert response.status_code == 302
    assert response["location"] == f"{CALLS}?user=alice"


def test_a_page_costs_eight_queries_at_most_and_reads_no_payload(desk, alice):
    made(alice, 60)
    index.index_messages(list(Snapshot.objects.values_list("id", flat=True)))
    User.objects.update(job_title="Clerk", department="Sales")
    due = datetime.now(UTC)
    Review.objects.bulk_create(
        Review(conversation=each, source="sampled", due=due) for each in Conversation.objects.all()
    )
    chosen = (
        "user=ali&model=m&status=pending&kind=chat&source=page&job_title=Clerk&department=Sales"
        "&review=waiting&assignee=nobody"
    )
    for path in (
        base + query
        for base in (CONVERSATIONS, CALLS)
        for query in ("", f"?{chosen}", f"?q=question&{chosen}")
    ):
        with CaptureQueriesContext(connection) as queries:
            response = desk.get(path)
        assert len(ids(response)) == 50, path
        assert len(queries) <= 8, (path, [query["sql"] for query in queries])
        sql = " ".join(query["sql"] for query in queries if "INSERT INTO" not in query["sql"])
        assert "OFFSET" not in sql
        for payload in ("params", "response", "commitment", "user_agent", "raw"):
            assert f'"{payload}"' not in sql


def test_the_count_ends_at_its_cap(desk, alice, monkeypatch):
    monkeypatch.setattr("conversations.admin.changelist.CAP", 4)
    made(alice, 4)
    assert "4 calls" in text(desk.get(CALLS))
    made(alice, 3)
    response = desk.get(CALLS)
    assert "4+ calls" in text(response)
    assert response.context["cl"].result_count == 5


def test_no_lookup_can_be_smuggled_in(desk, alice, call):
    response = desk.get(f"{CALLS}?owner__password__startswith=pbkdf2&o=-1.2&p=7&all=")
    assert response.status_code == 200
    assert ids(response) == [call.id]


# Filters ------------------------------------------------------------------------------------------


@pytest.fixture
def varied(alice) -> dict[str, UUID]:
    """Calls that differ from one another in one thing each, newest last."""
    bob, now = person("bob"), datetime.now(UTC)
    User.objects.filter(pk=bob.pk).update(
        first_name="Robert",
        last_name="Brandt",
        email="bb@example.com",
        external_id="E-77",
        department="Legal",
        job_title="Counsel",
    )

    def one(owner, *, kind="chat", model="m", status="ok", days=0, **how) -> UUID:
        at = now - timedelta(days=days)
        messages = [user(f"about {how.get('key', 'pages')} {model} {status}")]
        call = record.open(
            CallRequest(
                owner=owner.pk,
                kind=kind,
                model=model,
                body={"model": model, "messages": messages},
                messages=messages,
                sent=b"{}",
                opened=at,
                **how,
            )
        )
        record.close(call, Outcome(status=status, closed=at))
        return call.id

    return {
        "old": one(alice, days=45),
        "lastweek": one(alice, days=7),
        "plain": one(alice),
        "bob": one(bob),
        "other model": one(alice, model="gpt-4o"),
        "failed": one(alice, status="failed"),
        "image": one(alice, kind="image"),
        "key": one(alice, key="gw-abcdefgh"),
        "azure": one(alice, upstream="azure"),
    }


RECENT = {"lastweek", "plain", "bob", "other model", "failed", "image", "key", "azure"}
ago = lambda days: (datetime.now(UTC) - timedelta(days=days)).date().isoformat()  # noqa: E731


@pytest.mark.parametrize(
    ("query", "expected", "words"),
    [
        ({}, RECENT, "in the last 30 days"),
        ({"since": ""}, RECENT | {"old"}, "of all time"),
        ({"since": ago(60)}, RECENT | {"old"}, "in the last 61 days"),
        ({"since": ago(0)}, RECENT - {"lastweek"}, "today"),
        ({"since": ago(7), "until": ago(7)}, {"lastweek"}, "on "),
        ({"until": ago(7)}, {"lastweek", "old"}, "to "),
        ({"user": "bob"}, {"bob"}, "by “bob”"),
        ({"user": "Rob"}, {"bob"}, "by “Rob”"),
        ({"user": "bra"}, {"bob"}, "by “bra”"),
        ({"user": "E-77"}, {"bob"}, "by “E-77”"),
        ({"user": "zed"}, set(), "by “zed” (nobody)"),
        ({"department": "Legal"}, {"bob"}, "department Legal"),
        ({"job_title": "Counsel"}, {"bob"}, "job title Counsel"),
        (
            {"job_title": "Counsel", "department": "Sales"},
            set(),
            "job title Counsel, department Sales",
        ),
        ({"upstream": "azure"}, {"azure"}, "upstream azure"),
        ({"model": "gpt-4o"}, {"other model"}, "model gpt-4o"),
        ({"status": "failed"}, {"failed"}, "status failed"),
        ({"kind": "image"}, {"image"}, "kind image"),
        ({"source": "page"}, RECENT - {"key"}, "through the gateway’s pages"),
        ({"source": "key"}, {"key"}, "through API keys"),
        ({"source": "gw-abcdefgh"}, {"key"}, "through API key gw-abcdefgh…"),
        ({"q": "gpt-4o"}, {"other model"}, "with the words “gpt-4o”"),
        ({"q": "gpt-4o", "user": "bob"}, set(), "with the words “gpt-4o”"),
        (
            {"q": "pages m ok", "since": ago(0)},
            {"plain", "bob", "image", "azure"},
            "with the words",
        ),
    ],
)
def test_filters_of_both_lists(desk, varied, query, expected, words):
    index.index_messages(list(varied.values()))
    response = desk.get(CALLS, query)
    names = {id: name for name, id in varied.items()}
    assert {names[id] for id in ids(response)} == expected
    assert words in text(response)
    response = desk.get(CONVERSATIONS, query)
    of = dict(Snapshot.objects.values_list("conversation_id", "id"))
    assert {names[of[id]] for id in ids(response)} == expected


def test_a_conversation_of_long_ago_is_found_by_its_call_of_today(desk, alice):
    started = turn(alice, [user("hi")], "hello", opened=datetime.now(UTC) - timedelta(days=90))
    assert ids(desk.get(CONVERSATIONS)) == []
    turn(alice, [user("hi"), assistant("hello"), user("again")], "yes?")
    assert ids(desk.get(CONVERSATIONS)) == [started.conversation_id]
    assert ids(desk.get(CONVERSATIONS, {"until": ago(1), "since": ago(80)})) == []


def test_ids_are_found_on_any_day_by_their_beginning_too(desk, varied):
    call = Snapshot.objects.get(id=varied["old"])
    for q in (
        str(call.id),
        call.id.hex,
        str(call.id).upper(),
        f"id:{call.id}",
        f"id: {str(call.id)[:18]}",
        str(call.conversation_id),
    ):
        assert ids(desk.get(CALLS, {"q": q, "user": "nobody"})) == [call.id], q
        assert ids(desk.get(CONVERSATIONS, {"q": q})) == [call.conversation_id], q


@pytest.mark.parametrize(
    "query",
    [
        {"since": "yesterday"},
        {"since": "2026-02-01", "until": "2026-01-01"},
        {"since": "0001-01-01"},
        {"until": "9999-12-31"},
        {"status": "great"},
        {"kind": "x"},
        {"q": "id:xyz"},
        {"q": "id:0"},
        {"q": "id:01234567 words"},
        {"q": "user:"},
        {"q": "user: model:m"},
        {"q": "user:a user:b"},
        {"q": "-user:bob"},
        {"q": 'model:""'},
        {"q": "a\0b"},
        {"q": "x" * 201},
        {"user": "a\0"},
        {"model": "\0"},
    ],
)
def test_a_wrong_filter_says_so_and_shows_nothing(desk, call, query):
    for base in (CALLS, CONVERSATIONS):
        response = desk.get(base, query)
        assert response.status_code == 200
        assert ids(response) == []
        assert response.context["cl"].filter.errors
        assert "Correct the filter" in text(response)
        assert desk.get(f"{base}csv/", query).status_code == 302


def test_prefixes_in_the_search_box_are_another_way_into_the_fields(desk, varied):
    index.index_messages(list(varied.values()))
    names = {id: name for name, id in varied.items()}
    User.objects.filter(username="alice").update(first_name="Ada L")

    def chosen(response):
        data = response.context["cl"].filter.data
        return {name: value for name, value in data.items() if value and name != "since"}

    for q, expected, fields in (
        ("user:bob", {"bob"}, {"user": "bob"}),
        ("USER: bob about", {"bob"}, {"user": "bob", "q": "about"}),
        ('model:"gpt-4o" user:"Ada L"', {"other model"}, {"model": "gpt-4o", "user": "Ada L"}),
        ("about model:gpt-4o user:bob", set(), {"q": "about", "model": "gpt-4o", "user": "bob"}),
        ('"pages m" -ok', {"failed"}, {"q": '"pages m" -ok'}),
        ('"user:bob"', set(), {"q": '"user:bob"'}),
    ):
        response = desk.get(CALLS, {"q": q})
        assert {names[id] for id in ids(response)} == expected, q
        assert chosen(response) == fields, q
        assert {names[id] for id in ids(desk.get(CALLS, fields))} == expected, q
    response = desk.get(CALLS, {"q": "user:bob", "user": "alice"})
    assert {names[id] for id in ids(response)} == {"bob"}
    assert "by “bob”" in text(response)
    assert [field["value"] for field in Html(response).all("input", name="user")] == ["bob"]
    event = AuditEvent.objects.latest("id")
    assert (event.terms, orjson.loads(event.detail)["filter"]["user"]) == ("", "bob")


def test_a_name_that_begins_too_many_is_refused(desk, alice, call):
    User.objects.bulk_create(User(username=f"clone{i}") for i in range(101))
    assert "More than 100 people" in text(desk.get(CALLS, {"user": "clone"}))


def test_a_search_that_finds_too_much_says_so_and_is_not_exported(desk, alice, monkeypatch):
    monkeypatch.setattr(index, "CAP", 2)
    calls = made(alice, 3)
    index.index_messages(calls)
    response = desk.get(CALLS, {"q": "question"})
    assert "only the newest 2 were searched. Narrow your search" in text(response)
    assert ids(response) == calls[:0:-1]
    assert b"Download CSV" not in response.content
    assert desk.get(f"{CALLS}csv/", {"q": "question"})["location"] == f"{CALLS}?q=question"


def test_a_search_says_what_is_not_searchable_yet(desk, alice):
    Unsealed.objects.all().delete()
    index.index_messages(made(alice, 1))
    assert "not searchable yet" not in text(desk.get(CALLS, {"q": "question"}))
    for _ in range(2):
        turn(alice, [user("question new")], "yes")
    Unsealed.objects.filter(kind="snapshot").update(closed=timezone.now() - timedelta(seconds=7))
    for base in (CALLS, CONVERSATIONS):
        assert re.search(
            r"The newest 2 calls are not searchable yet: the search is \d+\.\d s behind\.",
            text(desk.get(base, {"q": "question"})),
        )
        assert "not searchable yet" not in text(desk.get(base))
        assert "not searchable yet" not in text(desk.get(base, {"q": "id:01234567"}))


def test_days_are_the_readers_own(rita, alice):
    late = datetime(2026, 3, 10, 23, 30, tzinfo=UTC)
    call = turn(alice, [user("hi")], "hello", opened=late)
    client = signed_in(rita)
    assert ids(client.get(CALLS, {"since": "2026-03-10", "until": "2026-03-10"})) == [call.id]
    User.objects.filter(pk=rita.pk).update(time_zone="Europe/Berlin")
    assert ids(client.get(CALLS, {"since": "2026-03-10", "until": "2026-03-10"})) == []
    response = client.get(CALLS, {"since": "2026-03-11", "until": "2026-03-11"})
    assert ids(response) == [call.id]
    assert "2026-03-11 00:30:00" in text(response)
    assert "Times are in Europe/Berlin" in text(response)


def test_the_values_to_choose_from_are_those_on_record(desk, rita, alice):
    Usage.objects.create(day=datetime.now(UTC).date(), owner=alice, model="rolled-up")
    User.objects.filter(pk=alice.pk).update(job_title="Clerk", department="Sales")
    User.objects.create_user("bob", job_title="Counsel", department="Legal")
    for upstream in ("azure", "openai", "azure"):
        ask(alice, [user("hi")], upstream=upstream)
    page = desk.get(CALLS)
    offered = {
        name: [value for value, _ in page.context["cl"].filter.fields[name].widget.choices]
        for name in ("upstream", "job_title", "department")
    }
    assert offered == {
        "upstream": ["", "azure", "openai"],
        "job_title": ["", "Clerk", "Counsel"],
        "department": ["", "Legal", "Sales"],
    }
    assert '<option value="rolled-up">' in page.content.decode()
    assert '<option value="gone" selected>' in desk.get(CALLS, {"model": "gone"}).content.decode()
    User.objects.filter(pk=rita.pk).update(reviews_departments=["Sales"])
    assert b"Counsel" not in desk.get(CALLS).content


# Where reviews stand ------------------------------------------------------------------------------


@pytest.fixture
def reviewed(rita, alice) -> dict[str, UUID]:
    """Conversations by where their review stands, begun in this order."""
    rolf, now = User.objects.create_user("rolf"), datetime.now(UTC)
    names = ("never", "waits", "mine", "rolf's", "over", "fine", "bad", "escalated", "went on")
    calls = {name: turn(alice, [user(f"about {name}")], "answer") for name in names}

    def stands(name: str, **how) -> None:
        disposition = how.pop("decided", "")
        about = {
            "conversation": calls[name].conversation,
            "newest": calls[name].id,
            "reviewer": rolf,
        }
        decision = (
            Decision.objects.create(disposition=disposition, **about) if disposition else None
        )
        Review.objects.create(
            conversation=calls[name].conversation,
            decision=decision,
            due=now,
            **({"source": "sampled"} | how),
        )

    stands("waits")
    stands("mine", assignee=rita)
    stands("rolf's", assignee=rolf, lease=now + timedelta(minutes=5))
    stands("over", assignee=rita, lease=now - timedelta(minutes=5))
    stands("fine", state="decided", decided="no_issue")
    stands("bad", state="decided", decided="violation")
    stands("escalated", decided="escalated", source="escalated")
    stands("went on", decided="no_issue", source="reopened")
    for more in ("more", "and more"):
        turn(alice, [user(more)], "yes", root=calls["went on"].conversation_id)
    ask(alice, [user("pending")], root=calls["went on"].conversation_id)
    return {name: call.conversation_id for name, call in calls.items()}


@pytest.mark.parametrize(
    ("query", "expected", "words"),
    [
        ({"review": "none"}, {"never"}, "not reviewed"),
        (
            {"review": "waiting"},
            {"waits", "mine", "rolf's", "over", "escalated", "went on"},
            "waiting for a review",
        ),
        ({"review": "decided"}, {"fine", "bad"}, "decided"),
        ({"review": "new"}, {"went on"}, "with calls that are new since their review"),
        ({"review": "no_issue"}, {"fine", "went on"}, "last decided “no issue”"),
        ({"review": "violation"}, {"bad"}, "last decided “violation”"),
        ({"review": "escalated"}, {"escalated"}, "last decided “escalated”"),
        ({"review": "false_positive"}, set(), "last decided “false positive”"),
        ({"assignee": "me"}, {"mine"}, "assigned to you"),
        (
            {"assignee": "nobody"},
            {"waits", "over", "escalated", "went on"},
            "waiting and unassigned",
        ),
        (
            {"review": "new", "assignee": "nobody", "user": "alice", "until": ago(0)},
            {"went on"},
            "waiting and unassigned",
        ),
        ({"review": "decided", "assignee": "me"}, set(), "decided, assigned to you"),
        ({"review": "none", "assignee": "me"}, set(), "not reviewed, assigned to you"),
        ({"review": "waiting", "model": "other"}, set(), "waiting for a review"),
    ],
)
def test_conversations_by_their_review(desk, reviewed, query, expected, words):
    response = desk.get(CONVERSATIONS, query)
    names = {id: name for name, id in reviewed.items()}
    assert {names[id] for id in ids(response)} == expected
    assert words in text(response)
    found = {
        row["root_gpt_id"]
        for row in csv.DictReader(
            io.StringIO(
                read(desk, f"{CONVERSATIONS}csv/?{urlencode(query)}")[1].decode("utf-8-sig")
            )
        )
    }
    assert {names[UUID(id)] for id in found} == expected


def test_the_list_says_where_each_review_stands(desk, reviewed):
    page = desk.get(CONVERSATIONS)
    assert {
        cells["name"].removeprefix("about "): [cells["reviewed"], cells["assigned"]]
        for cells in rows(page)
    } == {
        "never": ["not reviewed", "–"],
        "waits": ["waiting drawn", "–"],
        "mine": ["waiting drawn", "rita"],
        "rolf's": ["waiting drawn", "rolf"],
        "over": ["waiting drawn", "–"],
        "fine": ["no issue", "–"],
        "bad": ["violation", "–"],
        "escalated": ["waiting escalated", "–"],
        "went on": [
            "waiting continued after a decision previously: no issue 2 new since the review",
            "–",
        ],
    }


def test_a_transcript_marks_what_is_new_since_the_review(desk, reviewed):
    path = reverse("admin:conversations_conversation_change", args=[reviewed["went on"]])
    newest = (
        Snapshot.objects.filter(conversation=reviewed["went on"])
        .exclude(status="pending")
        .latest("id")
    )
    assert [
        turn.new for turn in desk.get(path, {"call": str(newest.id)}).context["transcript"].turns
    ] == [True, True]
    first = Snapshot.objects.filter(conversation=reviewed["went on"]).earliest("id")
    assert [
        turn.new for turn in desk.get(path, {"call": str(first.id)}).context["transcript"].turns
    ] == [False, False]
    assert text(desk.get(path, {"call": str(newest.id)})).count("new since the review") == 2
    assert "new since the review" not in text(
        desk.get(reverse("admin:conversations_conversation_change", args=[reviewed["never"]]))
    )


def test_what_is_new_is_counted_up_to_a_hundred(desk, reviewed, alice, monkeypatch):
    monkeypatch.setattr("conversations.admin.conversation.NEW", 1)
    assert "1+ new since the review" in text(desk.get(CONVERSATIONS, {"review": "new"}))


# Saved filters ------------------------------------------------------------------------------------


def saved(response) -> dict[str, str]:
    """The filters that the list offers, by name: where each leads."""
    return {
        unescape(name): path
        for path, name in re.findall(
            r'<li><a href="([^"]+/saved/\d+/)">([^<]*)</a>', response.content.decode()
        )
    }


def test_a_filter_is_kept_opened_and_deleted_by_its_reader_alone(desk, rita, varied):
    query = "?q=about+user:bob&since=&until=&status=ok&nonsense=1&before=x"
    page = desk.post(f"{CALLS}saved/{query}", {"name": " <b>Bob’s</b> "}, follow=True)
    assert "Saved: <b>Bob’s</b>." in text(page)
    assert "<b>Bob" not in page.content.decode()
    path = saved(page)["<b>Bob’s</b>"]
    assert desk.get(path)["location"] == f"{CALLS}?since=&q=about&user=bob&status=ok"
    index.index_messages(list(varied.values()))
    assert ids(desk.get(path, follow=True)) == [varied["bob"]]
    assert saved(desk.get(CONVERSATIONS)) == {}, "each list has its own"
    other = User.objects.create_user("olga", is_staff=True)
    other.groups.add(Group.objects.get(name="Reviewer"))
    stranger = signed_in(other)
    assert saved(stranger.get(CALLS)) == {}
    assert stranger.get(path).status_code == 404
    assert stranger.post(f"{path}delete/").status_code == 404
    assert desk.get(path.replace("snapshot", "conversation")).status_code == 404
    assert desk.get(f"{path}delete/").status_code == 405
    assert desk.get(f"{CALLS}saved/").status_code == 405
    rita.groups.clear()
    assert desk.get(path).status_code == 403
    assert desk.post(f"{CALLS}saved/", {"name": "x"}).status_code == 403
    rita.groups.add(Group.objects.get(name="Reviewer"))
    assert "Deleted" in text(desk.post(f"{path}delete/", follow=True))
    assert not SavedFilter.objects.exists()
    events = AuditEvent.objects.filter(kind="savedfilter").order_by("id")
    assert list(events.values_list("action", "terms")) == [
        ("added", "<b>Bob’s</b>: about"),
        ("deleted", "<b>Bob’s</b>"),
    ]
    assert orjson.loads(events[0].detail)["filter"] == {"user": "bob", "status": "ok"}


def test_the_usual_days_of_a_saved_filter_go_with_the_time(desk, alice):
    for query, kept in (
        ("", ""),
        (f"since={ago(29)}&until=", ""),
        (f"since={ago(28)}", f"since={ago(28)}"),
        (f"since={ago(29)}&until={ago(1)}", f"since={ago(29)}&until={ago(1)}"),
        ("since=", "since="),
    ):
        desk.post(f"{CALLS}saved/?{query}", {"name": "days"})
        assert SavedFilter.objects.get().query == kept, query


def test_what_cannot_be_saved_is_said_and_not_saved(desk, rita, call, monkeypatch):
    monkeypatch.setattr(SavedFilter, "MOST", 1)
    for query, name, problem in (
        ("", "", "This field cannot be blank"),
        ("", "x" * 101, "at most 100 characters"),
        ("", "a\0b", "Null characters"),
        ("status=great", "x", "Correct the filter"),
    ):
        form = urlencode({"name": name})
        assert problem in text(
            desk.post(
                f"{CALLS}saved/?{query}", form, "application/x-www-form-urlencoded", follow=True
            )
        ), name
    assert not SavedFilter.objects.exists()
    desk.post(f"{CALLS}saved/?status=ok", {"name": "one"})
    assert "Delete one first" in text(
        desk.post(f"{CALLS}saved/?status=ok", {"name": "two"}, follow=True)
    )
    desk.post(f"{CALLS}saved/?status=failed", {"name": "one"})
    assert SavedFilter.objects.get().query == "status=failed"
    SavedFilter.objects.update(query="status=gone")
    assert "Correct the filter" in text(
        desk.get(f"{CALLS}saved/{SavedFilter.objects.get().pk}/", follow=True)
    )


# A list that takes too long -----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_takes_too_long_is_stopped_said_and_on_the_trail(desk, alice, monkeypatch):
    call = turn(alice, [user("my secret")], "kept")
    index.index_messages([call.id])
    slow = RawSQL("pg_sleep(60)::text", [])
    monkeypatch.setattr("conversations.admin.patience.SECONDS", 0.2)
    monkeypatch.setattr(
        "conversations.admin.snapshot.SnapshotAdmin.select_columns",
        lambda self, rows: rows.annotate(slow=slow),
    )
    monkeypatch.setattr(
        index, "MATCHING", index.MATCHING.replace("WHERE", "WHERE pg_sleep(60) IS NULL AND")
    )
    for path in (
        CALLS,
        f"{CALLS}?q=secret",
        f"{CONVERSATIONS}?q=secret&user=ali",
        f"{CALLS}csv/?q=secret",
    ):
        response = desk.get(path)
        assert response.status_code == 503, path
        assert "took longer than 0.2 seconds and was stopped" in text(response)
        assert b"my secret" not in response.content
        assert "retry-after" not in response
        assert [form["action"] for form in Html(response).all("form", id="gw-filter")] == [
            path.partition("?")[0].removesuffix("csv/")
        ]
        event = AuditEvent.objects.latest("id")
        assert (event.action, orjson.loads(event.detail)["stopped"]) == (
            "search" if "q=" in path else "list",
            True,
        )
    assert (
        'name="user" value="ali"' in desk.get(f"{CONVERSATIONS}?q=secret&user=ali").content.decode()
    )
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
    Review.objects.create(conversation=call.conversation, source="sampled", due=timezone.now())
    monkeypatch.setattr(
        "conversations.admin.queue.waiting",
        lambda request, which: Review.objects.annotate(slow=slow).filter(slow=""),
    )
    assert desk.get("/admin/queue/").status_code == 503
    monkeypatch.undo()
    assert ids(desk.get(f"{CALLS}?q=secret")) == [call.id]


# Transcripts --------------------------------------------------------------------------------------


def said(response) -> list[str]:
    return [
        "".join(piece.text for piece in turn.pieces)
        for turn in response.context["transcript"].turns
    ]


def test_each_message_once_in_order(desk, alice):
    system = {"role": "system", "content": "be kind"}
    line = [system, user("one")]
    for i in range(3):
        last = turn(alice, line, f"answer {i}")
        line = [*line, assistant(f"answer {i}"), user(f"more {i}")]
    response = desk.get(transcript_of(last))
    assert said(response) == ["one", "answer 0", "more 0", "answer 1", "more 1", "answer 2"]
    body = response.content.decode()
    assert body.count("be kind") == 1
    assert re.search(
        r"<details><summary>System prompt</summary>\s*<div class=\"gw-text\">be kind", body
    )
    for call in Snapshot.objects.all():
        assert page_of(call) in body


def test_a_system_prompt_that_changes_is_shown_where_it_does(desk, alice):
    turn(alice, [{"role": "system", "content": "first"}, user("a")], "b")
    turn(
        alice, [{"role": "system", "content": "second"}, user("a"), assistant("b"), user("c")], "d"
    )
    last = turn(alice, [user("a"), assistant("b"), user("c"), assistant("d"), user("e")], "f")
    turns = desk.get(transcript_of(last)).context["transcript"].turns
    assert [
        (turn.prompt_change, [piece.text for each in turn.prompt_pieces for piece in each])
        for turn in turns
    ] == [
        ("system prompt", ["first"]),
        ("", []),
        ("system prompt changed", ["second"]),
        ("", []),
        ("no system prompt from here on", []),
        ("", []),
    ]


def test_branches_are_selectable(desk, alice):
    turn(alice, [user("a")], "b")
    turn(alice, [user("a"), assistant("b"), user("left")], "L")
    right = turn(alice, [user("a"), assistant("b"), user("right")], "R")
    response = desk.get(transcript_of(right))
    assert said(response) == ["a", "b", "right", "R"]
    assert "2 of 2" in text(response)
    [link] = re.findall(r'href="(\?at=[^"#]+)#', response.content.decode())
    response = desk.get(transcript_of(right) + link)
    assert said(response) == ["a", "b", "left", "L"]
    assert "1 of 2" in text(response)
    assert said(desk.get(transcript_of(right), {"call": str(right.id)})) == ["a", "b", "right", "R"]
    for nonsense in ("?at=nonsense", f"?at={right.id}", "?from=-1", "?from=99999999999", "?call=x"):
        assert said(desk.get(transcript_of(right) + nonsense)) == ["a", "b", "right", "R"]


def test_an_edited_first_message_is_a_version_too(desk, alice):
    first = turn(alice, [user("one")], "1")
    turn(alice, [user("two")], "2", root=first.conversation_id)
    response = desk.get(transcript_of(first))
    assert said(response) == ["two", "2"]
    [link] = re.findall(r'href="(\?at=[^"#]+)#', response.content.decode())
    assert said(desk.get(transcript_of(first) + link)) == ["one", "1"]


def test_claimed_turns_are_marked_and_relayed_ones_not(desk, alice):
    call = turn(
        alice, [user("a"), assistant("I promise you a refund"), user("when?")], "What refund?"
    )
    response = desk.get(transcript_of(call))
    claimed, relayed = re.findall(
        r'<li class="gw-turn gw-role-assistant([^"]*)"', response.content.decode()
    )
    assert claimed == " gw-claimed"
    assert relayed == ""
    assert text(response).count("claimed by the caller, not relayed") == 1


def test_failures_partial_answers_and_growing_ones_are_visible(desk, alice):
    failed = ask(alice, [user("a")])
    record.close(
        failed,
        Outcome(status="failed", error_code="upstream_unavailable", error="The upstream is down."),
    )
    root = failed.conversation
    cut = ask(alice, [user("a")], root=root)
    answer(cut, "half an ans", status="cancelled")
    growing = ask(alice, [user("b")], root=root)
    growth.save_piece(growing.id, 0, "still wri")
    path = reverse("admin:conversations_conversation_change", args=[root])
    shown = text(desk.get(path, {"call": str(cut.id)}))
    assert "failed" in shown
    assert "The upstream is down. upstream_unavailable" in shown
    assert "half an ans" in shown
    assert "cancelled" in shown
    shown = text(desk.get(path))
    assert "pending" in shown
    assert "still wri" in shown


def test_a_long_conversation_is_read_in_pages(desk, alice):
    line = [user("q0")]
    for i in range(1, 120):
        line.append(assistant(f"a{i}") if i % 2 else user(f"q{i}"))
    call = turn(alice, line[:-1], "end")
    path = transcript_of(call)
    with CaptureQueriesContext(connection) as queries:
        response = desk.get(path)
    assert len(queries) <= 8
    assert said(response)[0] == "q0"
    assert len(said(response)) == 100
    later = desk.get(f"{path}?from=100")
    assert said(response) + said(later) == [*(message["content"] for message in line[:-1]), "end"]
    assert said(desk.get(f"{path}?call={call.id}"))[-1] == "end"


def test_a_long_text_is_all_there(desk, alice):
    long = "word " * 10_000
    call = turn(alice, [user(long)], "short", title="long")
    body = desk.get(transcript_of(call)).content.decode()
    assert body.count("word ") == 10_000
    assert "44,000 more characters" in body


HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> [a](javascript:alert(1)) "
    "{{ request }}"
)
HOSTILE += " \u202egnp.exe\u202c\u200b\u2066\x07\x1b[31m\ufeff\U000e0041"


def test_hostile_text_is_inert_and_hidden_characters_are_named(desk, alice):
    User.objects.filter(pk=alice.pk).update(
        job_title=HOSTILE.replace("\x07", "").replace("\x1b", "")[:140], first_name="<b>Eve</b>"
    )
    tool_calls = [
        {"id": HOSTILE, "type": "function", "function": {"name": HOSTILE, "arguments": HOSTILE}}
    ]
    asked = ask(
        alice,
        [{"role": "system", "content": HOSTILE}, user(HOSTILE)],
        title=HOSTILE,
        user_agent=HOSTILE,
        params={"x": HOSTILE},
    )
    answer(asked, HOSTILE, tool_calls=tool_calls, odd=HOSTILE)
    failed = ask(alice, [user(HOSTILE)], root=asked.conversation)
    record.close(
        failed,
        Outcome(
            status="failed",
            error_code=HOSTILE,
            error=HOSTILE,
            served_model=HOSTILE,
            finish_reason=HOSTILE,
        ),
    )
    Conversation.objects.update(title=HOSTILE)
    call = Snapshot.objects.get(id=asked.id)
    index.index_messages([call.id, failed.id])
    pages = [
        transcript_of(call),
        f"{transcript_of(call)}?call={call.id}",
        page_of(call),
        page_of(Snapshot.objects.get(id=failed.id)),
        CONVERSATIONS,
        CALLS,
    ]
    pages += [f"{CALLS}?q={HOSTILE[:25]}&user={HOSTILE[:25]}&model={HOSTILE[:25]}"]
    for path in pages:
        response = desk.get(path)
        body = response.content.decode()
        assert response.status_code == 200
        assert "<script>alert" not in body, path
        assert "<img src=x" not in body, path
        assert "<b>Eve" not in body, path
        assert not set("\u202e\u202c\u200b\u2066\x07\x1b\ufeff\U000e0041") & set(body), path
        assert "default-src 'self'" in response["content-security-policy"]
        assert "unsafe" not in response["content-security-policy"]
        for tag, attributes in Html(response).tags:
            assert tag not in ("style", "iframe", "object", "base"), path
            assert tag != "script" or attributes["src"].startswith("/static/admin"), path
            assert not [name for name in attributes if name.startswith("on") or name == "style"], (
                path
            )
            for address in (
                attributes.get("href"),
                attributes.get("src"),
                attributes.get("action"),
            ):
                assert not address or address.startswith(("/", "?", "#")), path
    body = desk.get(transcript_of(call), {"call": str(call.id)}).content.decode()
    for name in ("202E", "202C", "200B", "2066", "0007", "001B", "FEFF", "E0041"):
        assert f'<span class="gw-hidden">‹U+{name}›</span>' in body


def test_every_hidden_character_is_named():
    obeyed = [
        chr(c)
        for c in range(0x110000)
        if unicodedata.category(chr(c)) in ("Cc", "Cf", "Zl", "Zp") and chr(c) not in "\t\n"
    ]
    assert [f"{ord(c):04X}" for c in obeyed if f"‹U+{ord(c):04X}›" not in show_hidden(c)] == []
    assert show_hidden("a\tb\nc\r\nd") == "a\tb\nc\nd"
    assert show_hidden("a\rb") == 'a<span class="gw-hidden">‹U+000D›</span>b'
    assert show_hidden("❤️ naïve 日本 العربية") == "❤️ naïve 日本 العربية"
    assert "FE0F" in show_hidden("a\ufe0f\ufe0f")
    assert show_hidden("<b>‹U+202E›") == "&lt;b&gt;‹U+202E›"


@pytest.mark.parametrize(
    "message",
    [
        user("plain"),
        user(
            [
                {"type": "text", "text": "a"},
                {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}},
            ]
        ),
        user(
            [
                {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
                {"type": "image_url", "image_url": {"url": "u", "detail": "low"}},
            ]
        ),
        user(
            [
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                "bare",
                7,
                None,
            ]
        ),
        user({"odd": "object"}),
        assistant(
            None,
            tool_calls=[
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a": 1, "a": 2}'},
                }
            ],
            refusal="no",
        ),
        assistant(
            "x",
            tool_calls=[
                {"id": "c1", "type": "custom", "custom": {"name": "grep", "input": "needle"}},
                "odd",
            ],
            reasoning_content="because",
        ),
        assistant(
            "x",
            function_call={"name": "old", "arguments": "{}"},
            refusal=5,
            tool_calls={"not": "a list"},
        ),
        {"role": "tool", "tool_call_id": "c1", "content": "42", "name": "f"},
        {"role": ["odd"], "content": "nul \0 byte"},
    ],
)
def test_pieces_show_every_value_of_a_message(message):
    from conversations.record.threads import put_together, take_apart

    found = pieces(put_together(*take_apart(message)))
    shown = "".join(piece.text + piece.label for piece in found).replace("\\", "")

    def values(value):
        if isinstance(value, dict):
            return [inner for item in value.values() for inner in values(item)]
        return (
            [inner for item in value for inner in values(item)]
            if isinstance(value, list)
            else [value]
        )

    told = {"user", "assistant", "tool", "function", "text", "image_url", None}
    for value in values(message):
        if value not in told:
            assert str(value).replace("\0", "u0000") in shown.replace("\0", "u0000"), value


# Files --------------------------------------------------------------------------------------------


def test_an_image_is_shown_from_our_own_storage(desk, call):
    file = Attachment.objects.get()
    address = f"{CONVERSATIONS}{call.conversation_id}/a/{file.pk}"
    assert f'<img src="{address}"' in desk.get(transcript_of(call)).content.decode()
    response, body = read(desk, address)
    assert body == PNG
    assert response["content-type"] == "image/png"
    assert response["content-security-policy"] == "sandbox; default-src 'none'"
    assert response["x-content-type-options"] == "nosniff"
    assert "no-store" in response["cache-control"]
    assert response["content-disposition"].startswith("inline")


def test_a_file_is_what_its_bytes_say_and_no_page(desk, alice):
    html = b"<html><script>alert(1)</script>" * 100
    url = "data:image/png;base64," + base64.b64encode(html).decode()
    call = turn(alice, [user([{"type": "image_url", "image_url": {"url": url}}])], "ok")
    response, _ = read(
        desk, f"{CONVERSATIONS}{call.conversation_id}/a/{Attachment.objects.get().pk}"
    )
    assert response["content-type"] == "application/octet-stream"
    assert response["content-disposition"].startswith("attachment")


def test_files_are_reached_through_their_own_conversation_or_call_only(desk, alice, call):
    file = Attachment.objects.get()
    other = turn(alice, [user("no files here")], "none")
    refused = record.refuse(
        CallRequest(
            owner=alice.pk, kind="chat", model="m", body=rebuild.rebuild_request(call), sent=b"{}"
        ),
        "blocked",
        "Not this.",
    )
    loose = Attachment.objects.get(conversation=None)
    stranger = record.refuse(
        CallRequest(owner=alice.pk, kind="chat", model="m", body={"model": "m"}, sent=b"{}"),
        "blocked",
        "Not this.",
    )
    assert desk.get(f"{CONVERSATIONS}{other.conversation_id}/a/{file.pk}").status_code == 404
    assert desk.get(f"{CONVERSATIONS}{other.conversation_id}/a/{loose.pk}").status_code == 404
    assert read(desk, f"{CALLS}{refused}/a/{loose.pk}")[1] == PNG
    assert (
        f"{CALLS}{refused}/a/{loose.pk}" in desk.get(f"{CALLS}{refused}/change/").content.decode()
    )
    assert desk.get(f"{CALLS}{refused}/a/{file.pk}").status_code == 404
    assert desk.get(f"{CALLS}{stranger}/a/{loose.pk}").status_code == 404
    assert desk.get(f"{CALLS}{call.id}/a/{file.pk}").status_code == 404


def test_a_file_that_storage_lost_takes_no_page_down(desk, call):
    file = Attachment.objects.get()
    default_storage.delete(attachments.storage_name(bytes(file.sha256)))
    assert desk.get(f"{CONVERSATIONS}{call.conversation_id}/a/{file.pk}").status_code == 404
    assert desk.get(transcript_of(call)).status_code == 200
    assert desk.get(page_of(call)).status_code == 200
    response = desk.get(f"{CALLS}{call.id}/request.json", follow=True)
    assert "one of its files is missing from storage" in text(response)


# One call -----------------------------------------------------------------------------------------


def test_every_column_of_a_call_is_on_its_page(desk, alice):
    named = {name for names in GROUPS.values() for name in names}
    assert named | set(PAYLOAD) | {"attempts"} == {
        field.name for field in Snapshot._meta.concrete_fields
    }
    call = turn(
        alice,
        [user("hi")],
        "hello",
        user_agent="curl/8",
        address="10.1.2.3",
        key="gw-12345678",
        end_user="someone",
    )
    shown = text(desk.get(page_of(call)))
    for value in (
        call.id,
        "curl/8",
        "10.1.2.3",
        "gw-12345678",
        "someone",
        bytes(call.commitment).hex(),
        call.head_id,
        call.reply_id,
        "not sealed yet",
    ):
        assert str(value) in shown


def test_a_calls_request_and_reply_are_shown_and_downloaded_whole(desk, call):
    page = desk.get(page_of(call))
    request = rebuild.rebuild_request(call)
    shown = orjson.loads(page.context["payloads"][0][1])
    assert shown["messages"][0]["content"][0] == request["messages"][0]["content"][0]
    assert shown["messages"][0]["content"][1]["image_url"]["url"].startswith(
        "data:image/png;base64,[file with sha256 "
    )
    assert orjson.loads(page.context["payloads"][1][1]) == rebuild.rebuild_response(call)
    for name, expected in (("request", request), ("response", rebuild.rebuild_response(call))):
        response = desk.get(f"{CALLS}{call.id}/{name}.json")
        assert orjson.loads(response.content) == expected
        assert response["content-disposition"] == f'attachment; filename="{name}-{call.id}.json"'
        assert "no-store" in response["cache-control"]


def test_a_refused_call_shows_what_was_asked_and_why_not(desk, alice):
    id = record.refuse(
        CallRequest(
            owner=alice.pk,
            kind="chat",
            model="m",
            body={"model": "m", "messages": [user("let me in")]},
            sent=b"{}",
        ),
        "blocked",
        "Not this.",
    )
    shown = text(desk.get(f"{CALLS}{id}/change/"))
    assert "let me in" in shown
    assert "Not this. blocked" in shown
    assert "not part of a conversation" in shown
    assert "Nothing was received." in shown
    assert desk.get(f"{CALLS}{id}/response.json").status_code == 404
    assert "blocked" in text(desk.get(CALLS))


# People -------------------------------------------------------------------------------------------


def test_who_is_on_record_cannot_be_deleted_and_titles_stay_private(alice, call):
    root = signed_in(User.objects.create_superuser("root"))
    Conversation.objects.update(title="confidential title")
    path = f"/admin/conversations/user/{alice.pk}/delete/"
    for response in (root.get(path), root.post(path, {"post": "yes"})):
        assert "Deactivate the account instead." in text(response)
        assert b"confidential title" not in response.content
    chosen = {"action": "delete_selected", "_selected_action": [alice.pk], "post": "yes"}
    assert "Deactivate the account instead." in text(
        root.post("/admin/conversations/user/", chosen)
    )
    assert User.objects.filter(pk=alice.pk).exists()


def test_who_is_not_on_record_can_be(alice):
    root = signed_in(User.objects.create_superuser("root"))
    bob = person("bob")
    assert (
        root.post(f"/admin/conversations/user/{bob.pk}/delete/", {"post": "yes"}).status_code == 302
    )
    assert not User.objects.filter(pk=bob.pk).exists()


def test_a_persons_columns_are_kept_and_a_time_zone_is_one(alice):
    root = signed_in(User.objects.create_superuser("root"))
    path = f"/admin/conversations/user/{alice.pk}/change/"
    form = {
        "username": "alice",
        "job_title": "Analyst",
        "department": "Finance",
        "external_id": "E-1",
        "time_zone": "Mars/Olympus",
        "is_active": "on",
    }
    assert "not a known time zone" in text(root.post(path, form))
    assert root.post(path, form | {"time_zone": "Asia/Tokyo"}).status_code == 302
    alice.refresh_from_db()
    assert (alice.job_title, alice.department, alice.external_id, alice.time_zone) == (
        "Analyst",
        "Finance",
        "E-1",
        "Asia/Tokyo",
    )


def test_reviewers_administer_nobody(desk, alice):
    for path in (
        "/admin/conversations/user/",
        f"/admin/conversations/user/{alice.pk}/change/",
        "/admin/auth/group/",
        "/admin/proxy/apikey/",
    ):
        assert desk.get(path).status_code == 403, path
