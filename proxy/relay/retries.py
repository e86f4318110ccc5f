"""What follows a failed try: the same route again, the next one, or the end. Pure.

Until a reply turns out to be an answer, nothing of it was passed on, so any upstream of a call may
fail. An upstream that may have done what it was sent is not asked again, and no other is either.

A call has one budget for all of its routes, in tries and in seconds: one try at each route, REPEATS
more wherever they are needed, and none that begins after the first byte was due.
"""

from dataclasses import dataclass

from ..faults import Fault

REPEATS = 2  # of a call: tries beside the first one at each of its routes
JITTER = (0.1, 0.4)  # seconds before the first repeat
BACK_OFF = 4  # times as long before the next one
# Seconds that an upstream may ask us to wait: while other routes are left, and at the last one.
AT_ONCE, SOON_ENOUGH = 0.5, 5.0


@dataclass(frozen=True)
class Standing:
    """How a call stands after a failed try."""

    is_cut: bool
    is_failing: bool  # the upstream: its gate is not closed
    repeats_left: int
    routes_left: bool
    seconds_left: float  # until the first byte is due


@dataclass(frozen=True)
class Retry:
    seconds: float  # to wait before


@dataclass(frozen=True)
class NextRoute:
    pass


@dataclass(frozen=True)
class GiveUp:
    spent: bool = False  # the call was tried as often as it may be


def next_step(fault: Fault, standing: Standing, jitter: float) -> Retry | NextRoute | GiveUp:
    """Wait at least as long as the upstream asks for, and longer before each repeat."""
    if standing.is_cut or not fault.repeatable or standing.seconds_left <= 0:
        return GiveUp()
    if standing.routes_left and standing.is_failing:
        return NextRoute()
    if not standing.repeats_left:
        return NextRoute() if standing.routes_left else GiveUp(spent=True)
    wish = float(fault.retry_after or 0)
    longest = AT_ONCE if standing.routes_left else SOON_ENOUGH
    wait = max(wish, jitter * BACK_OFF ** (REPEATS - standing.repeats_left))
    if fault.ours or fault.spent or wish > longest or wait > standing.seconds_left:
        return NextRoute() if standing.routes_left else GiveUp()
    return Retry(wait)
