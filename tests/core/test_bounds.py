"""``--from`` and ``--to``: every form that is promised, and every form that is refused."""

from __future__ import annotations

import pytest

from stellarstream_core.errors import InvalidRangeError, UsageError
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.sources import Reach
from stellarstream_core.sync.bounds import parse_bound, resolve

REACH = Reach(100, 200)


@pytest.mark.parametrize(("text", "ledger"), [("last", None), ("-5", -5), ("17", 17), ("2147483647", 2147483647)])
def test_a_first_ledger_is_a_sequence_a_word_or_a_count_back(text, ledger):
    assert parse_bound(text, "last", relative=True) == ledger


@pytest.mark.parametrize(
    "text", ["", "0", "abc", "1.5", "1e3", "1_000", "٣", "2147483648", "99999999999999999999", "latest", "0x10"]
)
def test_what_is_no_ledger_is_refused(text):
    with pytest.raises(InvalidRangeError, match="is not a ledger"):
        parse_bound(text, "last", relative=True)


def test_a_last_ledger_is_never_counted_back():
    with pytest.raises(InvalidRangeError):
        parse_bound("-5", "latest")


def go(first, last, resume=None, follow=False):
    return resolve(first, last, resume=resume, reach=REACH, follow=follow)


def test_ranges_are_taken_as_given():
    assert go(110, 120) == LedgerRange(110, 120)
    assert go(110, None) == LedgerRange(110, 200)
    assert go(5, 120) == LedgerRange(5, 120), "below the source's reach is a gap to be named, not an error"


def test_counting_back_ends_at_the_last_wanted_ledger():
    assert go(-10, None) == LedgerRange(191, 200)
    assert go(-10, 150) == LedgerRange(141, 150)
    assert go(-100000, None) == LedgerRange(1, 200)


def test_going_on_begins_after_the_watermark():
    assert go(None, None, resume=151) == LedgerRange(151, 200)
    assert go(None, None, resume=201) is None
    assert go(None, 150, resume=151) is None


def test_going_on_with_nothing_stored_says_what_to_give():
    with pytest.raises(UsageError) as caught:
        go(None, None)
    assert "--from" in caught.value.help
    assert "start_ledger" in caught.value.help


@pytest.mark.parametrize("bounds", [(110, 201), (201, None), (None, 300)])
def test_a_ledger_beyond_the_tip_needs_follow(bounds):
    with pytest.raises(InvalidRangeError, match="beyond the tip") as caught:
        go(*bounds, resume=150)
    assert "--follow" in caught.value.help


def test_with_follow_a_ledger_beyond_the_tip_is_waited_for():
    assert go(110, 201, follow=True) == LedgerRange(110, 201)
    assert go(205, None, follow=True) is None


def test_counting_back_with_follow_counts_from_the_tip_not_from_a_ledger_to_come():
    assert go(-10, 1000, follow=True) == LedgerRange(191, 1000)
