"""Things in their order, in packs that are bounded by size and by number. Pure."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Thing = TypeVar("Thing")


def pack(
    things: Iterable[Thing], size_of: Callable[[Thing], int], most_size: int, most: int = 1 << 62
) -> Iterator[list[Thing]]:
    """Yield lists of at most `most` things and of `most_size` together; a larger thing is alone."""
    held, size = list[Thing](), 0
    for thing in things:
        more = size_of(thing)
        if held and (size + more > most_size or len(held) == most):
            yield held
            held, size = [], 0
        held.append(thing)
        size += more
    if held:
        yield held
