"""Ledger ranges and sets of ledgers: pure, immutable algebra.

A range is ``[first, last]``, both ends inclusive, everywhere. A ``RangeSet`` keeps a set of
ledgers as sorted, disjoint, non-adjacent ranges, so equal sets always have equal ranges.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stellarstream_core.errors import InvalidRangeError

FIRST_LEDGER = 1
"""The genesis ledger's sequence."""

LAST_LEDGER = 2**31 - 1
"""The last sequence a TOID can hold (SEP-35: 32 bits of a signed 64-bit number)."""


class LedgerRange(NamedTuple):
    """The ledgers ``first`` to ``last``, both included. Build with :meth:`of` to have it checked."""

    first: int
    last: int

    @classmethod
    def of(cls, first: int, last: int) -> LedgerRange:
        """Return the range, or raise :class:`InvalidRangeError` where it is reversed or impossible."""
        if not FIRST_LEDGER <= first <= LAST_LEDGER or not FIRST_LEDGER <= last <= LAST_LEDGER:
            raise InvalidRangeError(
                f"{first}..{last} is not a ledger range: sequences go from {FIRST_LEDGER} to {LAST_LEDGER}."
            )
        if first > last:
            raise InvalidRangeError(f"{first}..{last} is reversed: the first ledger comes after the last.")
        return cls(first, last)

    @property
    def size(self) -> int:
        """How many ledgers the range holds."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}..{self.last}"

    def holds(self, ledger: int) -> bool:
        """Tell whether ``ledger`` lies in the range."""
        return self.first <= ledger <= self.last

    def overlap(self, other: LedgerRange) -> LedgerRange | None:
        """Return the ledgers in both ranges, or None where they share none."""
        first, last = max(self.first, other.first), min(self.last, other.last)
        return LedgerRange(first, last) if first <= last else None

    def split(self, size: int) -> Iterator[LedgerRange]:
        """Yield the range in consecutive pieces of at most ``size`` ledgers."""
        for first in range(self.first, self.last + 1, size):
            yield LedgerRange(first, min(first + size - 1, self.last))


class RangeSet:
    """An immutable set of ledgers. ``|``, ``&``, ``-`` are union, intersection and difference."""

    __slots__ = ("_ranges",)
    _ranges: tuple[LedgerRange, ...]

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._ranges = tuple(_normalised(ranges))

    @classmethod
    def _trusted(cls, ranges: Iterable[LedgerRange]) -> RangeSet:
        self = cls.__new__(cls)
        self._ranges = tuple(ranges)
        return self

    @property
    def ranges(self) -> tuple[LedgerRange, ...]:
        """The disjoint, non-adjacent ranges, in order."""
        return self._ranges

    @property
    def size(self) -> int:
        """How many ledgers the set holds."""
        return sum(r.last - r.first + 1 for r in self._ranges)

    @property
    def bounds(self) -> LedgerRange | None:
        """The smallest range that holds the set, or None where it is empty."""
        return LedgerRange(self._ranges[0].first, self._ranges[-1].last) if self._ranges else None

    def __iter__(self) -> Iterator[LedgerRange]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self._ranges == other._ranges

    def __hash__(self) -> int:
        return hash(self._ranges)

    def __repr__(self) -> str:
        return f"RangeSet([{', '.join(map(str, self._ranges))}])"

    def __contains__(self, ledger: int) -> bool:
        found = self.range_at(ledger)
        return found is not None

    def range_at(self, ledger: int) -> LedgerRange | None:
        """Return the unbroken range around ``ledger``, or None where the set lacks it."""
        at = bisect_right(self._ranges, (ledger, LAST_LEDGER + 1)) - 1
        if at >= 0 and self._ranges[at].last >= ledger:
            return self._ranges[at]
        return None

    def covers(self, wanted: LedgerRange) -> bool:
        """Tell whether every ledger of ``wanted`` is in the set."""
        found = self.range_at(wanted.first)
        return found is not None and found.last >= wanted.last

    def unbroken_from(self, ledger: int) -> int:
        """Return the last ledger reached from ``ledger`` without a gap; ``ledger - 1`` where it is missing."""
        found = self.range_at(ledger)
        return found.last if found is not None else ledger - 1

    def __or__(self, other: RangeSet) -> RangeSet:
        return RangeSet((*self._ranges, *other._ranges))

    def __and__(self, other: RangeSet) -> RangeSet:
        out: list[LedgerRange] = []
        for r in self._ranges:
            at = bisect_left(other._ranges, (r.first, 0))
            if at and other._ranges[at - 1].last >= r.first:
                at -= 1
            while at < len(other._ranges) and other._ranges[at].first <= r.last:
                o = other._ranges[at]
                out.append(LedgerRange(max(r.first, o.first), min(r.last, o.last)))
                at += 1
        return RangeSet._trusted(out)

    def __sub__(self, other: RangeSet) -> RangeSet:
        out: list[LedgerRange] = []
        for r in self._ranges:
            first = r.first
            at = bisect_left(other._ranges, (r.first, 0))
            if at and other._ranges[at - 1].last >= r.first:
                at -= 1
            while at < len(other._ranges) and other._ranges[at].first <= r.last:
                o = other._ranges[at]
                if o.first > first:
                    out.append(LedgerRange(first, o.first - 1))
                first = max(first, o.last + 1)
                at += 1
            if first <= r.last:
                out.append(LedgerRange(first, r.last))
        return RangeSet._trusted(out)

    def to_json(self) -> list[list[int]]:
        """Return ``[[first, last], …]``, the shape of every range set in JSON."""
        return [[r.first, r.last] for r in self._ranges]


def _normalised(ranges: Iterable[tuple[int, int]]) -> Iterator[LedgerRange]:
    first = last = 0
    started = False
    for a, b in sorted(ranges):
        if b < a:
            raise InvalidRangeError(f"{a}..{b} is reversed: the first ledger comes after the last.")
        if started and a <= last + 1:
            last = max(last, b)
            continue
        if started:
            yield LedgerRange(first, last)
        first, last, started = a, b, True
    if started:
        yield LedgerRange(first, last)
