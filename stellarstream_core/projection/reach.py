"""How far a contract's events are folded: what coverage, commits and close times say, taken together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from time import monotonic

from stellarstream_core.projections import Reached
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER, LedgerRange, RangeSet
from stellarstream_core.scope import EVERYTHING
from stellarstream_core.storage import CloseTime, Storage

MOST_LOOKS = 1_000
"""Covered ranges that are looked through, from the newest on, for one with a ledger whose close time is known."""
REACH_SECONDS = 2.0
"""How often reach is found out at the most while far behind."""
REACH_PAUSE = 9
"""Until it is found out again passes so many times what that took: the more commits are to come, the slower it is."""
_EVER = LedgerRange(FIRST_LEDGER, LAST_LEDGER)


class ReachPace:
    """When to find reach out again: it takes no more than a tenth of the time. Each finding out is one ``with``."""

    def __init__(self) -> None:
        self._began = self._due = monotonic() - REACH_SECONDS

    def __enter__(self) -> None:
        self._began = monotonic()

    def __exit__(self, *_: object) -> None:
        ended = monotonic()
        self._due = ended + REACH_PAUSE * (ended - self._began)

    def is_due(self, *, far: bool) -> bool:
        """Tell whether it is time; ``far`` where many commits are to come."""
        now = monotonic()
        return now >= self._due and (not far or now - self._began >= REACH_SECONDS)


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
        lowest = covered.ranges[0]
        first = lowest.first if lowest.holds(start) and start <= ceiling else start
        found[contract] = Reached(newest.ledger, newest.closed_at, watermark >= newest.ledger, watermark, first)
    return found


def never_back(found: Mapping[str, Reached], told: Mapping[str, Reached]) -> dict[str, Reached]:
    """Return how far contracts are, never below what was told before.

    States hold events up to there already: while ledgers below are filled in they are no state of an earlier
    ledger, but an incomplete one of the later.
    """
    kept = dict(found)
    for contract, before in told.items():
        now = found.get(contract)
        if now is None:
            kept[contract] = before._replace(complete=False, watermark=0)
        elif now.ledger < before.ledger:
            kept[contract] = now._replace(ledger=before.ledger, closed_at=before.closed_at, complete=False)
    return kept


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
