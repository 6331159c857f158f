"""Upgrading coverage behind the tip: what was only scanned is read again from a source that proves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from loguru import logger

from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.sources import Evidence
from stellarstream_core.sync.findings import Findings
from stellarstream_core.sync.verify import Verifier

PAUSE_SECONDS = 5.0
"""How often a follower looks for ledgers to upgrade."""

RETRY_SECONDS = 600.0
"""Ledgers that could not be upgraded are tried again after that long."""

MOST_AT_ONCE = 1_000
"""Ledgers read again in one go while following, so that the tip is not kept waiting for the database."""


@dataclass(slots=True)
class Upgrade:
    """Verifies, and repairs, the ledgers of a scope that are covered without proof."""

    verifier: Verifier
    _tried: RangeSet = field(default_factory=RangeSet)

    @property
    def findings(self) -> Findings:
        """What was found so far."""
        return self.verifier.findings

    async def run(self, within: LedgerRange) -> None:
        """Go through a range once. Raises ``StorageError`` where the database fails."""
        for piece in await self._unproven(within):
            await self._verify(piece)

    async def keep_up(self, within: Callable[[], LedgerRange]) -> None:
        """Go through what ``within`` returns again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        forget_at = loop.time() + RETRY_SECONDS
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            if loop.time() >= forget_at:
                self._tried, forget_at = RangeSet(), loop.time() + RETRY_SECONDS
            reachable = await self._reachable()
            wanted = (await self._unproven(within()) & reachable) - self._tried
            for piece in wanted:
                for part in piece.split(MOST_AT_ONCE):
                    await self._verify(part)
                    self._tried |= RangeSet([part])

    async def _verify(self, piece: LedgerRange) -> None:
        before = self.findings.broken_count, self.findings.different.count, self.findings.extra.count
        await self.verifier.verify(piece)
        after = self.findings.broken_count, self.findings.different.count, self.findings.extra.count
        if before != after:
            logger.error(
                "ledgers {} are not what the network agreed on: {}; see 'stellarstream verify --from {} --to {}'",
                *(piece, self.findings.summary, piece.first, piece.last),
            )

    async def _reachable(self) -> RangeSet:
        """Return the ledgers that some source has now; a source that does not answer has none."""
        found = RangeSet()
        for source in self.verifier.sources:
            try:
                reach = await source.reach()
            except Exception as error:  # a source is a plugin: following outlives its faults
                logger.debug("{} does not tell its tip: {}", source.name, error)
                continue
            if 0 < reach.oldest <= reach.latest:
                found |= RangeSet([(reach.oldest, reach.latest)])
        return found

    async def _unproven(self, within: LedgerRange) -> RangeSet:
        """Return the ledgers that are covered, but not proven, for some contract."""
        storage, scope = self.verifier.storage, self.verifier.scope

        def read() -> RangeSet:
            found = RangeSet()
            for contract in scope:
                parts = storage.covered_ranges(contract, within)
                found |= RangeSet(part.range for part in parts if part.evidence is not Evidence.PROVEN)
            return found

        return await self.verifier.in_thread(read)
