"""Calls on the review desk."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from conversations import record
from conversations.models import (
    Snapshot,
    User,
)
from conversations.record import CallRequest, Outcome
from conversations.tests.admin.desk import PNG
from conversations.tests.calls import person, turn, user


@pytest.fixture
def call(alice) -> Snapshot:
    picture = {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + base64.b64encode(PNG).decode()},
    }
    return turn(alice, [user([{"type": "text", "text": "my secret"}, picture])], "kept")


# Filters ------------------------------------------------------------------------------------------


@pytest.fixture
def varied(alice) -> dict[str, UUID]:
    """Calls that differ from one another in one thing each, newest last."""
    bob, now = person("bob"), datetime.now(UTC)
    User.objects.filter(pk=bob.pk).update(
        first_name="Robert",
        last_name="Brandt",
        email="bb@example.com",
        external_id="E-77",
        department="Legal",
        job_title="Counsel",
    )

    def one(owner, *, kind="chat", model="m", status="ok", days=0, **how) -> UUID:
        at = now - timedelta(days=days)
        messages = [user(f"about {how.get('key', 'pages')} {model} {status}")]
        call = record.open(
            CallRequest(
                owner=owner.pk,
                kind=kind,
                model=model,
                body={"model": model, "messages": messages},
                messages=messages,
                sent=b"{}",
                opened=at,
                **how,
            )
        )
        record.close(call, Outcome(status=status, closed=at))
        return call.id

    return {
        "old": one(alice, days=45),
        "lastweek": one(alice, days=7),
        "plain": one(alice),
        "bob": one(bob),
        "other model": one(alice, model="gpt-4o"),
        "failed": one(alice, status="failed"),
        "image": one(alice, kind="image"),
        "key": one(alice, key="gw-abcdefgh"),
        "azure": one(alice, upstream="azure"),
    }
