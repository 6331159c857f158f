"""Following the tip: look as often as ledgers close, catch up by windows, try failed ranges again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from loguru import logger

from stellarstream_core.errors import SourceError
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reach, Reason
from stellarstream_core.sync.engine import SyncEngine

DEFAULT_LEDGER_SECONDS = 5.0
SHORTEST_DELAY = 0.1
LONGEST_DELAY = 30.0
RETRY_SECONDS = 30.0
LONGEST_RETRY_SECONDS = 600.0

_PASSING = frozenset({Reason.UNAVAILABLE, Reason.MISBEHAVED})


@dataclass(slots=True)
class Pacer:
    """How long to wait before the next look at the tip: never less than ledgers take to close."""

    ledger_seconds: float = DEFAULT_LEDGER_SECONDS
    failures: int = 0

    def answered(self, reach: Reach) -> None:
        """Take the ledger time that a source told."""
        self.failures = 0
        if reach.ledger_seconds is not None and reach.ledger_seconds > 0:
            self.ledger_seconds = reach.ledger_seconds

    def failed(self) -> None:
        """Note that no source told its tip."""
        self.failures += 1

    @property
    def delay(self) -> float:
        """Seconds until the next look."""
        pace = min(max(self.ledger_seconds, SHORTEST_DELAY), LONGEST_DELAY)
        return float(min(pace * 2 ** min(self.failures, 6), max(LONGEST_DELAY, pace)))


async def follow(
    engine: SyncEngine,
    scope: Scope,
    first: int,
    *,
    until: int | None = None,
    caught_up: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = monotonic,
) -> None:
    """Fetch ledger after ledger from ``first`` on, for ever or until ``until`` was tried.

    A source that fails is waited for; ranges it gave up for a passing reason are tried again every
    half minute, ever more seldom. ``caught_up`` hears the last ledger of each completed step.
    """
    pacer = Pacer()
    retry_every, retry_at = RETRY_SECONDS, clock() + RETRY_SECONDS
    upcoming = first
    while until is None or upcoming <= until:
        reaches = await _reaches(engine)
        latest = max((reach.latest for reach in reaches.values()), default=0)
        if reaches:
            pacer.answered(next(iter(reaches.values())))
        else:
            pacer.failed()
        upto = latest if until is None else min(latest, until)
        if upto >= upcoming:
            await engine.fill(LedgerRange(upcoming, upto), scope, reaches)
            upcoming = upto + 1
            caught_up(upto)
        if clock() >= retry_at:
            retry_every = min(retry_every * 2, LONGEST_RETRY_SECONDS) if await _retry(engine, scope) else RETRY_SECONDS
            retry_at = clock() + retry_every
        if until is None or upcoming <= until:
            engine.progress.following(upcoming - 1, pacer.delay)
            await asyncio.sleep(pacer.delay)


async def _reaches(engine: SyncEngine) -> dict[str, Reach]:
    for source in engine.sources:
        try:
            return {source.name: await source.reach()}
        except SourceError as error:
            logger.warning("{} does not tell its tip: {}", source.name, error)
    return {}


async def _retry(engine: SyncEngine, scope: Scope) -> bool:
    """Try again what failed for a passing reason; tell whether some still fails."""
    failed = RangeSet(item.range for item in engine.given_up if item.reason in _PASSING)
    for part in failed:
        await engine.fill(part, scope)
    return any(item.reason in _PASSING for item in engine.given_up)
