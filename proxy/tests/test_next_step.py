"""What follows a failed try. No process, no upstream, no clock."""

from dataclasses import replace

import pytest

from proxy import faults
from proxy.relay.retries import (
    BACK_OFF,
    REPEATS,
    GiveUp,
    NextRoute,
    Retry,
    Standing,
    next_step,
)

JITTER = 0.3
ALONE = Standing(
    is_cut=False, is_failing=False, repeats_left=REPEATS, routes_left=False, seconds_left=60.0
)
OTHERS = replace(ALONE, routes_left=True)

DOWN = faults.refused(500, {"message": "No.", "code": None, "param": None})
FULL = faults.upstream_full()  # ours, and nothing was sent
CREDENTIALS = faults.upstream_credentials().copy(answered=401)
LOST = faults.truncated()  # it may have been done
UNSENT = faults.connect_timeout().copy(unsent=True)
SENSELESS = faults.bad_reply("A web page.").without_answer()


def busy(seconds):
    """An upstream that asks for a wait."""
    return faults.refused(
        429, {"message": "Later.", "code": None, "param": None}, retry_after=seconds
    )


def cut(standing):
    return replace(standing, is_cut=True)


def failing(standing):
    return replace(standing, is_failing=True)


def last(standing):
    return replace(standing, repeats_left=0)


def late(standing, seconds):
    return replace(standing, seconds_left=seconds)


@pytest.mark.parametrize(
    ("fault", "standing", "step"),
    [
        # The upstream says that it did not do it, or sent no answer: again.
        (DOWN, ALONE, Retry(JITTER)),
        (DOWN, OTHERS, Retry(JITTER)),
        (UNSENT, ALONE, Retry(JITTER)),
        (SENSELESS, OTHERS, Retry(JITTER)),
        (busy(None), ALONE, Retry(JITTER)),
        # Longer before each one more.
        (DOWN, replace(ALONE, repeats_left=REPEATS - 1), Retry(JITTER * BACK_OFF)),
        (busy("5"), replace(ALONE, repeats_left=REPEATS - 1), Retry(5.0)),
        # It may have done it, or would refuse it again: nothing is sent once more, anywhere.
        (LOST, ALONE, GiveUp()),
        (LOST, OTHERS, GiveUp()),
        (CREDENTIALS, OTHERS, GiveUp()),
        # A cut call ends.
        (DOWN, cut(ALONE), GiveUp()),
        (DOWN, cut(OTHERS), GiveUp()),
        # The call's tries are used up: each route that is left gets one.
        (DOWN, last(ALONE), GiveUp(spent=True)),
        (DOWN, last(OTHERS), NextRoute()),
        (FULL, last(OTHERS), NextRoute()),
        # An upstream that fails again and again is left at once, if there is another.
        (DOWN, failing(OTHERS), NextRoute()),
        (DOWN, failing(last(OTHERS)), NextRoute()),
        (DOWN, failing(ALONE), Retry(JITTER)),
        (DOWN, failing(last(ALONE)), GiveUp(spent=True)),
        # An upstream that says so has tried enough by itself.
        (DOWN.after_last_try(), ALONE, GiveUp()),
        (DOWN.after_last_try(), OTHERS, NextRoute()),
        # What the gateway itself hinders is not tried here again.
        (FULL, ALONE, GiveUp()),
        (FULL, OTHERS, NextRoute()),
        # As long as the upstream asks for: a while at the last route, hardly at any other.
        (busy("0"), ALONE, Retry(JITTER)),
        (busy("5"), ALONE, Retry(5.0)),
        (busy("6"), ALONE, GiveUp()),
        (busy("0"), OTHERS, Retry(JITTER)),
        (busy("1"), OTHERS, NextRoute()),
        # Not when the first byte would come too late.
        (DOWN, late(ALONE, JITTER), Retry(JITTER)),
        (DOWN, late(ALONE, 0.2), GiveUp()),
        (DOWN, late(OTHERS, 0.2), NextRoute()),
        (busy("4"), late(ALONE, 3.9), GiveUp()),
        (busy("4"), late(ALONE, 4.0), Retry(4.0)),
        (DOWN, late(ALONE, -1.0), GiveUp()),
        # Nothing at all begins after that: a client that has time left may try.
        (DOWN, late(OTHERS, 0.0), GiveUp()),
        (DOWN, late(failing(OTHERS), -1.0), GiveUp()),
        (DOWN, late(last(OTHERS), -1.0), GiveUp()),
        (DOWN, late(last(ALONE), -1.0), GiveUp()),
    ],
)
def test_next_step(fault, standing, step):
    assert next_step(fault, standing, JITTER) == step


def test_three_tries_come_before_a_caller_need_not_try_again():
    assert 1 + REPEATS >= 3


def test_steps_of_different_kinds_differ():
    assert NextRoute() != GiveUp()


@pytest.mark.parametrize("routes", range(1, 8))
@pytest.mark.parametrize("is_failing", [False, True])
def test_a_call_has_one_budget_for_all_its_routes(routes, is_failing):
    """Each route once and two tries more, wherever the call goes; then no client need try."""
    tries = [0] * routes
    standing = replace(ALONE, is_failing=is_failing)
    at = 0
    while True:
        tries[at] += 1
        standing = replace(standing, routes_left=at + 1 < routes)
        match next_step(DOWN, standing, JITTER):
            case Retry():
                standing = replace(standing, repeats_left=standing.repeats_left - 1)
            case NextRoute():
                at += 1
            case GiveUp(spent=spent):
                break
    assert (sum(tries), max(tries)) == (routes + REPEATS, 1 + REPEATS)
    assert min(tries) == (1 if routes > 1 else 1 + REPEATS)
    assert spent
