"""Upgrading coverage behind the tip: what was only scanned is read again from a source that proves it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic

from loguru import logger

from stellarstream_core.errors import SourceError, SourceUnusableError, StellarStreamError
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence
from stellarstream_core.sync.asking import reach_of
from stellarstream_core.sync.engine import SyncEngine
from stellarstream_core.sync.findings import Findings
from stellarstream_core.sync.verify import Verifier

PAUSE_SECONDS = 5.0
"""How often a follower looks for ledgers to upgrade."""

RETRY_SECONDS = 600.0
"""Ledgers that could not be upgraded are tried again after that long."""

REOPEN_SECONDS = 60.0
"""Sources that could not be opened are tried again after that long."""

MOST_AT_ONCE = 1_000
"""Ledgers read again in one go while following, so that the tip is not kept waiting for the database."""


@dataclass(slots=True)
class Upgrade:
    """Verifies, and repairs, the ledgers of a scope that are covered without proof.

    ``open`` makes the verifier, and may fail while its sources do not answer.
    """

    engine: SyncEngine
    scope: Scope
    open: Callable[[Findings], Awaitable[Verifier]]
    findings: Findings = field(default_factory=Findings)

    async def run(self, within: LedgerRange) -> None:
        """Go through a range once. Raises what ``open`` raises, and ``StorageError`` where the database fails."""
        verifier = await self.open(self.findings)
        for piece in await self._unproven(within):
            await self._verify(verifier, piece)

    async def keep_up(self, within: Callable[[], LedgerRange]) -> None:
        """Go through what ``within`` returns again and again, until cancelled; wait for sources that are down.

        Ledgers that were read again are not read a third time; those that no source gave are, now and then.
        """
        verifier = await self._opened()
        tried, forget_at = RangeSet(), monotonic() + RETRY_SECONDS
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            if monotonic() >= forget_at:
                tried, forget_at = self.findings.read(self.scope), monotonic() + RETRY_SECONDS
            wanted = (await self._unproven(within()) & await self._reachable(verifier)) - tried
            for piece in wanted:
                for part in piece.split(MOST_AT_ONCE):
                    await self._verify(verifier, part)
                    tried |= RangeSet([part])

    async def _opened(self) -> Verifier:
        told = False
        while True:
            try:
                return await self.open(self.findings)
            except (SourceError, SourceUnusableError) as error:
                if not told:
                    logger.warning("nothing can be verified yet: {}", error)
                    told = True
            await asyncio.sleep(REOPEN_SECONDS)

    async def _verify(self, verifier: Verifier, piece: LedgerRange) -> None:
        before = self.findings.summary
        await verifier.verify(piece)
        if self.findings.contradicts and self.findings.summary != before:
            logger.error(
                "ledgers {} are not what the network agreed on: {}; see 'stellarstream verify --from {} --to {}'",
                *(piece, self.findings.summary, piece.first, piece.last),
            )

    async def _reachable(self, verifier: Verifier) -> RangeSet:
        """Return the ledgers that some source has now; a source that does not answer has none."""
        found = RangeSet()
        for source in verifier.sources:
            try:
                reach = await reach_of(source)
            except StellarStreamError as error:
                logger.debug("{} does not tell its tip: {}", source.name, error)
                continue
            if 0 < reach.oldest <= reach.latest:
                found |= RangeSet([(reach.oldest, reach.latest)])
        return found

    async def _unproven(self, within: LedgerRange) -> RangeSet:
        """Return the ledgers that are covered, but not proven, for some contract."""
        storage = self.engine.storage

        def read() -> RangeSet:
            parts = (part for contract in self.scope for part in storage.covered_ranges(contract, within))
            return RangeSet(part.range for part in parts if part.evidence is not Evidence.PROVEN)

        return await self.engine.in_thread(read)
