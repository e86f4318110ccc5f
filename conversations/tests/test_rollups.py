"""The roll-ups against the log they are made of: every figure, told when wrong and made again."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import models

from conversations import record
from conversations.models import Conversation, EndUserUsage, Usage
from conversations.proof import sealing
from conversations.report import rollups
from conversations.tests.calls import ask, person, user

pytestmark = pytest.mark.django_db

TOTALS = ("turns", "prompt_tokens", "completion_tokens", "cost")
FIGURES = [
    *((Usage, field.name) for field in Usage._meta.concrete_fields if field.has_db_default()),
    *((Conversation, name) for name in TOTALS),
]


@pytest.fixture(autouse=True)
def logs() -> None:
    """Of each ending a call, in one conversation and day; one refused, in none; one under way."""
    said = [user("hi")]
    for number, status in enumerate(["ok", "failed", "cancelled", "interrupted", "ok"]):
        call = ask(person("alice"), said, opened=datetime(2026, 9, 1, 12, number, tzinfo=UTC))
        outcome = record.Outcome(
            status=status,
            replies=[{"role": "assistant", "content": f"answer {number}"}],
            prompt_tokens=10 + number,
            completion_tokens=20,
            cost=Decimal("0.1"),
        )
        record.close(call, outcome)
        said += [outcome.replies[0], user(f"and {number}?")]
    refused = record.CallRequest(
        owner=person("bob").pk,
        kind="chat",
        model="m",
        body={},
        opened=datetime(2026, 9, 1, tzinfo=UTC),
    )
    record.refuse(refused, "model_not_found", "No such model.")
    ask(person("bob"), [user("under way")])


def kept() -> list[dict[str, Any]]:
    conversations = Conversation.objects.order_by("id").values("id", *TOTALS)
    return [*Usage.objects.order_by("day", "owner").values(), *conversations]


def test_what_closing_adds_up_is_what_the_log_says():
    hers = Usage.objects.get(owner=person("alice"))
    assert (hers.day, hers.calls, hers.failures) == (date(2026, 9, 1), 5, 3)
    assert (hers.prompt_tokens, hers.completion_tokens, hers.cost) == (60, 100, Decimal("0.5"))
    his = Usage.objects.get(owner=person("bob"))
    assert (his.calls, his.failures) == (1, 1)
    assert rollups.differences() == []
    call_command("rollups")


@pytest.mark.parametrize(("model", "name"), FIGURES)
def test_a_wrong_figure_is_told_and_made_again(model: type[models.Model], name: str):
    before = kept()
    model.objects.filter(owner=person("alice")).update(**{name: models.F(name) + 1})
    assert kept() != before
    [said] = rollups.differences()
    assert said.startswith("usage of 2026-09-01" if model is Usage else "totals of conversation")
    with pytest.raises(CommandError, match="1 row"):
        call_command("rollups")
    rollups.rebuild()
    assert kept() == before
    assert rollups.differences() == []


def test_rows_that_are_lost_or_put_in_are_told_and_made_again():
    before = kept()
    Usage.objects.filter(owner=person("bob")).delete()
    Usage.objects.create(day=date(2026, 9, 2), owner=person("alice"), model="m", calls=1)
    assert len(rollups.differences()) == 2
    rollups.rebuild()
    assert kept() == before


# What end users of shared keys spent: of sealed calls, by the worker ------------------------------


@pytest.fixture
def shared() -> list[dict[str, Any]]:
    """Three calls for ann and one for ben, sealed in two goes; one of ann's is not sealed yet."""
    for end_user in ("ann", "ann", "ben", "", "ann"):
        opened = datetime(2026, 9, 2, tzinfo=UTC)
        call = ask(person("front end"), [user("hi")], opened=opened, end_user=end_user)
        record.close(call, record.Outcome(status="failed", prompt_tokens=10, cost=Decimal("0.1")))
        if end_user == "ann":
            sealing.seal()
    sealing.seal()
    call = ask(person("front end"), [user("hi")], opened=opened, end_user="ann")
    record.close(call, record.Outcome(status="ok", prompt_tokens=10))
    return list(EndUserUsage.objects.order_by("end_user").values())


def test_what_the_worker_adds_up_is_what_the_log_says(shared):
    figures = [(row["end_user"], row["calls"], row["failures"], row["cost"]) for row in shared]
    assert figures == [("ann", 3, 3, Decimal("0.3")), ("ben", 1, 1, Decimal("0.1"))]
    assert rollups.differences() == []
    assert Usage.objects.get(owner=person("front end")).calls == 6


@pytest.mark.parametrize(
    "name", [each.name for each in EndUserUsage._meta.concrete_fields if each.has_db_default()]
)
def test_a_wrong_figure_of_an_end_user_is_told_and_made_again(shared, name):
    EndUserUsage.objects.filter(end_user="ann").update(**{name: models.F(name) + 1})
    [said] = rollups.differences()
    assert said.startswith("usage of 2026-09-02")
    assert "end user ann" in said
    EndUserUsage.objects.filter(end_user="ben").delete()
    assert len(rollups.differences()) == 2
    rollups.rebuild()
    assert list(EndUserUsage.objects.order_by("end_user").values()) == shared
    assert rollups.differences() == []
