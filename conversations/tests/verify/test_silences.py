"""Calls that were closed late because their database was away, and those that were dated back.

What tells them apart is what was sealed meanwhile. A scenario is a list of moments at which the
worker sealed, in minutes before now, each with the minutes at which its rows closed, as they say.
"""

import re
from datetime import UTC, datetime, timedelta

import pytest

from conversations import record
from conversations.models import AuditEvent
from conversations.proof import sealing
from conversations.proof.verification import verify
from conversations.tests.calls import ask, person, user

pytestmark = pytest.mark.django_db
Moments = list[tuple[float, list[float]]]
NOW = datetime.now(UTC)
DAY = 24 * 60.0
USUAL: Moments = [(at, [at]) for at in range(300, 0, -20)]
DAILY: Moments = [(day * DAY, [day * DAY]) for day in range(30, 0, -1)]


@pytest.fixture
def live(monkeypatch):
    """Close and seal calls, or events, at the moments of a scenario."""

    def live(moments: Moments, *, events: bool = False) -> None:
        for sealed, rows in moments:
            for minutes in rows:
                put_in(NOW - timedelta(minutes=minutes), event=events and minutes != sealed)
            with monkeypatch.context() as patch:
                patch.setattr(sealing, "datetime", make_clock(NOW - timedelta(minutes=sealed)))
                assert sealing.seal() == len(rows)

    return live


def make_clock(now: datetime) -> type[datetime]:
    return type("Clock", (datetime,), {"now": classmethod(lambda cls, zone: now)})


def put_in(at: datetime, *, event: bool) -> None:
    if event:
        AuditEvent.objects.create(action="list", actor_name="rita", at=at)
        return
    call = ask(person("alice"), [user(f"until {at}")], opened=at - timedelta(seconds=3))
    record.close(call, record.Outcome(status="failed", closed=at))


HONEST: dict[str, tuple[Moments, list[int]]] = {
    "behind a new call": ([(121, [121]), (0, [0, 120])], [1]),
    "before a new call": ([(121, [121]), (0, [120, 0])], [1]),
    "in another order than they ended": ([(121, [121]), (0, [0, 110, 120, 115])], [3]),
    "minutes after it came back": ([(121, [121]), (5, [5]), (4, [4]), (0, [120, 0])], [1]),
    "ended a little before it went": ([(121, [121]), (0, [0, 124])], [1]),
    "on a weekend": ([(62 * 60, [62 * 60]), (0, [0, 62 * 60 - 1])], [1]),
    "twice": ([(500, [500]), (300, [300, 499]), (200, [200]), (0, [0, 199, 198])], [1, 2]),
    "and the worker too": ([(300, [300]), (0, [200, 180, 299, 10, 250, 0])], [4]),
    "after long and usual work": ([*DAILY, *USUAL, (20, [20]), (-120, [-120, 19])], [1]),
}
FORGED: dict[str, tuple[Moments, int]] = {
    "while others were sealed": ([*USUAL, (0, [0, 120])], 1),
    "while few others were sealed": ([(300, [300]), (90, [90]), (0, [0, 180])], 1),
    "by 25 days, and one a day": ([*DAILY, (0, [0, 25 * DAY])], 1),
    "by 25 days, and nothing since": ([(26 * DAY, [26 * DAY]), (0, [0, 25 * DAY])], 1),
    "by 25 days, in a new record": ([(0, [0, 25 * DAY])], 1),
    "into silence, an hour after it": ([(300, [300]), (60, [60]), (30, [30]), (0, [0, 200])], 1),
    "to before the silence": ([(200, [200]), (121, [121]), (0, [0, 150])], 1),
    "into the silence before the last": ([(500, [500]), (200, [200]), (0, [0, 400])], 1),
    "forward": ([(121, [121]), (0, [0, -120])], 1),
    "beside honest ones": ([(121, [121]), (0, [0, 120, 25 * DAY, 110])], 1),
}


@pytest.mark.parametrize("name", HONEST)
def test_a_database_that_was_away_is_a_stretch_and_no_alarm(live, name):
    moments, counts = HONEST[name]
    live(moments)
    run = verify()
    assert run.problem == ""
    told = re.findall(r"^Nothing was sealed from .* ran\. (\d+) rows closed in", run.notes, re.M)
    assert list(map(int, told)) == counts
    assert "rows were sealed much later" not in run.notes


@pytest.mark.parametrize("name", FORGED)
def test_what_was_dated_back_while_others_were_sealed_is_named(live, name):
    moments, count = FORGED[name]
    live(moments)
    problems = verify().problem.splitlines()
    assert len(problems) == count
    assert all("out of its order and by no import" in line for line in problems)


def test_no_silence_bears_an_event_out(live):
    """The end of a call waits in the memory of its process; an event is written, or is not."""
    live([(121, [121]), (0, [0, 120])], events=True)
    assert "The auditevent " in verify().problem


def test_a_stretch_is_told_with_its_ends(live):
    live([(121, [121]), (0, [0, 120])])
    began, ended = NOW - timedelta(minutes=121), NOW
    assert (
        f"Nothing was sealed from {began:%Y-%m-%d %H:%M:%S} to {ended:%Y-%m-%d %H:%M:%S} UTC: the "
        "database was away, or no worker ran. 1 rows closed in that time, as they say, and were "
        "sealed after it. The first: The snapshot "
    ) in verify().notes


def test_of_many_stretches_the_last_are_told(live):
    hours = [(9 - number) * 120.0 for number in range(9)]
    live([(hours[0], [hours[0]]), *((at, [at, at + 119]) for at in hours[1:])])
    notes = verify().notes
    assert notes.count("Nothing was sealed from ") == 5
    assert "There were 3 such stretches before." in notes
