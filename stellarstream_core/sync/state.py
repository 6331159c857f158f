"""How far the database is and how far behind: what ``status``, ``/sync`` and the dashboard show."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from stellarstream_core.errors import StellarStreamError
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER, LedgerRange, RangeSet
from stellarstream_core.runtime import Runtime
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.sources import Reach, Source
from stellarstream_core.storage import CoveredRange, Storage, SyncState
from stellarstream_core.sync.report import Coverage, coverage_of, for_all
from stellarstream_core.sync.run import known_states

SHORTEST_TIP_SECONDS = 2.0
DEFAULT_TIP_SECONDS = 5.0
"""How often the tip is asked for: as often as ledgers close, or this where nobody tells."""
TIP_TIMEOUT_SECONDS = 5.0
APART_LEDGERS, APART_SECONDS = 10, 10.0
"""How far a tip may be below what is stored, and the source of it still not behind."""
_EVER = LedgerRange(FIRST_LEDGER, LAST_LEDGER)


@dataclass(frozen=True, slots=True)
class Tip:
    """What a source last said: ``reach`` and its name, or else the ``trouble`` there was, as a sentence."""

    reach: Reach | None = None
    source: str | None = None
    trouble: str | None = None

    @property
    def seconds(self) -> float:
        """How long it need not be asked again."""
        told = self.reach.ledger_seconds if self.reach else None
        return max(told, SHORTEST_TIP_SECONDS) if told else DEFAULT_TIP_SECONDS


@dataclass(slots=True)
class TipReader:
    """Asks for the tip, each source opened once and then kept until ``close``."""

    found: Runtime
    _open: dict[str, Source] = field(default_factory=dict)

    async def read(self) -> Tip:
        """Return the tip of the first source that answers in time; raise nothing."""
        trouble = None
        try:
            for spec in self.found.source_specs():
                try:
                    if spec.name not in self._open:
                        self._open[spec.name] = await self.found.open_source(spec)
                    async with asyncio.timeout(TIP_TIMEOUT_SECONDS):
                        return Tip(await self._open[spec.name].reach(), spec.name)
                except StellarStreamError as error:
                    trouble = f"{spec.name}: {error.message}"
                except TimeoutError:
                    trouble = f"{spec.name} did not answer within {TIP_TIMEOUT_SECONDS:.0f} s"
        except StellarStreamError as error:
            trouble = error.message
        return Tip(trouble=trouble)

    async def close(self) -> None:
        """Close every source."""
        while self._open:
            await self._open.popitem()[1].close()


async def tip_now(found: Runtime) -> Tip:
    """Return the tip of the first source that answers in time; raise nothing."""
    reader = TipReader(found)
    try:
        return await reader.read()
    finally:
        await reader.close()


@dataclass(frozen=True)
class State:
    """How far a scope is: the one reading behind ``status``, ``/sync``, the dashboard and the lists.

    ``first`` is the earliest ledger ever wanted or stored, ``start`` the first wanted one, ``last`` the
    last that is covered. ``marks`` is the watermark of each contract, ``ranges`` what each has.
    """

    scope: Scope
    first: int
    start: int
    last: int
    marks: Mapping[str, int]
    ranges: Mapping[str, Sequence[CoveredRange]]

    @property
    def watermark(self) -> int:
        """Up to here nothing is missing from ``start`` on; of several contracts the least."""
        return min(self.marks.values())

    @property
    def as_of(self) -> int:
        """The watermark as the last ledger that an answer speaks for: 0 for none."""
        return max(self.watermark, 0)

    @property
    def held_back_by(self) -> list[str]:
        """The contracts that hold the watermark back, where others are further."""
        least = self.watermark
        found = sorted(contract for contract, mark in self.marks.items() if mark == least)
        return found if len(found) < len(self.marks) else []

    @cached_property
    def covered(self) -> RangeSet:
        """What every contract has."""
        return for_all(self.ranges)

    @cached_property
    def proven(self) -> RangeSet:
        """What is proven for every contract."""
        return for_all(self.ranges, proven=True)

    @cached_property
    def coverage(self) -> Coverage:
        """From ``first`` to ``last``: what is covered how, and what is missing."""
        return coverage_of(self.ranges, LedgerRange(self.first, self.last))

    def lag(self, reach: Reach | None) -> int | None:
        """Return how many ledgers the watermark is behind the tip; None where that is not known."""
        return None if reach is None else max(reach.latest - self.watermark, 0)

    def ahead_of(self, reach: Reach | None) -> int:
        """Return how many ledgers the last covered one is ahead of a source's tip: then that source is behind.

        0 where both may be right: they are not read at the same moment, and nodes are not at the same ledger.
        """
        if reach is None:
            return 0
        ahead = self.last - reach.latest
        pace = reach.ledger_seconds or DEFAULT_TIP_SECONDS
        return ahead if ahead > max(APART_LEDGERS, APART_SECONDS / pace) else 0


def read_state(storage: Storage, scope: Scope) -> State | None:
    """Return how far a scope is; None where nothing of it was ever wanted or stored.

    The watermarks are read before the coverage: it only grows, so it is never behind them.
    """
    states = storage.sync_states([*scope, EVERYTHING])
    ranges = {contract: storage.covered_ranges(contract, _EVER) for contract in scope}
    covered = {contract: RangeSet(part.range for part in parts) for contract, parts in ranges.items()}
    bounds = [found.bounds for found in covered.values() if found.bounds]
    wanted = [states[contract].start_ledger for contract in scope if contract in states]
    first = min([*wanted, *(one.first for one in bounds)], default=None)
    if first is None:
        return None
    start, marks = _marks(states, scope, first, covered)
    return State(scope, first, start, max([start, *(one.last for one in bounds)]), marks, ranges)


def _marks(
    states: Mapping[str, SyncState], scope: Scope, earliest: int, covered: Mapping[str, RangeSet]
) -> tuple[int, dict[str, int]]:
    """Return the first wanted ledger and each contract's watermark.

    A contract that was never asked for by itself is as far as everything is; where that was not
    asked for either, as far as what is stored goes on from the first ledger.
    """
    known = known_states(states, scope)
    first = min((state.start_ledger for state in known.values()), default=earliest)
    return first, {
        contract: known[contract].last_ledger_sequence if contract in known else covered[contract].unbroken_from(first)
        for contract in scope
    }
