"""The events of a growing answer: for the page that asked, and for one that comes later."""

import re
from unittest.mock import Mock

import orjson
import pytest
from django.test import Client

from conversations.models import Snapshot
from conversations.reading import markdown
from conversations.record import growth
from conversations.tests import calls
from conversations.tests.calls import person, user
from proxy.pages import live
from proxy.relay import exchange

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent")]
asked = pytest.mark.django_db(
    transaction=True
)  # a thread of its own asks, on a connection of its own
EVENTS = {"Accept": "text/event-stream"}
TEXT = "# One\n\nTwo *words*.\n\n```python\nx = 1\n```\n\n- three\n- four\n"


def told(response) -> list[tuple[str, int | None, str]]:
    """Each event: its name, its id, its data. Keep-alives are none."""
    assert response.status_code == 200
    assert response["Content-Type"] == "text/event-stream"
    assert {"no-store", "no-transform"} <= {
        part.strip() for part in response["Cache-Control"].split(",")
    }
    assert response["X-Accel-Buffering"] == "no"
    found = []
    for part in b"".join(response).decode().split("\n\n"):
        if part and not part.startswith(":"):
            name, id, data = re.fullmatch(
                r"event: (\w+)\n(?:id: (\d+)\n)?data: (.*)", part
            ).groups()
            found.append((name, id and int(id), orjson.loads(data)))
    return found


def ask(client: Client, message: str, path: str = "/", **form):
    return client.post(path, {"message": message, "model": "gpt-4o"} | form, headers=EVENTS)


@asked
def test_a_question_and_its_answer_in_events(hers):
    events = told(ask(hers, f"!echo {TEXT}"))
    call = Snapshot.objects.get()
    assert call.status == "ok"
    names = [name for name, _, _ in events]
    assert (names[0], names[-1]) == ("turn", "done")
    assert set(names[1:-1]) <= {"block", "tail", "text"}
    assert f'data-live="/c/{call.conversation_id}/live/{call.id}"' in events[0][2]
    assert call.reply.text.strip() == TEXT.strip()
    assert "".join(html for name, _, html in events if name == "block") == markdown.html(
        call.reply.text
    )
    assert f'name="parent" value="{call.reply_id}"' in events[-1][2]


def test_the_same_form_without_events_leads_to_the_conversation(hers):
    response = hers.post("/", {"message": "q", "model": "gpt-4o"})
    assert (response.status_code, b"".join(response)) == (303, b"")  # the call ends behind it


@asked
@pytest.mark.parametrize("word", ["!down", "!500", "!400", "!cut", "!garbage"])
def test_a_call_that_fails_ends_in_a_problem(hers, word):
    events = told(ask(hers, f"{word} what is DNS, in some detail?"))
    assert Snapshot.objects.get().status == "failed"
    assert events[0][0] == "turn"
    assert events[-1][0] == "problem"
    assert 'class="problem"' in events[-1][2]


def test_what_is_not_let_through_is_answered_with_its_page(hers, settings):
    assert ask(hers, "").status_code == 400
    settings.OPEN_CALLS = 0
    response = ask(hers, "my question")
    assert response.status_code == 503
    assert b"my question" in response.content


@asked
@pytest.mark.parametrize("events", [0, 1, 2])
def test_an_answer_is_finished_without_its_reader(hers, events):
    before = exchange.process.slots.taken
    response = ask(hers, "What is a vector database?")
    pieces = iter(response)
    for _ in range(events):
        next(pieces)
    response.close()
    call = Snapshot.objects.get()
    assert call.status == "ok"
    assert call.reply.text
    assert exchange.process.slots.taken == before


@asked
def test_a_model_that_thinks_is_no_silence(hers, monkeypatch):
    monkeypatch.setattr(live, "ALIVE", 0.01)
    response = ask(hers, "!slow=0.5 What is a vector database?")
    pieces = list(response)
    assert pieces[0].startswith(b"event: turn\n")
    assert pieces[1] == b": still there\n\n"
    assert pieces[-1].rpartition(b"event: ")[2].startswith(b"done\n")
    assert Snapshot.objects.get().status == "ok"


@asked
def test_a_gateway_that_can_start_no_thread_asks_all_the_same(hers, monkeypatch):
    monkeypatch.setattr(live, "Thread", Mock(side_effect=RuntimeError("can't start new thread")))
    response = ask(hers, "What is a vector database?")
    with pytest.raises(RuntimeError):
        list(response)
    response.close()
    assert Snapshot.objects.get().status == "ok"


@pytest.fixture
def growing(alice, monkeypatch):
    """A call under way, whose answer is whole after the third look."""
    call = calls.ask(alice, [user("q")])
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        at = len(looks) * 10
        if at < 30:
            growth.save_pieces(call.id, [growth.Piece(growth.TEXT, at, TEXT[at : at + 10])])
        elif at == 30:
            calls.answer(call, TEXT)

    growth.save_pieces(call.id, [growth.Piece(growth.TEXT, 0, TEXT[:10])])
    monkeypatch.setattr(live.time, "sleep", sleep)
    return call


def test_a_later_page_follows_from_the_record(hers, growing):
    before = exchange.process.slots.taken
    events = told(hers.get(f"/c/{growing.conversation}/live/{growing.id}", headers=EVENTS))
    assert events[0][0] == "full"
    assert events[-1][0] == "done"
    assert "".join(html for name, _, html in events if name in ("full", "block")) == markdown.html(
        TEXT
    )
    assert exchange.process.slots.taken == before


@pytest.mark.parametrize("status", ["ok", "failed", "cancelled", "interrupted"])
def test_one_that_has_ended_is_told_at_once(hers, alice, status):
    call = calls.ask(alice, [user("q")])
    calls.answer(call, TEXT, status=status)
    events = told(hers.get(f"/c/{call.conversation}/live/{call.id}"))
    assert events[-1][0] == ("done" if status == "ok" else "problem")
    assert "".join(html for name, _, html in events if name in ("full", "block")) == markdown.html(
        TEXT
    )


def test_only_what_the_page_lacks_is_told(hers, alice):
    call = calls.turn(alice, [user("q")], TEXT)
    path = f"/c/{call.conversation_id}/live/{call.id}"
    assert told(hers.get(path, {"after": 7}))[0] == ("block", 21, "<p>Two <em>words</em>.</p>\n")
    for nothing_of_ours in (6, 9999, "x"):
        assert told(hers.get(path, {"after": nothing_of_ours}))[0][0] == "full"


def test_a_silent_answer_is_kept_alive(hers, growing, monkeypatch):
    monkeypatch.setattr(live, "ALIVE", -1)
    monkeypatch.setattr(live.Growth, "events", lambda self: b"")
    assert b": still there\n\n" in b"".join(
        hers.get(f"/c/{growing.conversation}/live/{growing.id}")
    )


def test_followers_take_slots(hers, growing, settings):
    settings.OPEN_CALLS = 0
    response = hers.get(f"/c/{growing.conversation}/live/{growing.id}")
    assert response.status_code == 503
    assert response["Retry-After"]


def test_a_stranger_finds_no_stream(his, growing):
    assert his.get(f"/c/{growing.conversation}/live/{growing.id}").status_code == 404
    mine = calls.turn(person("bob"), [user("q")], "a")
    assert his.get(f"/c/{mine.conversation_id}/live/{growing.id}").status_code == 404
    assert (
        Client().get(f"/c/{growing.conversation}/live/{growing.id}", headers=EVENTS).status_code
        == 302
    )
