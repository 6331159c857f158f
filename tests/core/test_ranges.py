"""Ledger ranges and range sets against Python's own sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.errors import InvalidRangeError
from stellarstream_core.ranges import LAST_LEDGER, LedgerRange, RangeSet

LEDGERS = st.integers(1, 60)
PAIRS = st.lists(st.tuples(LEDGERS, LEDGERS).map(sorted).map(tuple), max_size=8)


def members(ranges: RangeSet) -> set[int]:
    return {ledger for r in ranges for ledger in range(r.first, r.last + 1)}


def of(pairs: list[tuple[int, int]]) -> set[int]:
    return {ledger for a, b in pairs for ledger in range(a, b + 1)}


@given(PAIRS, PAIRS)
def test_union_intersection_and_difference_are_those_of_sets(a, b):
    left, right = RangeSet(a), RangeSet(b)
    assert members(left) == of(a)
    assert members(left | right) == of(a) | of(b)
    assert members(left & right) == of(a) & of(b)
    assert members(left - right) == of(a) - of(b)


@given(PAIRS, PAIRS)
def test_every_result_is_sorted_disjoint_and_not_adjacent_so_equal_sets_are_equal(a, b):
    left, right = RangeSet(a), RangeSet(b)
    for result in (left, left | right, left & right, left - right):
        for before, after in zip(result.ranges, result.ranges[1:], strict=False):
            assert before.last + 1 < after.first
        assert all(r.first <= r.last for r in result)
        assert RangeSet((x, x) for x in members(result)) == result


@given(PAIRS, LEDGERS)
def test_membership_size_and_the_unbroken_stretch_agree_with_the_set(pairs, ledger):
    ranges, plain = RangeSet(pairs), of(pairs)
    assert (ledger in ranges) == (ledger in plain)
    assert ranges.size == len(plain)
    upto = ledger - 1
    while upto + 1 in plain:
        upto += 1
    assert ranges.unbroken_from(ledger) == upto


@given(PAIRS, LEDGERS, LEDGERS)
def test_covers_means_that_no_ledger_of_the_range_is_missing(pairs, a, b):
    wanted = LedgerRange(min(a, b), max(a, b))
    assert RangeSet(pairs).covers(wanted) == (of([wanted]) <= of(pairs))


@given(LEDGERS, LEDGERS, st.integers(1, 20))
def test_pieces_of_a_split_are_the_range_again(a, b, size):
    whole = LedgerRange(min(a, b), max(a, b))
    pieces = list(whole.split(size))
    assert [x for p in pieces for x in range(p.first, p.last + 1)] == list(range(whole.first, whole.last + 1))
    assert all(p.size <= size for p in pieces)


@pytest.mark.parametrize(("first", "last"), [(5, 4), (0, 4), (-3, 4), (4, LAST_LEDGER + 1)])
def test_a_reversed_negative_or_impossible_range_is_refused_with_a_sentence(first, last):
    with pytest.raises(InvalidRangeError, match=str(first)):
        LedgerRange.of(first, last)
    if last < first:
        with pytest.raises(InvalidRangeError):
            RangeSet([(first, last)])


def test_an_empty_set_has_no_bounds_and_prints_so():
    assert RangeSet().bounds is None
    assert not RangeSet()
    assert str(LedgerRange(7, 7)) == "7"
    assert repr(RangeSet([(3, 4), (1, 1)])) == "RangeSet([1, 3..4])"
