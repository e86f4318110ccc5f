"""The usage report's CSVs hold every row, and its figures say what they are."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from django.test import Client

from conversations import record
from conversations.admin.report import describe_change
from conversations.figures import count, money, short
from conversations.models import Conversation, User
from conversations.record import Outcome
from conversations.report.figures import LISTED, SERIES
from conversations.tests.calls import ask, user
from conversations.tests.cast import client_of

pytestmark = pytest.mark.django_db
YEAR = "since=2026-01-01&until=2026-12-31"
PEOPLE = LISTED + SERIES + 3


def spend(owner: User, day: date, cost: str = "0", words: str = "x", model: str = "m") -> None:
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    call = ask(owner, [user(words)], opened=at, model=model)
    reply = {"role": "assistant", "content": "so"}
    ended = Outcome(
        status="ok",
        prompt_tokens=10,
        completion_tokens=5,
        cost=Decimal(cost),
        closed=at,
        replies=[reply],
    )
    record.close(call, ended)


@pytest.fixture
def year(db) -> None:
    """More people, departments, titles, models and conversations than a panel has rows."""
    for number in range(PEOPLE):
        owner = User.objects.create_user(
            f"user{number:02}", department=f"Dept {number:02}", job_title=f"Title {number:02}"
        )
        day = date(2026, 1, 1) + timedelta(days=number)
        spend(owner, day, words=f"of {number}", model=f"model {number:02}")


def table(client: Client, panel: str, query: str = YEAR) -> list[list[str]]:
    answer = client.get(f"/admin/usage/{panel}.csv?{query}")
    assert answer.status_code == 200, panel
    text = answer.getvalue().decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def test_each_csv_has_every_row(year):
    lead = client_of("lea", "Lead")
    for panel, first in (
        ("people", "user"),
        ("models", "model "),
        ("departments", "Dept "),
        ("job-titles", "Title "),
        ("conversations", "of "),
    ):
        heads, *rows = table(lead, panel)
        assert sorted(row[0] for row in rows) == sorted(
            f"{first}{number if first == 'of ' else f'{number:02}'}" for number in range(PEOPLE)
        ), panel
        assert {len(row) for row in rows} == {len(heads)}
    heads, *rows = table(lead, "history")
    assert heads[1:] == [f"user{number:02}" for number in range(PEOPLE)]
    assert len(rows) == len(table(lead, "cost")) - 1 == 365
    assert rows[2] == ["2026-01-03", *(str(int(number == 2)) for number in range(PEOPLE))]
    page = lead.get(f"/admin/usage/?{YEAR}").content.decode()
    assert f"All others ({PEOPLE - LISTED})" in page  # and the picture is of the most


def test_with_aliases_days_and_series_are_the_picture_s(year, settings):
    """Days beside sevens of them, subtracted, could be of one person."""
    for number in range(10):
        spend(User.objects.create_user(f"more{number}", department="Legal"), date(2026, 3, 1))
    settings.PSEUDONYMS = True
    auditor = client_of("gus", "Gateway admin")
    rows = table(auditor, "history")
    assert rows[0][0] == "Seven days from"
    assert len(rows) == 54


def test_figures_have_no_exponent_and_nothing_is_0(db):
    alice = User.objects.create_user("alice")
    spend(alice, date(2026, 9, 1), "0")
    spend(alice, date(2026, 9, 2), "0.00000001")
    query = "since=2026-09-01&until=2026-09-03"
    lead = client_of("lea", "Lead")
    assert [row[-1] for row in table(lead, "cost", query)[1:]] == ["0", "0.00000001", "0"]
    assert table(lead, "people", query)[1][-1] == "0.00000001"
    one_day = "since=2026-09-01&until=2026-09-01"
    for panel in ("cost", "people", "models", "conversations"):
        assert table(lead, panel, one_day)[1][-1] == "0"
    page = lead.get(f"/admin/usage/?{one_day}").content.decode()
    assert "$0 in total." in page
    assert "0E" not in page
    owner = Client()
    owner.force_login(alice)
    root = Conversation.objects.filter(started__date=date(2026, 9, 2)).get().id
    own = orjson.loads(b"".join(owner.get(f"/c/{root}/export.json").streaming_content))
    assert [call["cost"] for call in own["calls"]] == ["0.00000001"]


@pytest.mark.parametrize(
    ("value", "before", "write", "said"),
    [
        (0, 0, count, ""),
        (5, 0, count, "none before"),
        (0, 5, count, "−100 %"),
        (5, 5, count, "unchanged"),
        (50, 5, count, "+900 %"),
        (51, 5, count, "5 before"),
        (422_300, 9_000, short, "9k before"),
        (Decimal("12.5"), Decimal("0.00001"), money, "< $0.0001 before"),
        (Decimal("12.5"), Decimal("0.02"), money, "$0.0200 before"),
        (Decimal("0.04"), Decimal("0.02"), money, "+100 %"),
    ],
)
def test_a_change_against_nearly_nothing_is_said_as_what_that_was(value, before, write, said):
    assert describe_change(value, before, write(before)) == said
