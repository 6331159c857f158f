"""Why ledgers are missing: the newest reason for each, kept small however long a sync runs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason, Unserved

FINAL = frozenset({Reason.OUT_OF_RETENTION, Reason.CONFLICT, Reason.UNSUPPORTED})
"""Reasons that waiting does not change: such ledgers are tried again by the next ``sync`` only."""


@dataclass(slots=True)
class Reasons:
    """What sources gave up, by scope: disjoint ranges in order, neighbours of one reason joined.

    Reasons are not taken back when ledgers are covered after all; ask only for what is missing.
    """

    _known: dict[Scope, list[Unserved]] = field(default_factory=dict)

    def note(self, item: Unserved) -> None:
        """Take a reason in; it replaces what was known for its ledgers."""
        known = self._known.setdefault(item.scope, [])
        at = len(known)
        if known and item.range.first <= known[-1].range.last:
            at = _cut_out(known, item.range)
        if at and _joins(known[at - 1], item):
            item = Unserved(
                LedgerRange(known[at - 1].range.first, item.range.last), item.scope, item.reason, item.detail
            )
            del known[at - 1]
            at -= 1
        if at < len(known) and _joins(item, known[at]):
            item = Unserved(LedgerRange(item.range.first, known[at].range.last), item.scope, item.reason, item.detail)
            del known[at]
        known.insert(at, item)

    def suppose(self, item: Unserved) -> None:
        """Take a reason in for those of its ledgers that have none yet."""
        known = RangeSet(other.range for other in _overlapping(self._known.get(item.scope, []), item.range))
        for part in RangeSet([item.range]) - known:
            self.note(Unserved(part, item.scope, item.reason, item.detail))

    def replace(self, item: Unserved, old: Reason) -> None:
        """Take a reason in for those of its ledgers that have none yet, or have the reason ``old``."""
        others = RangeSet(
            other.range
            for other in _overlapping(self._known.get(item.scope, []), item.range)
            if other.reason is not old
        )
        for part in RangeSet([item.range]) - others:
            self.note(Unserved(part, item.scope, item.reason, item.detail))

    def forget(self, reasons: Iterable[Reason]) -> None:
        """Drop these reasons: something has changed that may make them untrue."""
        dropped = frozenset(reasons)
        for scope, known in self._known.items():
            self._known[scope] = [item for item in known if item.reason not in dropped]

    def ledgers(self, reasons: Iterable[Reason]) -> RangeSet:
        """Return the ledgers that some contract lacks for one of these reasons."""
        wanted = frozenset(reasons)
        return RangeSet(item.range for known in self._known.values() for item in known if item.reason in wanted)

    def explain(self, missing: LedgerRange, contracts: Iterable[str]) -> Iterator[Unserved]:
        """Yield the reasons known for ``missing`` of these contracts, each clipped to it; disjoint, in no order."""
        rest = RangeSet([missing])
        members = frozenset(contracts)
        for scope, known in reversed(self._known.items()):
            if not rest:
                return
            if members.isdisjoint(scope.members):
                continue
            for item in _overlapping(known, missing):
                for part in rest & RangeSet([item.range]):
                    yield Unserved(part, scope, item.reason, item.detail)
                rest -= RangeSet([item.range])


def _overlapping(known: list[Unserved], ledgers: LedgerRange) -> Iterator[Unserved]:
    at = max(0, bisect_right(known, ledgers.first, key=lambda item: item.range.first) - 1)
    while at < len(known) and known[at].range.first <= ledgers.last:
        if known[at].range.last >= ledgers.first:
            yield known[at]
        at += 1


def _cut_out(known: list[Unserved], ledgers: LedgerRange) -> int:
    """Remove these ledgers, keeping what lies around them; return where an item for them belongs."""
    first = max(0, bisect_right(known, ledgers.first, key=lambda item: item.range.first) - 1)
    if first < len(known) and known[first].range.last < ledgers.first:
        first += 1
    last = first
    while last < len(known) and known[last].range.first <= ledgers.last:
        last += 1
    hit = known[first:last]
    before = (
        [_with(hit[0], hit[0].range.first, ledgers.first - 1)] if hit and hit[0].range.first < ledgers.first else []
    )
    after = [_with(hit[-1], ledgers.last + 1, hit[-1].range.last)] if hit and hit[-1].range.last > ledgers.last else []
    known[first:last] = [*before, *after]
    return first + len(before)


def _with(item: Unserved, first: int, last: int) -> Unserved:
    return Unserved(LedgerRange(first, last), item.scope, item.reason, item.detail)


def _joins(left: Unserved, right: Unserved) -> bool:
    return left.reason is right.reason and left.range.last + 1 == right.range.first
