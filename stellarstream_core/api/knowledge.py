"""What the database is known to hold of a scope: how far, with which gaps, how well proven.

It is read before the events it speaks of, never after: coverage only grows, so what it says of them
is then true of every later read. It is kept until the next commit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stellarstream_core.api.database import Database
from stellarstream_core.api.expiring import ExpiringCache
from stellarstream_core.ranges import RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.storage import Moment, Storage
from stellarstream_core.sync.state import read_state

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


def read_known(storage: Storage, scope: Scope | None) -> Known:
    """Return what is known of a scope; None is one that holds nothing yet."""
    state = read_state(storage, scope) if scope is not None else None
    return NOTHING_KNOWN if state is None else Known(state.first, state.as_of, state.covered, state.proven)


class Knowledge:
    """Keeps what was read of each scope, for the moment it was read at; who asks at the same time shares it."""

    def __init__(self, database: Database, scope_of: Callable[[tuple[str, ...], Storage], Scope | None]) -> None:
        self._database = database
        self._scope_of = scope_of
        self._kept: ExpiringCache[tuple[tuple[str, ...], Moment], Known] = ExpiringCache(
            MOST_SCOPES, lambda _: OLDEST_SECONDS
        )

    async def of(self, contracts: tuple[str, ...], moment: Moment) -> Known:
        """Return what is known of these contracts (none: of those that are indexed) at a moment, or a little later.

        Raises what the database raises.
        """
        return await self._kept.get((contracts, moment), self._read)

    async def _read(self, key: tuple[tuple[str, ...], Moment]) -> Known:
        return await self._database.run(self._known, key[0])

    def _known(self, contracts: tuple[str, ...]) -> Known:
        storage = self._database.storage
        return read_known(storage, self._scope_of(contracts, storage))
