"""How far a lake reaches is found for any set of objects, with few questions."""

from __future__ import annotations

import asyncio
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_data_lake.survey import highest, lowest, next_listed, oldest_listed

LIMIT = 2**31 - 1


class Objects:
    def __init__(self, numbers) -> None:
        self.numbers = sorted(numbers)
        self.there = set(numbers)
        self.asked = 0

    async def has(self, number: int) -> bool:
        self.asked += 1
        return number in self.there

    async def below(self, number: int) -> int | None:
        self.asked += 1
        at = bisect_left(self.numbers, number)
        return self.numbers[at - 1] if at else None


@given(st.integers(2, 10**9), st.integers(0, 5_000), st.data())
def test_the_ends_of_an_unbroken_run_are_found_from_anywhere_in_it(first, length, data):
    run = Objects(range(first, first + length + 1))
    known = data.draw(st.integers(first, first + length))
    assert asyncio.run(highest(run.has, known, LIMIT)) == first + length
    assert asyncio.run(lowest(run.has, known, 2)) == first
    assert asyncio.run(highest(run.has, known, LIMIT, past_holes=True)) == first + length


def test_the_end_of_a_very_long_run_takes_few_questions():
    class Long(Objects):
        async def has(self, number: int) -> bool:
            self.asked += 1
            return 2 <= number <= 64_550_000

    run = Long([])
    assert asyncio.run(highest(run.has, 2, LIMIT)) == 64_550_000
    assert run.asked < 120
    assert asyncio.run(lowest(run.has, 40_000_000, 2)) == 2
    assert run.asked < 240


def test_a_hole_after_the_newest_is_looked_past():
    run = Objects([5, 6, 7, 9, 10, 11])
    assert asyncio.run(highest(run.has, 7, LIMIT)) == 11
    assert asyncio.run(highest(Objects([5, 6, 7, 20, 21]).has, 7, LIMIT)) == 7
    assert asyncio.run(highest(Objects([7, *range(20, 60)]).has, 7, LIMIT, past_holes=True)) == 59


def test_the_next_one_is_asked_for_first_and_little_else():
    run = Objects(range(2, 1_001))
    assert asyncio.run(highest(run.has, 1_000, 1_000)) == 1_000
    assert run.asked == 0
    assert asyncio.run(highest(run.has, 1_000, LIMIT)) == 1_000
    assert run.asked <= 8


@given(st.sets(st.integers(2, 3_000), min_size=1, max_size=60))
def test_the_oldest_of_a_listing_is_found_past_any_holes(numbers):
    listing = Objects(numbers)
    assert asyncio.run(oldest_listed(listing.below, 2, max(numbers))) == min(numbers)
    assert listing.asked <= 13


@given(st.sets(st.integers(2, 3_000), max_size=60), st.integers(2, 3_000), st.integers(0, 3_000))
def test_the_next_of_a_listing_is_found_past_any_holes(numbers, first, length):
    listing = Objects(numbers)
    wanted = [n for n in listing.numbers if first <= n <= first + length]
    assert asyncio.run(next_listed(listing.below, first, first + length)) == (wanted[0] if wanted else None)
    assert listing.asked <= 14


@pytest.mark.parametrize("numbers", [{2}, {2**31 - 1}, {2, 2**31 - 1}])
def test_the_farthest_ends(numbers):
    listing = Objects(numbers)
    assert asyncio.run(oldest_listed(listing.below, 2, max(numbers))) == min(numbers)
    assert asyncio.run(highest(listing.has, min(numbers), LIMIT)) in numbers
