"""Lists of the review desk: pages by id, at a bounded cost, stopped in time."""

from datetime import UTC, datetime

import orjson
import pytest
from django.db import connection
from django.db.models.expressions import RawSQL
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conversations.models import (
    AuditEvent,
    Conversation,
    Review,
    Snapshot,
    User,
)
from conversations.search import find, index
from conversations.tests.admin.desk import CALLS, CONVERSATIONS, ids, made, text
from conversations.tests.calls import ask, turn, user
from conversations.tests.html import Html

pytestmark = pytest.mark.django_db


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


# A list that takes too long -----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_takes_too_long_is_stopped_said_and_on_the_trail(desk, alice, monkeypatch):
    call = turn(alice, [user("my secret")], "kept")
    index.index_messages([call.id])
    slow = RawSQL("pg_sleep(60)::text", [])
    monkeypatch.setattr("conversations.patience.SECONDS", 0.2)
    monkeypatch.setattr(
        "conversations.admin.snapshot.SnapshotAdmin.select_columns",
        lambda self, rows: rows.annotate(slow=slow),
    )
    monkeypatch.setattr(
        find, "FIND", find.FIND.replace("{join} WHERE", "{join} WHERE pg_sleep(60) IS NULL AND")
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
        "conversations.search.queue.QueueFilter.reviews",
        lambda chosen, tab="": Review.objects.annotate(slow=slow).filter(slow=""),
    )
    assert desk.get("/admin/queue/").status_code == 503
    monkeypatch.undo()
    assert ids(desk.get(f"{CALLS}?q=secret")) == [call.id]
