"""Under PSEUDONYMS no figure is of fewer than five people, where people are not shown at all."""

from datetime import date, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from conversations.models import Usage, User
from conversations.tests.cast import client_of
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db
SINCE = date(2026, 9, 1)
QUERY = "since=2026-09-01&until=2026-09-30"
PANELS = ("history", "tokens", "cost", "people", "models", "job-titles")
CALLS = 7  # of each person, day and model


def use(number: int, day: int, model: str, department: str = "Sales") -> None:
    owner, _ = User.objects.get_or_create(
        username=f"p{number}", defaults={"department": department, "password": "!"}
    )
    at = SINCE + timedelta(days=day)
    sums = {"calls": CALLS, "failures": 0, "prompt_tokens": 10, "completion_tokens": 1, "cost": 1}
    Usage.objects.create(owner=owner, day=at, model=model, **sums)


def told() -> dict:
    account = User.objects.create_user("auditor", is_staff=True)
    account.user_permissions.add(Permission.objects.get(codename="view_usage"))
    _, secret = ApiKey.make(account, "figures", scopes=["usage"])
    headers = {"authorization": f"Bearer {secret}"}
    return Client().get(f"/api/usage?of=everyone&{QUERY}", headers=headers).json()


@pytest.fixture(autouse=True)
def aliases(settings):
    settings.PSEUDONYMS = True


@pytest.mark.parametrize("people", [1, 4])
def test_nothing_is_shown_of_days_of_few(people, settings):
    for number in range(people):
        use(number, 3, "m")
    found = told()
    assert found["total"] is None
    assert (found["steps"], found["models"], found["history"]) == ([], [], [])
    auditor = client_of("aud", "Auditor")
    page = auditor.get(f"/admin/usage/?{QUERY}").content.decode()
    assert f"{people * CALLS}</strong>" not in page
    assert "Fewer than 5 people made calls in this period." in page
    for panel in PANELS:
        assert auditor.get(f"/admin/usage/{panel}.csv?{QUERY}").status_code == 404
    settings.PSEUDONYMS = False
    assert auditor.get(f"/admin/usage/tokens.csv?{QUERY}").status_code == 200


def test_a_change_since_days_of_few_is_not_told():
    for number in range(6):
        use(number, 3, "m")
    use(0, -3, "m")
    found = told()
    assert found["total"]["people"] == 6
    assert found["before"] is None
    page = client_of("aud", "Auditor").get(f"/admin/usage/?{QUERY}").content.decode()
    assert "500 %" not in page


def test_each_figure_is_of_five_or_more_and_all_are_there():
    """Day 1 has one person, day 2 six, day 3 two; one model of two has two people."""
    for number in range(6):
        use(number, 2, "common")
    use(0, 1, "rare")
    use(1, 3, "rare")
    use(2, 3, "common")
    found = told()
    steps = {step["from"]: step["calls"] for step in found["steps"]}
    assert sum(steps.values()) == found["total"]["calls"] == 9 * CALLS
    assert {day: calls for day, calls in steps.items() if calls} == {"2026-09-03": 9 * CALLS}
    assert [row["name"] for row in found["models"]] == ["Models of few people"]
    assert [series["calls"] for series in found["history"]] == [[0, 0, 9 * CALLS] + [0] * 27]


def test_departments_of_few_on_a_day_are_counted_with_another_day():
    for number in range(5):
        use(number, 2, "m", "Sales")
        use(10 + number, 2, "m", "Legal")
    use(10, 5, "m")
    found = told()
    assert {series["name"]: sum(series["calls"]) for series in found["history"]} == {
        "Sales": 5 * CALLS,
        "Legal": 6 * CALLS,
    }
    assert all(sum(map(bool, series["calls"])) == 1 for series in found["history"])


def test_who_sees_people_sees_each_figure():
    for number in range(2):
        use(number, 3, "m")
    lead = client_of("lea", "Lead")
    assert lead.get(f"/admin/usage/tokens.csv?{QUERY}").status_code == 200
    page = lead.get(f"/admin/usage/?{QUERY}").content.decode()
    assert f"{2 * CALLS}</strong>" in page
