"""The queue's pages, its filter, and the filter's way through a morning's work."""

import re
from datetime import datetime, time, timedelta
from itertools import product
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from conversations.admin import queue_page
from conversations.models import AuditEvent, Conversation, Decision, Review, SamplingPolicy, User
from conversations.models.review import Place
from conversations.people.identity import alias
from conversations.tests.calls import person
from conversations.tests.cast import client_of
from conversations.tests.reviews import QUEUE, post_decision, talk

pytestmark = pytest.mark.django_db


def enter(text: str, owner: str = "alice", **fields: Any) -> Conversation:
    now = timezone.now()
    values = {"source": "sampled", "entered": now, "due": now + timedelta(days=30)} | fields
    conversation = talk(owner, text)
    Review.objects.create(conversation=conversation, **values)
    return conversation


def titles(response: Any) -> list[str]:
    return [row.conversation.title for row in response.context["rows"]]


def link(response: Any, rel: str) -> str:
    found = re.search(rf'<a href="(\?[^"]+)" rel="{rel}">', response.content.decode())
    return QUEUE + found[1].replace("&amp;", "&") if found else ""


@pytest.fixture
def twelve(monkeypatch) -> list[str]:
    """Of each severity four, of which two entered at one moment. Gravest first."""
    monkeypatch.setattr(queue_page, "SHOWN", 5)
    now = timezone.now()
    for severity in (1, 2, 3):
        for n, minutes in enumerate((9, 5, 5, 1)):
            entered = now - timedelta(minutes=minutes)
            enter(f"{severity} {n}", severity=severity, entered=entered)
    rows = Review.objects.order_by("-severity", "entered", "pk")
    return [row.conversation.title for row in rows]


def test_each_row_stands_on_one_page_there_and_back(desk, twelve):
    pages = [desk.get(QUEUE)]
    while following := link(pages[-1], "next"):
        pages.append(desk.get(following))
    assert [titles(page) for page in pages] == [twelve[:5], twelve[5:10], twelve[10:]]
    assert link(pages[0], "prev") == ""
    back = [pages[-1]]
    while earlier := link(back[-1], "prev"):
        back.append(desk.get(earlier, follow=True))
    assert [titles(page) for page in back] == [twelve[10:], twelve[5:10], twelve[:5]]


def test_what_is_decided_or_enters_meanwhile_moves_no_page(desk, twelve):
    following = link(desk.get(QUEUE), "next")
    Review.objects.filter(conversation__title__in=twelve[3:5]).update(state="decided")
    enter("gravest of all", severity=3, entered=timezone.now() - timedelta(days=1))
    assert titles(desk.get(following)) == twelve[5:10]


NO_PLACES = (
    "nonsense",
    "1.2",
    "9.1.01981c1000007000800000000000000",
    "1.x.y",
    f"1.{10**30}.{'0' * 32}",
)


def test_a_place_that_is_none_leads_to_the_first_page(desk, twelve):
    first = f"{QUEUE}?of=free&severity=3"
    assert titles(desk.get(first)) == twelve[:4]
    for place, name in product(NO_PLACES, ("after", "before")):
        response = desk.get(QUEUE, {name: place, "severity": "3"})
        assert (response.status_code, response.url) == (302, first), (name, place)


def test_a_place_is_read_as_it_was_written():
    row = Review(conversation=talk(), severity=2, entered=timezone.now())
    assert Place.read(str(row.place)) == row.place


# The filter ---------------------------------------------------------------------------------------


@pytest.fixture
def varied() -> dict[str, Any]:
    """Rows that differ from one another in one thing each."""
    person("bob")
    User.objects.filter(username="bob").update(department="Legal")
    made_by, now = person("lea"), timezone.now()
    drawn = SamplingPolicy.objects.create(percent=5, seed=b"s", made_by=made_by)
    legal = SamplingPolicy.objects.create(percent=7, department="Legal", seed=b"t", made_by=made_by)
    enter("plain")
    enter("of bob", "bob")
    enter("drawn", policy=drawn)
    enter("drawn of legal", "bob", policy=legal)
    enter("grave", severity=3)
    enter("late", due=now - timedelta(hours=1))
    midnight = timezone.localtime().replace(hour=23, minute=59, second=59)
    enter("tonight", due=midnight)
    enter("this week", due=now + timedelta(days=6))
    return {"drawn": drawn, "legal": legal}


ALL = {"plain", "of bob", "drawn", "drawn of legal", "grave", "late", "tonight", "this week"}
CHOSEN: list[tuple[dict[str, str], set[str]]] = [
    ({}, ALL),
    ({"user": "bo"}, {"of bob", "drawn of legal"}),
    ({"user": "nobody at all"}, set()),
    ({"department": "Legal"}, {"of bob", "drawn of legal"}),
    ({"policy": "drawn"}, {"drawn"}),
    ({"policy": "legal"}, {"drawn of legal"}),
    ({"severity": "3"}, {"grave"}),
    ({"due": "overdue"}, {"late"}),
    ({"due": "today"}, {"late", "tonight"}),
    ({"due": "week"}, {"late", "tonight", "this week"}),
    ({"department": "Legal", "policy": "legal"}, {"drawn of legal"}),
    ({"severity": "9"}, set()),
    ({"policy": "nonsense"}, set()),
    ({"due": "nonsense"}, set()),
]


def test_the_filter_selects_counts_and_is_on_the_trail(desk, varied):
    for chosen, expected in CHOSEN:
        query = {
            name: str(getattr(varied.get(value), "pk", value)) for name, value in chosen.items()
        }
        response = desk.get(QUEUE, query)
        assert set(titles(response)) == expected, chosen
        counted = {name: number for name, _, _, number in response.context["tabs"]}
        assert counted["free"] == counted["all"] == len(expected), chosen
        event = AuditEvent.objects.newest_first()[0]
        assert (event.action, event.kind) == ("list", ""), chosen
        assert all(value in event.detail for value in query.values()), chosen


def test_the_next_one_is_of_the_same_queue_to_its_end(desk, varied):
    page = desk.get(QUEUE, {"of": "free", "department": "Legal"}).content.decode()
    [of] = set(re.findall(r'name="of" value="(free&amp;[^"]+)"', page))
    of = of.replace("&amp;", "&")
    opened = desk.post(f"{QUEUE}next/", {"of": of}, follow=True)
    seen = []
    for _ in range(2):
        conversation = opened.context["conversation"]
        seen.append(conversation.title)
        assert f'name="of" value="{of.replace("&", "&amp;")}"' in opened.content.decode()
        opened = post_decision(desk, conversation, next="1", of=of)
    assert set(seen) == {"of bob", "drawn of legal"}
    assert opened.redirect_chain[-1][0] == f"{QUEUE}?of=free&department=Legal"


def test_the_day_s_work_is_counted(desk, varied, rita):
    def today() -> str:
        page = desk.get(QUEUE).content.decode()
        return re.search(r"<strong>(\d+ of \d+) today</strong>", page)[1]  # type: ignore[index]

    assert today() == "0 of 2"
    late = Conversation.objects.get(title="late")
    Decision.objects.create(
        conversation=Conversation.objects.get(title="plain"),
        reviewer=person("lea"),
        disposition="no_issue",
        newest=late.snapshots.get().pk,
    )
    assert today() == "0 of 2", "another reviewer's is not this one's"
    post_decision(desk, late)
    assert Decision.objects.get(conversation=late).reviewer == rita
    assert today() == "1 of 2"


# Whom a filter tells ------------------------------------------------------------------------------


def test_under_aliases_no_filter_tells_a_person(desk, varied, settings):
    settings.PSEUDONYMS = True
    named = alias(person("bob").pk)
    assert set(titles(desk.get(QUEUE, {"user": named}))) == {"of bob", "drawn of legal"}
    for query in ({"user": "bob"}, {"department": "Legal"}, {"policy": varied["legal"].pk}):
        assert titles(desk.get(QUEUE, query)) == [], query
    assert titles(desk.get(QUEUE, {"policy": varied["drawn"].pk})) == ["drawn"]
    assert "Legal" not in desk.get(QUEUE).content.decode()


def test_departments_offered_are_those_of_the_reader(varied):
    person("carol")
    User.objects.filter(username="carol").update(department="Finance")
    finance = client_of("fay", "Lead", reviews_departments=["Finance"])
    page = finance.get(QUEUE).content.decode()
    assert "Finance" in page
    assert "Legal" not in page
    assert "5 % of all conversations" in page
    assert titles(finance.get(QUEUE, {"of": "all", "policy": varied["legal"].pk})) == []


@pytest.mark.parametrize("hidden", [False, True])
def test_a_page_of_a_filter_costs_eight_queries(
    desk: Client, twelve, settings, django_assert_max_num_queries, hidden
):
    settings.PSEUDONYMS = hidden
    following = link(desk.get(QUEUE), "next")
    owner = alias(person("alice").pk) if hidden else "a"
    with django_assert_max_num_queries(8):
        assert len(titles(desk.get(f"{following}&user={owner}"))) == 5


def test_days_are_those_of_the_reader(rita, desk):
    """A row due in an hour, which is tomorrow there, is not due by the end of today."""
    User.objects.filter(pk=rita.pk).update(time_zone="Pacific/Auckland")
    with timezone.override("Pacific/Auckland"):
        tomorrow = timezone.localdate() + timedelta(days=1)
        midnight = timezone.make_aware(datetime.combine(tomorrow, time.min))
    enter("tonight", due=midnight - timedelta(seconds=1))
    enter("tomorrow", due=midnight + timedelta(seconds=1))
    assert titles(desk.get(QUEUE, {"due": "today"})) == ["tonight"]
