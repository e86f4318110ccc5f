"""Saved filters of the review desk, and filters by review."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import urlencode
from uuid import UUID

import orjson
import pytest
from django.contrib.auth.models import Group
from django.urls import reverse

from conversations.models import (
    AuditEvent,
    Decision,
    Review,
    SavedFilter,
    Snapshot,
    User,
)
from conversations.search import index
from conversations.tests.admin.desk import CALLS, CONVERSATIONS, ago, ids, read, rows, text
from conversations.tests.calls import ask, turn, user
from conversations.tests.cast import signed_in

pytestmark = pytest.mark.django_db


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
    assert desk.get(f"{CALLS}saved/?user=bob")["location"] == f"{CALLS}?user=bob"
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
