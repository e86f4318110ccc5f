"""The review desk at size: each page in eight queries at most, each by an index, within buffers.

With 1,000 calls the queries, with 20,000 by `make drill` all, by hand with a million
(benchmarks/desk.py). No time is held: what is held does not depend on the machine.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test import Client

from conversations import review
from conversations.admin import queue_page
from conversations.admin.changelist import EvidenceAdmin
from conversations.models import AuditEvent, Decision, Review, SamplingPolicy, Unsealed, User
from conversations.search import index
from llmgateway import sessions
from llmgateway.demo import generated, generated_reviews
from llmgateway.tests import desk_pages

pytestmark = pytest.mark.django_db
LARGE = {
    f"conversations_{name}"
    for name in (
        "snapshot",
        "message",
        "conversation",
        "searchterms",
        "seal",
        "usage",
        "auditevent",
    )
}
QUERIES, OF_REPORT = 8, 10  # at most; the usage report adds up roll-ups of several kinds
ROWS = 10  # of a list's page: more cost time, and tell no more
# Pages of 8 KB that the statements of a page of the desk may read, by its kind; no large table may
# be read from end to end. About 1.6 times what the costliest read in three runs (2026-11-29); of
# conversations, what one look for a call costs in each of them, which planners choose at times.
BUFFERS = {
    "conversations": 25_000,
    "calls": 6000,
    "trail": 60,
    "transcript": 840,  # three for each message's call, whose parameters are shown
    "call": 60,
    "home": 40,
    "queue": 420,  # a row's person, and the filter's people
    "cases": 40,
    "usage report": 550,
}


FEW, MANY = 1000, pytest.param(20_000, marks=pytest.mark.drill)  # calls


def of(*sizes):
    return pytest.mark.parametrize("year", sizes, indirect=True, scope="module")


@pytest.fixture(scope="module")
def year(request, django_db_setup, django_db_blocker) -> Iterator[None]:
    """Made once, and taken back. Messages of one sentence, since words cost most.

    Without seals, which no list reads: what sealing does for the desk is done at once.
    """
    count = request.param
    with django_db_blocker.unblock(), transaction.atomic(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(generated.Company, "text", lambda company, mean: company.sentence())
        company = generated.write(count, 400, 1, datetime.now(UTC).date(), lambda written: None)
        # one in a hundred of many, as many of few: each state of a review is there
        SamplingPolicy.objects.filter(department="").update(percent=20_000 // count)
        calls = list(Unsealed.objects.values_list("subject", flat=True))
        index.index_messages(calls)
        review.sample(calls)
        generated_reviews.write(company.dice, company.words)
        with connection.cursor() as cursor:
            cursor.execute(
                "SET CONSTRAINTS ALL IMMEDIATE; DELETE FROM conversations_unsealed; ANALYZE; "
                "SET LOCAL enable_seqscan = off"
            )
        yield
        transaction.set_rollback(True)


@pytest.fixture
def lead(year, monkeypatch) -> Client:
    monkeypatch.setattr(EvidenceAdmin, "list_per_page", ROWS)
    monkeypatch.setattr(sessions, "FRESH", 3600)  # its note of use is no page's query
    monkeypatch.setattr(queue_page, "SHOWN", ROWS)  # how many wait is drawn anew each time
    user = User.objects.create_user("lead", is_staff=True, is_superuser=True)
    user.groups.add(Group.objects.get(name="Lead"))
    ContentType.objects.get_for_model(User)  # asked once a process
    client = Client()
    client.force_login(user)
    return client


class Page:
    """What one page of the desk asks of the database."""

    def __init__(self, client: Client, address: str):
        self.asked: list[tuple] = []
        with connection.execute_wrapper(self.watch):
            self.status = client.get(address).status_code

    def watch(self, execute, sql, params, many, context):
        self.asked.append((sql, params))
        return execute(sql, params, many, context)

    def plans(self) -> list[dict]:
        """Of what reads large tables."""
        return [
            explained(sql, params)
            for sql, params in self.asked
            if not sql.startswith("INSERT") and any(name in sql for name in LARGE)
        ]


def explained(sql: str, params) -> dict:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}", params)
        found = cursor.fetchone()[0]
    return (found if isinstance(found, list) else json.loads(found))[0]["Plan"]


def nodes(plan: dict):
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


def read_whole(plan: dict, rows: dict[str, int]) -> set[str]:
    """Large tables that were read from end to end: no index leads to what was asked.

    (A count that is capped may read so, where most rows are meant: at its cap it ends.)
    """
    capped = {id(node["Plans"][0]) for node in nodes(plan) if node["Node Type"] == "Limit"}
    found = set()
    for node in nodes(plan):
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE:
            meant, others = node["Actual Rows"], node.get("Rows Removed by Filter", 0)
            is_whole = meant + others >= rows[node["Relation Name"]]
            if is_whole and not (id(node) in capped and meant > others):
                found.add(node["Relation Name"])
    return found


@pytest.fixture(scope="module")
def rows(year) -> dict[str, int]:
    """Of each large table, how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, reltuples::int FROM pg_class WHERE relname = ANY(%s)", [list(LARGE)]
        )
        return dict(cursor.fetchall())


def most_queries(name: str) -> int:
    return OF_REPORT if name.startswith("usage report") else QUERIES


def fault(lead: Client, name: str, address: str, rows: dict[str, int]) -> str:
    """What is too much about a page."""
    page, kind = Page(lead, address), name.partition(":")[0]
    plans = page.plans()
    buffers = sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans)
    whole = {table for plan in plans for table in read_whole(plan, rows)}
    fits = (
        page.status == 200
        and len(page.asked) <= most_queries(name)
        and buffers <= BUFFERS.get(kind, 0)
        and not whole
    )
    if fits:
        return ""
    return (
        f"{name}: {page.status}, {len(page.asked)} queries, {buffers} buffers, "
        f"read whole: {', '.join(whole) or 'none'}"
    )


@of(FEW)
def test_every_page_of_the_desk_takes_eight_queries(lead):
    costly = {}
    for name, address in (desk_pages.lists() | desk_pages.others()).items():
        page, most = Page(lead, address), most_queries(name)
        if page.status != 200 or len(page.asked) > most:
            costly[name] = page.status, len(page.asked)
    assert costly == {}


@of(MANY)
def test_every_page_of_the_desk_takes_eight_queries_and_finds_what_it_shows_by_indexes(lead, rows):
    pages = desk_pages.lists() | desk_pages.others()
    assert len(pages) > 120
    faults = [
        found for name, address in pages.items() if (found := fault(lead, name, address, rows))
    ]
    assert not faults, "\n".join(faults)


NEEDED = {
    "snapshot_owner": "calls: who writes least",
    "snapshot_conversation": "transcript: longest",
    "snapshot_model": "calls: rarest model",
    "snapshot_upstream": "calls: an upstream that is none",
    "snapshot_ended": "calls: status refused",
    "snapshot_kind": "calls: kind image",
    "snapshot_key": "calls: by one key",
    "snapshot_use_case": "calls: use case (none)",
    "search_terms": "calls: two words",
    "audit_conversation": "trail: about a conversation",
    "audit_action": "trail: exports (none)",
}


@of(MANY)
def test_it_would_be_found_out_if_an_index_were_gone(lead, rows):
    pages, missed = desk_pages.lists() | desk_pages.others(), []
    with connection.cursor() as cursor:
        for index, name in NEEDED.items():
            cursor.execute(f'SAVEPOINT whole; DROP INDEX "{index}"')
            missed += [] if fault(lead, name, pages[name], rows) else [index]
            cursor.execute("ROLLBACK TO whole")
    assert not missed


@of(FEW, MANY)
def test_what_reviewers_did_with_the_year_is_on_the_trail(year):
    decisions = Decision.objects.select_related("conversation__review", "reviewer")
    assert decisions
    for decision in decisions:
        done = (
            AuditEvent.objects.about(decision.conversation_id)
            .by(decision.reviewer)
            .values_list("action", flat=True)
        )
        read = "call" if decision.conversation.is_one_call else "transcript"
        assert {read, "decision"} <= set(done)
        assert decision.conversation.review.decision_id
    assert not Review.objects.filter(state="decided", decision=None).exists()
