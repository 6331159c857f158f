"""Following the tip: look as often as ledgers close, catch up by windows, try failed ranges again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from loguru import logger

from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reach, Reason, Source
from stellarstream_core.sync.engine import SyncEngine
from stellarstream_core.sync.reasons import FINAL
from stellarstream_core.sync.retention import endangered

DEFAULT_LEDGER_SECONDS = 5.0
SHORTEST_DELAY = 0.1
LONGEST_DELAY = 30.0
RETRY_SECONDS = 30.0
LONGEST_RETRY_SECONDS = 600.0

GRACE_SECONDS = 0.5
"""How long the other sources' tips are waited for once one source has told its own."""

WARN_EVERY = 3600.0
"""Seconds between two warnings that missing ledgers leave retention."""


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
        """Seconds until the next look: twice as long after each failure but the first, up to half a minute."""
        pace = min(max(self.ledger_seconds, SHORTEST_DELAY), LONGEST_DELAY)
        return float(min(pace * 2 ** min(max(self.failures - 1, 0), 8), LONGEST_DELAY))


@dataclass(slots=True)
class Follower:
    """Fetches ledger after ledger from ``first`` on, until ``until`` was tried or for ever.

    A source that fails is waited for. What failed for a passing reason is tried again beside the
    tip, every half minute and ever more seldom while it keeps failing. ``caught_up`` hears of each
    ledger up to which everything was tried, ``heard`` of the furthest tip whenever a source tells one.
    """

    engine: SyncEngine
    scope: Scope
    first: int
    until: int | None = None
    caught_up: Callable[[int], None] = lambda _: None
    ledger_seconds: float | None = None
    clock: Callable[[], float] = monotonic
    heard: Callable[[Reach], None] = lambda _: None
    _silent: set[str] = field(default_factory=set)
    _asking: dict[str, asyncio.Task[Reach | None]] = field(default_factory=dict)
    _told: dict[str, Reach] = field(default_factory=dict)
    _warned_at: float | None = None

    async def run(self) -> None:
        """Follow. Raises ``StorageError`` where the database fails; cancel it to stop."""
        pacer = Pacer(self.ledger_seconds or DEFAULT_LEDGER_SECONDS)
        upcoming = self.first
        retry_every, retry_at = RETRY_SECONDS, self.clock() + RETRY_SECONDS
        retrying: asyncio.Task[bool] | None = None
        try:
            while self.until is None or upcoming <= self.until:
                reaches = await self._reaches()
                if not reaches:
                    pacer.failed()
                else:
                    newest = max(reaches.values(), key=lambda reach: reach.latest)
                    pacer.answered(newest)
                    self.heard(newest)
                    upto = newest.latest if self.until is None else min(newest.latest, self.until)
                    upcoming = await self._step(upcoming, upto, reaches)
                if retrying is not None and retrying.done():
                    retry_every = min(2 * retry_every, LONGEST_RETRY_SECONDS) if retrying.result() else RETRY_SECONDS
                    retrying, retry_at = None, self.clock() + retry_every
                if retrying is None and reaches and upcoming > self.first and self.clock() >= retry_at:
                    retrying = asyncio.create_task(self._retry(LedgerRange(self.first, upcoming - 1)))
                if self.until is None or upcoming <= self.until:
                    self.engine.progress.following(upcoming - 1, pacer.delay)
                    await asyncio.sleep(pacer.delay)
        finally:
            if retrying is not None:
                retrying.cancel()
                with suppress(asyncio.CancelledError):
                    await retrying
            for asking in self._asking.values():
                asking.cancel()
            await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _step(self, upcoming: int, upto: int, reaches: dict[str, Reach]) -> int:
        """Fetch from ``upcoming`` to ``upto``; return the first ledger that has yet to be asked for again.

        A ledger that a node announced but does not have yet is still to come, not missing.
        """
        if upto < upcoming:
            return upcoming
        step = LedgerRange(upcoming, upto)
        await self.engine.fill(RangeSet([step]), self.scope, reaches)
        newest = max(reaches.values(), key=lambda reach: reach.latest)
        promised = RangeSet([(newest.oldest, newest.latest)])  # what it no longer keeps is not waited for here
        ahead = self.engine.reasons.ledgers([Reason.BEYOND_TIP]) & RangeSet([step]) & promised
        if ahead:
            lacking = RangeSet(task.range for task in await self.engine.missing(ahead, self.scope))
            if (bounds := lacking.bounds) is not None:
                upto = bounds.first - 1
        if upto >= upcoming:
            self.caught_up(upto)
        return upto + 1

    async def _retry(self, done: LedgerRange) -> bool:
        """Try again what is missing for a passing reason; tell whether some still is."""
        failed = await self._failed(done)
        if not failed:
            return False
        self._warn_of_retention(failed)
        await self.engine.fill(failed, self.scope, dict(self._told))
        return bool(await self._failed(done))

    async def _failed(self, done: LedgerRange) -> RangeSet:
        lacking = RangeSet(task.range for task in await self.engine.missing(RangeSet([done]), self.scope))
        return lacking - self.engine.reasons.ledgers(FINAL)

    def _warn_of_retention(self, failed: RangeSet) -> None:
        now = self.clock()
        if self._warned_at is not None and now - self._warned_at < WARN_EVERY:
            return
        if (warning := endangered(failed, self._told)) is not None:
            self._warned_at = now
            logger.warning("{}", warning)

    async def _reaches(self) -> dict[str, Reach]:
        """Ask every source for its tip; those that do not answer are left out, and named once.

        A slow source holds nobody up: its answer counts in the round in which it comes.
        """
        for source in self.engine.sources:
            if source.name not in self._asking:
                self._asking[source.name] = asyncio.create_task(self._reach(source))
        if not self._asking:
            return {}
        done: set[asyncio.Task[Reach | None]] = set()
        late = set(self._asking.values())
        while late:
            told_one = any(task.result() for task in done)
            news, late = await asyncio.wait(
                late, timeout=GRACE_SECONDS if told_one else None, return_when=asyncio.FIRST_COMPLETED
            )
            done |= news
            if told_one and not news:
                break
        told: dict[str, Reach] = {}
        for name, task in list(self._asking.items()):
            if task in done:
                del self._asking[name]
                if (reach := task.result()) is not None:
                    told[name] = reach
        self._told.update(told)
        return told

    async def _reach(self, source: Source) -> Reach | None:
        try:
            reach = await source.reach()
        except Exception as error:  # a source is a plugin: following outlives its faults
            if source.name not in self._silent:
                self._silent.add(source.name)
                logger.warning("{} does not tell its tip, waiting for it: {}", source.name, error)
            return None
        self._silent.discard(source.name)
        return reach
