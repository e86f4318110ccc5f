"""What follows a failed try. No process, no upstream, no clock."""

from dataclasses import replace

import pytest

from proxy import faults
from proxy.relay.retries import BACK_OFF, TRIES, GiveUp, NextRoute, Retry, Standing, next_step

JITTER = 0.3
ALONE = Standing(
    is_cut=False, is_failing=False, tries_left=TRIES - 1, routes_left=False, seconds_left=60.0
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
    return replace(standing, tries_left=0)


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
        (DOWN, replace(ALONE, tries_left=TRIES - 2), Retry(JITTER * BACK_OFF)),
        (busy("5"), replace(ALONE, tries_left=TRIES - 2), Retry(5.0)),
        # It may have done it, or would refuse it again: nothing is sent once more, anywhere.
        (LOST, ALONE, GiveUp()),
        (LOST, OTHERS, GiveUp()),
        (CREDENTIALS, OTHERS, GiveUp()),
        # A cut call ends.
        (DOWN, cut(ALONE), GiveUp()),
        (DOWN, cut(OTHERS), GiveUp()),
        # The tries here are used up.
        (DOWN, last(ALONE), GiveUp(spent=True)),
        (DOWN, last(OTHERS), NextRoute(spent=True)),
        (FULL, last(OTHERS), NextRoute(spent=True)),
        # An upstream that fails again and again is left at once, if there is another.
        (DOWN, failing(OTHERS), NextRoute()),
        (DOWN, failing(last(OTHERS)), NextRoute()),
        (DOWN, failing(ALONE), Retry(JITTER)),
        (DOWN, failing(last(ALONE)), GiveUp(spent=True)),
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
    ],
)
def test_next_step(fault, standing, step):
    assert next_step(fault, standing, JITTER) == step


def test_steps_of_different_kinds_differ():
    assert NextRoute() != GiveUp()
