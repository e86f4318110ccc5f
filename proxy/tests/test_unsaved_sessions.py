"""A page's question whose response is lost on its way out: the call is finished all the same."""

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.db import OperationalError

from conversations.models import Snapshot
from llmgateway import sessions
from proxy.relay.exchange import process

# a thread of its own asks, on a connection of its own
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sent")]


@pytest.mark.parametrize("problem", [UpdateError, OperationalError], ids=["signed out", "away"])
@pytest.mark.parametrize("accept", ["text/event-stream", "text/html"])
def test_the_call_is_closed_where_the_session_cannot_be_saved(problem, accept, hers, monkeypatch):
    """Signed out in another window meanwhile, or the database dies: no slot stays taken."""

    def save(*_, **__):
        raise problem

    monkeypatch.setattr(sessions.SessionStore, "save", save)
    hers.raise_request_exception = False
    before = process.slots.taken, dict(process.exchanges)
    question = {"message": "!echo Fine", "model": "gpt-4o"}
    reply = hers.post("/", question, headers={"Accept": accept})
    assert reply.status_code >= 400
    assert Snapshot.objects.get().status == "ok"
    assert (process.slots.taken, process.exchanges) == before
