"""The usage report, held against figures added up by hand."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from conversations import record
from conversations.models import AuditEvent, Conversation, Usage, User
from conversations.record import CallRequest, Outcome
from conversations.report import assessments
from conversations.report.figures import SMALLER, Period, merged
from conversations.tests.calls import ask, user
from conversations.tests.cast import client_of

pytestmark = pytest.mark.django_db
SEPTEMBER = "since=2026-09-01&until=2026-09-30"


def spend(
    owner: User, day: date, words: str, prompt: int, completion: int, cost: str, status: str = "ok"
) -> None:
    call = ask(owner, [user(words)], opened=datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
    ended = Outcome(
        status=status,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost=Decimal(cost),
        closed=call.opened,
    )
    ended.replies = [{"role": "assistant", "content": "so"}]
    record.close(call, ended)


@pytest.fixture
def logs() -> None:
    """Alice and Bob of Finance, Carol of Legal; one call in August, five in September."""
    people = {
        name: User.objects.create_user(name, department=department, job_title=title)
        for name, department, title in (
            ("alice", "Finance", "Analyst"),
            ("bob", "Finance", "Controller"),
            ("carol", "Legal", "Counsel"),
        )
    }
    for name, day, words, *spent in (
        ("alice", date(2026, 8, 31), "an old matter", 100, 50, "0.10"),
        ("alice", date(2026, 9, 1), "forecast", 10, 20, "0.01"),
        ("alice", date(2026, 9, 1), "=budget", 30, 40, "0.02"),
        ("alice", date(2026, 9, 30), "late", 1, 0, "0.00", "failed"),
        ("bob", date(2026, 9, 2), "invoices", 200, 100, "0.30"),
        ("carol", date(2026, 9, 2), "<script>contract</script>", 5, 5, "0.04"),
    ):
        spend(people[name], day, words, *spent)


def cells(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def lines(client: Client, panel: str) -> list[str]:
    response = client.get(f"/admin/usage/{panel}.csv?{SEPTEMBER}")
    assert response.status_code == 200
    return response.getvalue().decode("utf-8-sig").splitlines()


def test_the_four_panels_and_the_rest_as_added_up_by_hand(logs):
    lead = client_of("lea", "Lead")
    page = lead.get(f"/admin/usage/?{SEPTEMBER}")
    said = cells(page.content.decode())
    for tile in (
        "Calls 5 +400 %",
        "People 3 +200 %",
        "Tokens 411 +174 %",
        "Cost $0.3700 +270 %",
        "Not answered 1 none before",
    ):
        assert tile in said
    assert "60 % of all tokens were in prompts, 40 % in completions." in said
    assert "The peak was 2, 1 September 2026." in said
    assert "<script>contract" not in page.content.decode()
    history = lines(lead, "history")
    assert history[0] == '"Day","alice","bob","carol"'
    assert history[1:4] == [
        '"2026-09-01","2","0","0"',
        '"2026-09-02","0","1","1"',
        '"2026-09-03","0","0","0"',
    ]
    assert history[30] == '"2026-09-30","1","0","0"'
    assert len(history) == 31
    assert lines(lead, "tokens")[1:] == ['"Prompt","246"', '"Completion","165"']
    assert lines(lead, "people")[1:] == [
        '"bob","1","200","100","0.30000000"',
        '"alice","3","41","60","0.03000000"',
        '"carol","1","5","5","0.04000000"',
    ]
    assert [line.split(",")[:4] for line in lines(lead, "conversations")[1:]] == [
        ['"invoices"', '"1"', '"200"', '"100"'],
        ['"\'=budget"', '"1"', '"30"', '"40"'],
        ['"forecast"', '"1"', '"10"', '"20"'],
        ['"<script>contract</script>"', '"1"', '"5"', '"5"'],
        ['"late"', '"1"', '"1"', '"0"'],
    ]
    assert lines(lead, "departments")[1:] == [
        '"Finance","2","4","241","160","0.33000000"',
        '"Legal","1","1","5","5","0.04000000"',
    ]
    assert lines(lead, "cost")[2] == '"2026-09-02","2","310","0.34000000"'
    assert {"export", "list"} <= set(AuditEvent.objects.values_list("action", flat=True))


def test_the_costliest_are_found_among_the_large_and_where_those_are_too_few_among_all(logs):
    ids = list(Conversation.objects.order_by("id").values_list("id", flat=True))
    for id, tokens in zip(ids, (20_000, 19_999, 300_000, 5, 20_000, 70_000), strict=True):
        Conversation.objects.filter(id=id).update(prompt_tokens=tokens - 2, completion_tokens=2)
    everything = [ids[n] for n in (2, 5, 4, 0, 1, 3)]
    for most in range(1, 8):
        assert [each.id for each in Conversation.objects.costliest(most)] == everything[:most]


def test_people_and_titles_are_for_those_who_may_see_them(logs):
    admin = client_of("gus", "Gateway admin")
    page = admin.get(f"/admin/usage/?{SEPTEMBER}").content.decode()
    for secret in ("alice", "bob", "carol", "forecast", "invoices", "Finance", "Legal", "Analyst"):
        assert secret not in page, secret
    assert "Fewer than 5 people made calls in this period." in page
    assert admin.get(f"/admin/usage/people.csv?{SEPTEMBER}").status_code == 404
    assert admin.get(f"/admin/usage/conversations.csv?{SEPTEMBER}").status_code == 404
    for stranger in (client_of("sam"), client_of("rex", "Nobody")):
        assert stranger.get("/admin/usage/").status_code == 403
        assert stranger.get("/admin/usage/tokens.csv").status_code == 403


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        ({"A": 6, "B": 7}, {"A": "A", "B": "B"}),
        ({"A": 2, "B": 3, "C": 9}, {"A": SMALLER, "B": SMALLER, "C": "C"}),
        ({"A": 1, "C": 9, "D": 20}, {"A": SMALLER, "C": SMALLER, "D": "D"}),
        ({"A": 2, "B": 2}, {}),
        ({"": 5}, {"": "Not known"}),
        ({}, {}),
    ],
)
def test_no_group_that_is_shown_is_of_fewer_than_five(sizes, shown):
    assert merged(sizes, 5) == shown


def test_days_that_make_no_sense(logs):
    lead = client_of("lea", "Lead")
    for query in (
        "since=2026-09-30&until=2026-09-01",
        "since=nonsense&until=2026-09-01",
        "since=0001-01-01&until=9999-12-31",
        "since=1999-01-01&until=2000-01-01",
    ):
        assert lead.get(f"/admin/usage/?{query}").status_code == 400
        assert lead.get(f"/admin/usage/tokens.csv?{query}").status_code == 404
    assert Period(date(2026, 1, 1), date(2026, 12, 31)).step == 7
    year = lead.get("/admin/usage/?since=2026-01-01&until=2026-12-31")
    assert "Seven days from" in year.content.decode()


# Assessments --------------------------------------------------------------------------------------


def assess(
    conversation: Conversation, at: datetime, score: float, work: bool, seconds: float
) -> None:
    said = dict.fromkeys(("chat_summary", "description", "llm_deliverables", "languages"), "x") | {
        "satisfaction_score": score,
        "work_related": work,
    }
    text = orjson.dumps(
        said
        | {
            "user_seconds_saved": seconds,
            "assistant_seconds_saved": 2 * seconds,
            "assistant_wage": 36,
        }
    ).decode()
    call = record.open(
        CallRequest(
            owner=conversation.owner_id,
            kind="metadata",
            model="m",
            body={"model": "m"},
            about=conversation.id,
            opened=at,
        )
    )
    record.close(
        call,
        Outcome(
            status="ok",
            response={"choices": [{"message": {"role": "assistant", "content": text}}]},
            closed=at,
        ),
    )
    assessments.store_assessments([call.id])


@pytest.fixture
def assessed(logs) -> None:
    """One of Alice's twice, one of Bob's, one of Carol's; one in August."""
    first, other, bobs, carols = (
        Conversation.objects.get(title=title)
        for title in ("forecast", "=budget", "invoices", "<script>contract</script>")
    )
    night = datetime(2026, 9, 3, 1, 30, tzinfo=UTC)
    assess(other, datetime(2026, 8, 31, 23, 59, tzinfo=UTC), 1, False, 7200)
    assess(first, night, 2, False, 9000)
    assess(first, night + timedelta(hours=1), 8, True, 600)
    assess(bobs, night, 6, True, 1200)
    assess(carols, night, 4, False, 300)


def test_what_was_assessed_is_added_up_each_conversation_once(assessed):
    lead = client_of("lea", "Lead")
    said = cells(lead.get(f"/admin/usage/?{SEPTEMBER}").content.decode())
    assert (
        "3 conversations of 3 people: 67 % work-related, satisfaction 6.0 of 10, 35 min saved, "
        "and 1.2 h of assistants, worth $42.00." in said
    )
    assert lines(lead, "assessments")[1:] == [
        '"Finance","2","2","2","7.0","1800","3600","36.00"',
        '"Legal","1","1","0","4.0","300","600","6.00"',
    ]
    assert [line.split(",")[0] for line in lines(lead, "assessed-people")[1:]] == [
        '"bob"',
        '"alice"',
        '"carol"',
    ]


def test_what_was_assessed_of_few_people_is_for_those_who_may_see_it(assessed):
    admin = client_of("gus", "Gateway admin")
    page = admin.get(f"/admin/usage/?{SEPTEMBER}").content.decode()
    assert "Conversations of fewer than 5 people were assessed in this period." in page
    assert "satisfaction" not in page
    assert admin.get(f"/admin/usage/assessments.csv?{SEPTEMBER}").status_code == 404
    night = datetime(2026, 9, 4, 1, 30, tzinfo=UTC)
    for name in ("dora", "emil"):
        spend(
            User.objects.create_user(name, department="Sales"),
            date(2026, 9, 3),
            f"of {name}",
            1,
            1,
            "0",
        )
        assess(Conversation.objects.get(title=f"of {name}"), night, 10, True, 60)
    assert lines(admin, "assessments")[1:] == [
        f'"{SMALLER}","5","5","4","7.6","2220","4440","44.40"'
    ]
    assert admin.get(f"/admin/usage/assessed-people.csv?{SEPTEMBER}").status_code == 404
    assert "emil" not in admin.get(f"/admin/usage/?{SEPTEMBER}").content.decode()


def test_a_page_of_nothing():
    page = client_of("lea", "Lead").get("/admin/usage/")
    assert page.status_code == 200
    assert "No calls." in cells(page.content.decode())


def test_ten_queries_at_most(assessed, django_assert_max_num_queries):
    lead = client_of("lea", "Lead")
    with django_assert_max_num_queries(10):
        assert lead.get(f"/admin/usage/?{SEPTEMBER}").status_code == 200


def test_rollups_are_held_against_the_log_and_made_again(logs, capsys):
    call_command("rollups")
    Usage.objects.filter(day=date(2026, 9, 1)).update(cost=7)
    Usage.objects.filter(day=date(2026, 9, 2), owner__username="bob").delete()
    Conversation.objects.filter(title="late").update(turns=9)
    with pytest.raises(CommandError, match="3 rows"):
        call_command("rollups")
    said = capsys.readouterr().out
    assert "usage of 2026-09-01" in said
    assert f"totals of conversation {Conversation.objects.get(title='late').id}" in said
    call_command("rollups", rebuild=True)
    assert lines(client_of("lea", "Lead"), "people")[1] == '"bob","1","200","100","0.30000000"'
