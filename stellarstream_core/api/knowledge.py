"""What the database is known to hold of a scope: how far, with which gaps, how well proven.

It is read before the events it speaks of, never after: coverage only grows, so what it says of them
is then true of every later read. It is kept until the next commit.
"""

from __future__ import annotations

from dataclasses import dataclass

from stellarstream_core.api.database import Database
from stellarstream_core.api.expiring import ExpiringCache
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER, LedgerRange, RangeSet
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.sources import Evidence
from stellarstream_core.storage import Moment, Storage
from stellarstream_core.sync.run import known_states

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
        """Tell whether nothing is missing from ``first`` to ``last``: no ledgers are never complete."""
        return first <= last <= self.as_of and not RangeSet([(first, last)]) - self.covered

    def settled(self, first: int, last: int) -> bool:
        """Tell whether the ledgers are below the watermark and proven: their events never change any more."""
        return first <= last <= self.as_of and not RangeSet([(first, last)]) - self.proven


NOTHING_KNOWN = Known()


def read_known(storage: Storage, contracts: tuple[str, ...]) -> Known:
    """Return what is known of these contracts, or of all that were ever synced where none are named."""
    states = storage.sync_states()
    members = contracts or tuple(sorted(states))
    if not members:
        return NOTHING_KNOWN
    scope = Scope.of(members)
    whole = LedgerRange(FIRST_LEDGER, LAST_LEDGER)
    covered = proven = RangeSet([whole])
    own: dict[str, RangeSet] = {}
    for contract in scope:
        found = storage.covered_ranges(contract, whole)
        own[contract] = RangeSet(part.range for part in found)
        covered &= own[contract]
        proven &= RangeSet(part.range for part in found if part.evidence is Evidence.PROVEN)
    wanted = [states[contract].start_ledger for contract in scope if contract in states]
    first = min([*wanted, *(bounds.first for has in own.values() if (bounds := has.bounds))], default=None)
    if first is None:  # these contracts were never synced
        return NOTHING_KNOWN
    marked = known_states({name: states[name] for name in (*scope, EVERYTHING) if name in states}, scope)
    begin = min((state.start_ledger for state in marked.values()), default=first)
    marks = [
        marked[contract].last_ledger_sequence if contract in marked else own[contract].unbroken_from(begin)
        for contract in scope
    ]
    return Known(first, max(min(marks), 0), covered, proven)


class Knowledge:
    """Keeps what was read of each scope, for the moment it was read at; who asks at the same time shares it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: ExpiringCache[tuple[tuple[str, ...], Moment], Known] = ExpiringCache(
            MOST_SCOPES, lambda _: OLDEST_SECONDS
        )

    async def of(self, contracts: tuple[str, ...], moment: Moment) -> Known:
        """Return what is known of these contracts (none: of all) at a moment, or a little later.

        Raises what the database raises.
        """
        return await self._kept.get((contracts, moment), self._read)

    async def _read(self, key: tuple[tuple[str, ...], Moment]) -> Known:
        return await self._database.run(read_known, self._database.storage, key[0])
