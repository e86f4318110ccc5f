"""No upstream: pages of the record need none."""

from datetime import UTC, datetime

import pytest

from conversations import record
from conversations.models import Snapshot
from conversations.tests.calls import assistant, user
from conversations.tests.pages.page import close, indexed


@pytest.fixture(autouse=True)
def no_upstream(monkeypatch):
    """Reading needs none: the list of models is not even asked for."""
    monkeypatch.setattr("proxy.pages.asking.list_models", lambda owner: ["m", "n"])


@pytest.fixture
def calls(alice) -> list[Snapshot]:
    """One a conversation: two models, two use cases, noon (UTC) of three days in May."""
    made = []
    for day, model, use_case in (
        (1, "gpt-4o", ""),
        (2, "o4-mini", "Coding assistant"),
        (3, "gpt-4o", "Coding assistant"),
    ):
        at = datetime(2026, 5, day, 12, tzinfo=UTC)
        call = record.open(
            record.CallRequest(
                owner=alice.pk,
                kind="chat",
                model=model,
                body={},
                messages=[user(f"heron {day}")],
                use_case=use_case,
                opened=at,
                title=f"day {day}",
            )
        )
        made.append(close(call, status="ok", replies=[assistant("a")], closed=at))
    indexed(*made)
    return made
