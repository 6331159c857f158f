"""How far a contract's events are folded: what coverage, commits and close times say, taken together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from stellarstream_core.projections import Reached
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER, LedgerRange, RangeSet
from stellarstream_core.scope import EVERYTHING
from stellarstream_core.storage import CloseTime, Storage

MOST_LOOKS = 1_000
"""Covered ranges that are looked through, from the newest on, for one with a ledger whose close time is known."""
_EVER = LedgerRange(FIRST_LEDGER, LAST_LEDGER)


def find_reach(storage: Storage, contracts: Sequence[str], position: int, pending: int | None) -> dict[str, Reached]:
    """Return how far each contract is where all commits up to ``position`` are folded.

    ``pending`` is the lowest ledger of an event that its group's members have yet to fold, None where there is
    none. Contracts of which no covered ledger is known by its close time are left out.

    Coverage is read first: a commit that comes in between is then among those not folded, never the other way.
    """
    coverage = {contract: storage.coverage(contract, _EVER) for contract in contracts}
    states = storage.sync_states([*contracts, EVERYTHING])
    floors = storage.earliest_after(position, contracts)
    known: dict[int, CloseTime | None] = {}

    def close_time(upto: int) -> CloseTime | None:
        if upto not in known:
            known[upto] = storage.close_time(upto)
        return known[upto]

    found: dict[str, Reached] = {}
    for contract, covered in coverage.items():
        if not covered:
            continue
        ceiling = min([LAST_LEDGER, *(ledger - 1 for ledger in (floors.get(contract), pending) if ledger is not None)])
        newest = newest_known(covered, ceiling, close_time)
        if newest is None:
            continue
        state = states.get(contract) or states.get(EVERYTHING)
        start = state.start_ledger if state is not None else covered.ranges[0].first
        watermark = max(min(covered.unbroken_from(start), ceiling), start - 1)
        found[contract] = Reached(newest.ledger, newest.closed_at, watermark >= newest.ledger, watermark)
    return found


def newest_known(covered: RangeSet, ceiling: int, close_time: Callable[[int], CloseTime | None]) -> CloseTime | None:
    """Return the newest covered ledger up to ``ceiling`` whose close time ``close_time`` tells, None where none is."""
    below = (span for span in reversed(covered.ranges) if span.first <= ceiling)
    for span in islice(below, MOST_LOOKS):
        if span.first > ceiling:
            continue
        told = close_time(min(span.last, ceiling))
        if told is None or told.ledger >= span.first:
            return told
        ceiling = told.ledger
    return None
