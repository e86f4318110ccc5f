"""One person with several accounts is one: in filters, searches, exports and the usage report."""

import csv
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conversations.models import Assessment, Conversation, OtherName, Snapshot, User
from conversations.people.identity import alias
from conversations.proof import sealing
from conversations.report import assessments
from conversations.tests.admin.desk import CALLS, CONVERSATIONS
from conversations.tests.calls import turn, user
from conversations.tests.cast import client_of
from conversations.tests.reviews import QUEUE, waiting

pytestmark = pytest.mark.django_db
LISTS = pytest.mark.parametrize("listed", [CONVERSATIONS, CALLS])
# How two accounts are one person's.
WAYS = ("joined", "e-mail", "external id")
HERS = {"as ann", "as her second", "for ann by a shared key", "for her second by a shared key"}
OTHERS = {"as bob", "as the front end", "for bob by a shared key"}


@pytest.fixture
def people(request) -> dict[str, User]:
    """Ann of Legal, with a second account of no department; bob of Finance; a front end of IT."""
    ann = User.objects.create_user("ann", department="Legal", job_title="Counsel")
    second = User.objects.create_user("xa-1042")
    bob = User.objects.create_user("bob", department="Finance", job_title="Controller")
    front_end = User.objects.create_user("front", department="IT", job_title="Program")
    way = getattr(request, "param", "joined")
    if way == "joined":
        OtherName.objects.create(kind="account", account=second, person=ann)
    field = {"e-mail": "email", "external id": "external_id"}.get(way)
    if field:
        value = {field: "ann@firm.example"}
        User.objects.filter(pk__in=[ann.pk, second.pk]).update(**value)
    return {"ann": ann, "second": second, "bob": bob, "front": front_end}


@pytest.fixture
def calls(people) -> dict[str, Snapshot]:
    def ask(account: str, words: str, end_user: str = "") -> Snapshot:
        return turn(people[account], [user(words)], "ok", end_user=end_user, title=words)

    made = [
        ask("ann", "as ann"),
        ask("second", "as her second"),
        ask("bob", "as bob"),
        ask("front", "as the front end"),
        ask("front", "for ann by a shared key", "ann"),
        ask("front", "for her second by a shared key", "xa-1042"),
        ask("front", "for bob by a shared key", "bob"),
    ]
    while sealing.seal():
        pass
    waiting(*(call.conversation for call in made))
    return {call.conversation.title: call for call in made}


@pytest.fixture
def lea(calls) -> Client:
    return client_of("lea", "Lead")


def titles(answer) -> set[str]:
    if "rows" in answer.context:
        return {row.conversation.title for row in answer.context["rows"]}
    listed = answer.context["cl"]
    assert not listed.filter.errors, listed.filter.errors
    found = {getattr(row, "conversation_id", row.pk) for row in listed.result_list}
    return set(Conversation.objects.filter(pk__in=found).values_list("title", flat=True))


CHOSEN = [
    ({"department": "Legal"}, HERS),
    ({"job_title": "Counsel"}, HERS),
    ({"department": "Legal", "job_title": "Counsel"}, HERS),
    ({"department": "Legal", "job_title": "Controller"}, set()),
    ({"department": "Finance"}, {"as bob", "for bob by a shared key"}),
    ({"department": "IT"}, {each for each in HERS | OTHERS if "shared" in each or "front" in each}),
    ({"user": "ann"}, HERS),
    ({"user": "xa-10"}, HERS),
    ({"user": "xa-1042", "department": "Legal"}, HERS),
    ({"user": "bob", "department": "Legal"}, set()),
    ({"user": "front", "department": "Finance"}, {"for bob by a shared key"}),
    ({"user": "ann", "department": "IT"}, {each for each in HERS if "shared" in each}),
]


@LISTS
@pytest.mark.parametrize("people", WAYS, indirect=True)
def test_a_list_is_filtered_by_person(lea, listed):
    for chosen, expected in CHOSEN:
        assert titles(lea.get(listed, {"since": ""} | chosen)) == expected, chosen
        assert titles(lea.get(listed, {"since": "", "q": "ok"} | chosen)) == expected, chosen


def test_the_queue_is_filtered_by_person(lea):
    for chosen, expected in CHOSEN:
        if "job_title" not in chosen:
            assert titles(lea.get(QUEUE, {"of": "all"} | chosen)) == expected, chosen


@pytest.mark.parametrize("account", ["ann", "second"])
def test_a_search_by_alias_finds_the_person(lea, people, settings, account):
    settings.PSEUDONYMS = True
    chosen = {"since": "", "user": alias(people[account].pk)}
    for listed in (CONVERSATIONS, CALLS):
        assert titles(lea.get(listed, chosen)) == HERS
        assert titles(lea.get(listed, chosen | {"q": "ok"})) == HERS
    assert titles(lea.get(QUEUE, {"of": "all", "user": chosen["user"]})) == HERS


@LISTS
@pytest.mark.parametrize("hidden", [False, True])
def test_no_choice_of_people_costs_more_than_eight_queries(lea, people, settings, listed, hidden):
    settings.PSEUDONYMS = hidden
    choices = [{"user": alias(people["ann"].pk)}]
    if not hidden:
        choices = [{"user": "ann"}, {"department": "Legal"}, {"user": "a", "department": "Legal"}]
    lea.get(listed)
    for chosen in choices:
        for words in ({}, {"q": "ok"}):
            with CaptureQueriesContext(connection) as queries:
                answer = lea.get(listed, {"since": ""} | chosen | words)
            assert len(answer.context["cl"].result_list) == len(HERS)
            most = 9 if hidden and words else 8  # an alias is looked up before its words
            assert len(queries) <= most, (chosen, words)


# What programs export, and the report -------------------------------------------------------------


def pulled(client: Client, name: str) -> set[str]:
    answer = client.get("/api/export.jsonl", {"purpose": "feed", "user": name})
    assert answer.status_code == 200, answer.content
    lines = b"".join(answer).decode()
    return {title for title in HERS | OTHERS if f'"{title}"' in lines}


@pytest.mark.parametrize("name", ["ann", "xa-1042"])
def test_an_export_for_programs_holds_all_of_a_person(lea, name):
    assert pulled(lea, name) == HERS
    assert pulled(lea, "bob") == {"as bob", "for bob by a shared key"}
    answer = lea.get("/api/export.jsonl", {"purpose": "feed", "user": "xa-10"})
    assert answer.status_code == 400


def test_an_export_for_programs_finds_an_end_user_without_an_account(lea, people):
    turn(people["front"], [user("for carol")], "ok", end_user="carol", title="as bob")
    sealing.seal()
    assert b"for carol" in lea.get("/api/export.jsonl?purpose=x&user=carol").getvalue()


def test_an_export_for_programs_by_alias(lea, people, settings):
    settings.PSEUDONYMS = True
    for account in ("ann", "second"):
        assert pulled(lea, alias(people[account].pk)) == HERS


def report_lines(client: Client, panel: str) -> list[list[str]]:
    today = datetime.now(UTC).date()
    answer = client.get(f"/admin/usage/{panel}.csv?since={today}&until={today}")
    return [*csv.reader(answer.getvalue().decode("utf-8-sig").splitlines())][1:]


def test_the_report_adds_up_the_accounts_of_a_person(lea):
    persons = {name: calls for name, calls, *_ in report_lines(lea, "people")}
    assert persons["ann"] == "2"
    assert "xa-1042" not in persons
    groups = {name: people for name, people, *_ in report_lines(lea, "departments")}
    assert groups["Legal"] == "1"
    assert "Not known" not in groups


def test_the_report_adds_up_what_was_assessed_of_a_person(lea, calls):
    for title in ("as ann", "as her second", "as bob"):
        call = calls[title]
        now = timezone.now()
        Assessment.objects.create(
            call=call,
            conversation=call.conversation,
            owner=call.owner,
            made=now,
            model="m",
            work_related=True,
            **dict.fromkeys(assessments.TEXTS, "x"),
            **dict.fromkeys(assessments.NUMBERS, 1),
        )
    assessed = {name: number for name, number, *_ in report_lines(lea, "assessed-people")}
    assert assessed == {"ann": "2", "bob": "1"}
