"""Figures of few people go together with others, so that none is of fewer than FEWEST. Pure.

Nothing is left out: what is shown adds up to the whole, and a missing figure is no difference that
one could work out.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, Self, TypeVar


class Addable(Protocol):
    def __add__(self, other: Self, /) -> Self: ...


Sum = TypeVar("Sum", bound=Addable)


def carry(values: Sequence[Sum], is_few: Sequence[bool], nothing: Sum) -> list[Sum]:
    """Add each value of few people, in the order of time, to the next that is of more.

    Those at the end join the last that is of more; where there is none, all are the last one's.
    """
    carried: list[Sum] = []
    waiting, shown = nothing, len(values) - 1
    for number, (value, few) in enumerate(zip(values, is_few, strict=True)):
        waiting = waiting + value
        carried.append(nothing if few else waiting)
        if not few:
            waiting, shown = nothing, number
    if carried:
        carried[shown] = carried[shown] + waiting
    return carried


def find_small(few: Mapping[str, set[int]], others: Mapping[str, int], fewest: int) -> set[str]:
    """Return which groups go together: those of few people, who may be in several of them.

    With the smallest of `others` (names, and how much they count), where all of these are too few.
    """
    small = set(few)
    people = set[int]().union(*few.values())
    if small and len(people) < fewest and others:
        small.add(min(others, key=lambda name: (others[name], name)))
    return small
