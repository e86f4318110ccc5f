"""The database dies while a page's stream is on its way: the stream says so, and ends whole."""

import orjson
import pytest
from django.db import InterfaceError, OperationalError

from conversations.models import Snapshot
from conversations.record import growth
from conversations.tests import calls
from conversations.tests.calls import person, user
from proxy.pages import live

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sent")]
EVENTS = {"Accept": "text/event-stream"}


def told(response) -> list[tuple[str, object]]:
    """Every event, its data parsed; nothing may be left that is no whole event."""
    *parts, rest = b"".join(response).decode().split("\n\n")
    assert rest == ""
    lines = [part.split("\n") for part in parts if not part.startswith(":")]
    return [(first.removeprefix("event: "), orjson.loads(last[6:])) for first, *_, last in lines]


def away(problem):
    def fail(*ignored):
        raise problem("the connection is lost: canary")

    return fail


@pytest.mark.parametrize("problem", [InterfaceError, OperationalError])
@pytest.mark.parametrize("where", ["_turn_event", "_end_event"])
def test_a_question_is_answered_and_its_stream_says_that_it_cannot_tell(
    where, problem, hers, monkeypatch
):
    monkeypatch.setattr(live.AskedAnswer, where, away(problem))
    form = {"message": "!echo hello", "model": "gpt-4o"}
    response = hers.post("/", form, headers=EVENTS)
    events = told(response)
    response.close()
    assert events[-1] == ("away", str(live.AWAY))
    assert Snapshot.objects.get().status == "ok"


@pytest.mark.parametrize("problem", [InterfaceError, OperationalError])
@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_a_growing_answer_that_another_page_follows(rounds, problem, hers, monkeypatch):
    monkeypatch.setattr(live, "POLL", 0)
    call = calls.ask(person("alice"), [user("question")])
    growth.save_pieces(call.id, [growth.Piece((0, "content"), 0, "# One\n\nTwo")])
    read = live.FollowedAnswer._read
    left = iter([read] * rounds)
    monkeypatch.setattr(
        live.FollowedAnswer, "_read", lambda *given: next(left, away(problem))(*given)
    )
    response = hers.get(f"/c/{call.conversation}/live/{call.id}", headers=EVENTS)
    events = told(response)
    response.close()
    assert events[-1] == ("away", str(live.AWAY))
    assert [name for name, _ in events].count("full") == min(rounds, 1)
