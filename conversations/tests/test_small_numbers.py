"""Figures of few people go together, and nothing is lost by it."""

import pytest

from conversations.report.small_numbers import carry, find_small


@pytest.mark.parametrize(
    ("values", "people", "shown"),
    [
        ([], [], []),
        ([3, 4], [5, 9], [3, 4]),
        ([3, 4], [4, 9], [0, 7]),
        ([3, 4, 1, 2], [9, 1, 4, 5], [3, 0, 0, 7]),
        ([3, 4, 1], [9, 1, 0], [8, 0, 0]),
        ([3, 0, 1], [4, 0, 4], [0, 0, 4]),
        ([0, 3, 0], [0, 4, 0], [0, 0, 3]),
    ],
)
def test_days_of_few_are_counted_with_others(values, people, shown):
    found = carry(values, [each < 5 for each in people], 0)
    assert found == shown
    assert sum(found) == sum(values)


@pytest.mark.parametrize(
    ("few", "others", "small"),
    [
        ({}, {"a": 1}, set()),
        ({"b": {1, 2}}, {"a": 3, "c": 9}, {"a", "b"}),
        ({"b": {1, 2, 3}, "d": {1, 2, 3}}, {"a": 3, "c": 9}, {"a", "b", "d"}),
        ({"b": {1, 2, 3}, "d": {3, 4, 5}}, {"a": 3}, {"b", "d"}),
        ({"b": {1, 2}}, {}, {"b"}),
    ],
)
def test_groups_of_few_are_together_of_many(few, others, small):
    """The same people may be in several groups: they are counted once."""
    assert find_small(few, others, 5) == small
