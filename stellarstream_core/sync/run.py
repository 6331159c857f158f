"""One ``sync`` from beginning to end: open, resolve the range, fill it, follow, report."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from time import monotonic
from typing import Any

from loguru import logger

from stellarstream_core.errors import SourceError, SyncInterruptedError
from stellarstream_core.hookspecs import Sink
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reach, Reason, Source, Unserved
from stellarstream_core.storage import Storage
from stellarstream_core.sync.bounds import resolve
from stellarstream_core.sync.engine import SyncEngine
from stellarstream_core.sync.follow import follow
from stellarstream_core.sync.opening import open_sources
from stellarstream_core.sync.progress import Progress
from stellarstream_core.sync.report import SyncReport, read_coverage


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """What was asked: ``first`` and ``last`` as ``bounds.parse_bound`` returns them."""

    first: int | None
    last: int | None
    scope: Scope
    follow: bool = False
    workers: int = 1
    start_ledger: int | None = None


@dataclass(slots=True)
class SyncRun:
    """A sync with everything it needs. ``execute`` runs it; setting ``stop`` ends it early and cleanly."""

    request: SyncRequest
    storage: Storage
    sources: Sequence[Source]
    passphrase: str
    progress: Progress
    sinks: Sequence[Sink] = ()

    async def execute(self, stop: asyncio.Event) -> SyncReport:
        """Run to the end, or until ``stop`` is set, and report on what was asked.

        A window in flight is finished or dropped, never half committed. Raises ``UsageError``
        subclasses for what cannot work, ``SourceError`` where no source tells its tip and the
        range needs it.
        """
        began = monotonic()
        self.storage.bind_network(self.passphrase)
        engine = SyncEngine(self.storage, self.sources, self.sinks, self.progress, self.request.workers)
        try:
            with self.storage.follow_lock() if self.request.follow else nullcontext():
                wanted = await _until_stopped(self._prepare(engine), stop)
                if wanted is None:
                    raise SyncInterruptedError("Stopped before any source had answered; nothing was changed.")
                wanted = await self._work(engine, wanted, stop)
        finally:
            engine.close()
        coverage = await asyncio.to_thread(read_coverage, self.storage, wanted, self.request.scope, engine.given_up)
        return SyncReport(coverage, engine.counts, monotonic() - began)

    async def _prepare(self, engine: SyncEngine) -> LedgerRange:
        request = self.request
        try:
            opened = await open_sources(self.sources, self.passphrase, self.storage)
        except SourceError:
            if request.first is None or request.first < 0 or request.last is None or request.follow:
                raise  # without a tip nobody can tell which ledgers were meant
            opened = []
        engine.sources = [item.source for item in opened]
        reach = _best([item.reach for item in opened]) if opened else Reach(0, request.last or 0)
        states = self.storage.sync_states(request.scope)
        start = request.start_ledger or min((state.start_ledger for state in states.values()), default=None)
        behind = [states[c].last_ledger_sequence + 1 if c in states else start for c in request.scope]
        resume = min((ledger for ledger in behind if ledger is not None), default=None)
        wanted = resolve(request.first, request.last, resume=resume, reach=reach, follow=request.follow)
        if wanted is None:  # nothing to fetch yet: report on the last ledger there is
            upto = max(reach.latest, (resume or 1) - 1)
            wanted = LedgerRange(upto, upto) if request.first is None else LedgerRange(request.first, request.first)
        asked = wanted.first if request.first is not None else None
        self.storage.want(request.scope, request.start_ledger or asked or start or wanted.first)
        return wanted

    async def _work(self, engine: SyncEngine, wanted: LedgerRange, stop: asyncio.Event) -> LedgerRange:
        """Fill, and follow where asked; return the range that was gone through."""
        reached = wanted.last
        scope = self.request.scope

        def caught_up(ledger: int) -> None:
            nonlocal reached
            reached = max(reached, ledger)

        async def work() -> bool:
            if not self.request.follow:
                await engine.fill(wanted, scope)
                return True
            tips = {source.name: await source.reach() for source in engine.sources[:1]}
            latest = max(reach.latest for reach in tips.values())
            first = wanted.first
            if latest >= first:
                upto = min(wanted.last, latest)
                await engine.fill(LedgerRange(first, upto), scope, tips)
                first = upto + 1
            await follow(engine, scope, first, until=self.request.last, caught_up=caught_up)
            return True

        if await _until_stopped(work(), stop) is None:
            logger.info("stopped; what was committed is kept")
            stopped = Unserved(wanted, scope, Reason.INTERRUPTED, "stopped before it was fetched")
            engine.given_up.insert(0, stopped)
        return LedgerRange(wanted.first, reached)


def _best(reaches: Sequence[Reach]) -> Reach:
    """Return the widest reach: ranges beyond one source's are another's business."""
    newest = max(reaches, key=lambda reach: reach.latest)
    return Reach(min(r.oldest for r in reaches), newest.latest, newest.latest_closed_at, newest.ledger_seconds)


async def _until_stopped(work: Coroutine[Any, Any, Any], stop: asyncio.Event) -> Any:
    """Return what ``work`` returns, or None where ``stop`` came first; then the work was cancelled."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        return None if task.cancelled() else task.result()
    finally:
        stopping.cancel()
