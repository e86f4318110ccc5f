"""Packs and portions: all of a line once, in order, and no more of it at a time than fits."""

from random import Random

import pytest

from conversations.packs import pack
from conversations.reading import portions
from conversations.reading.portions import AROUND, BYTES, find_portion, find_tail

DICE = Random(7)
FEW_LARGE = [BYTES * 3, 10, BYTES, BYTES // 2, BYTES // 2, BYTES * 9]
MANY_SMALL = [12] * 5000
MIXED = [DICE.choice([0, 3, 900, BYTES // 5, BYTES + 1]) for _ in range(400)]
LINES = [[], [0], [BYTES * 5], FEW_LARGE, MANY_SMALL, MIXED]


def fits(sizes: list[int]) -> bool:
    return len(sizes) == 1 or sum(size + AROUND for size in sizes) <= BYTES


@pytest.mark.parametrize("sizes", LINES, ids=len)
def test_a_pack_holds_what_fits_and_all_is_in_one(sizes):
    packs = list(pack(sizes, lambda size: size, BYTES, 100))
    assert [size for each in packs for size in each] == sizes
    assert all(len(each) == 1 or sum(each) <= BYTES for each in packs)
    assert all(0 < len(each) <= 100 for each in packs)


@pytest.mark.parametrize("sizes", LINES, ids=len)
@pytest.mark.parametrize("most", [100, portions.MANY])
def test_a_line_is_read_from_portion_to_portion_both_ways(sizes, most):
    seen, place = [], 0
    while place is not None:
        portion = find_portion(sizes, place, most)
        assert portion.first == place
        assert not sizes or fits(sizes[portion.first : portion.end])
        assert portion.end - portion.first <= most
        seen.append(range(portion.first, portion.end))
        place = portion.later
    assert [number for each in seen for number in each] == list(range(len(sizes)))
    back = [find_portion(sizes, seen[-1].start, most)]
    while back[-1].earlier is not None:
        back.append(find_portion(sizes, back[-1].earlier, most))
    assert [portion.first for portion in reversed(back)] == [each.start for each in seen]


@pytest.mark.parametrize("sizes", LINES, ids=len)
@pytest.mark.parametrize("first", [0, 3, 390])
def test_the_tail_and_what_leads_up_from_it_are_the_whole_line(sizes, first):
    first = min(first, len(sizes))
    tail = find_tail(sizes, first, None)
    assert (tail.end, tail.later) == (len(sizes), None)
    shown = sizes[tail.first :]
    assert fits(shown) or len(shown) <= 2
    if tail.first > first:
        assert tail.earlier is not None
        above = find_portion(sizes, tail.earlier)
        assert above.first < tail.first <= above.end
    else:
        assert tail.earlier is None


@pytest.mark.parametrize("sizes", [line for line in LINES if line], ids=len)
def test_the_message_that_is_asked_for_is_shown(sizes):
    for target in {0, len(sizes) // 2, len(sizes) - 1}:
        portion = find_tail(sizes, target, target)
        assert portion.first <= target < portion.end
