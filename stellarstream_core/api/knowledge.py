"""What the database is known to hold of a scope: how far, with which gaps, how well proven.

It is read before the events it speaks of, never after: coverage only grows, so what it says of them
is then true of every later read. It is kept until the next commit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from stellarstream_core.api.database import Database
from stellarstream_core.errors import UsageError
from stellarstream_core.ranges import LAST_LEDGER, LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence
from stellarstream_core.storage import Storage
from stellarstream_core.sync.report import stored_bounds
from stellarstream_core.sync.state import read_marks

EMPTY = RangeSet()
MOST_SCOPES = 512
OLDEST_SECONDS = 1.0
"""How long it is kept without a commit: a contract that becomes wanted commits nothing."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a scope.

    ``first`` is the earliest ledger ever wanted or stored for it, ``as_of`` its watermark, both 0 where
    nothing was ever synced. ``covered`` is what every contract of it has, ``proven`` what is proven for all.
    """

    first: int = 0
    as_of: int = 0
    covered: RangeSet = EMPTY
    proven: RangeSet = EMPTY

    def complete(self, first: int, last: int) -> bool:
        """Tell whether nothing is missing from ``first`` to ``last``."""
        if last > self.as_of:
            return False
        return last < first or not RangeSet([(first, last)]) - self.covered

    def settled(self, first: int, last: int) -> bool:
        """Tell whether the ledgers are below the watermark and proven: their events never change any more."""
        return first <= last <= self.as_of and not RangeSet([(first, last)]) - self.proven


NOTHING_KNOWN = Known()


def read_known(storage: Storage, contracts: tuple[str, ...]) -> Known:
    """Return what is known of these contracts, or of all that were ever synced where none are named."""
    members = contracts or tuple(sorted(storage.sync_states()))
    if not members:
        return NOTHING_KNOWN
    scope = Scope.of(members)
    try:
        bounds = stored_bounds(storage, scope)
    except UsageError:  # these contracts were never synced
        return NOTHING_KNOWN
    _, marks = read_marks(storage, scope, bounds)
    whole = LedgerRange(bounds.first, LAST_LEDGER)
    covered = proven = RangeSet([whole])
    for contract in scope:
        found = storage.covered_ranges(contract, whole)
        covered &= RangeSet(part.range for part in found)
        proven &= RangeSet(part.range for part in found if part.evidence is Evidence.PROVEN)
    return Known(bounds.first, max(min(marks.values()), 0), covered, proven)


class Knowledge:
    """Keeps what was read for each scope until ``position`` says that something was committed."""

    def __init__(self, database: Database, position: Callable[[], int | None]) -> None:
        self._database = database
        self._position = position
        self._kept: OrderedDict[tuple[str, ...], tuple[int, float, Known]] = OrderedDict()

    async def of(self, contracts: tuple[str, ...] = ()) -> Known:
        """Return what is known of these contracts (none: of all). Raises what the database raises."""
        position = self._position()
        kept = self._kept.get(contracts)
        if kept is not None and kept[0] == position and monotonic() - kept[1] < OLDEST_SECONDS:
            return kept[2]
        read_at = monotonic()
        known = await self._database.run(read_known, self._database.storage, contracts)
        if position is not None:  # taken before the reading, so that it is never newer than what was read
            self._kept[contracts] = (position, read_at, known)
            self._kept.move_to_end(contracts)
            while len(self._kept) > MOST_SCOPES:
                self._kept.popitem(last=False)
        return known
