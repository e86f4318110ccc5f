"""What follows a failed try: the same route again, the next one, or the end. Pure.

Until a reply turns out to be an answer, nothing of it was passed on, so any upstream of a call may
fail. An upstream that may have done what it was sent is not asked again, and no other is either.
"""

from dataclasses import dataclass

from ..faults import Fault

TRIES = 3  # at each route
JITTER = (0.1, 0.4)  # seconds before the second try
BACK_OFF = 4  # times as long before each one more
# Seconds that an upstream may ask us to wait: while other routes are left, and at the last one.
AT_ONCE, SOON_ENOUGH = 0.5, 5.0


@dataclass(frozen=True)
class Standing:
    """How a call stands after a failed try."""

    is_cut: bool
    is_failing: bool  # the upstream: its gate is not closed
    tries_left: int  # at this route
    routes_left: bool
    seconds_left: float  # until the first byte is due


@dataclass(frozen=True)
class Retry:
    seconds: float  # to wait before


@dataclass(frozen=True)
class NextRoute:
    spent: bool = False  # this route was tried as often as it may be


@dataclass(frozen=True)
class GiveUp:
    spent: bool = False


def next_step(fault: Fault, standing: Standing, jitter: float) -> Retry | NextRoute | GiveUp:
    """Wait at least as long as the upstream asks for, and longer before each try than the last."""
    if standing.is_cut or not fault.repeatable:
        return GiveUp()
    if standing.routes_left and standing.is_failing:
        return NextRoute()
    onward = NextRoute if standing.routes_left else GiveUp
    if not standing.tries_left:
        return onward(spent=True)
    wish = float(fault.retry_after or 0)
    longest = AT_ONCE if standing.routes_left else SOON_ENOUGH
    wait = max(wish, jitter * BACK_OFF ** (TRIES - 1 - standing.tries_left))
    if fault.ours or wish > longest or wait > standing.seconds_left:
        return onward()
    return Retry(wait)
