"""One ``sync`` from beginning to end: open, resolve the range, fill it or follow, report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from loguru import logger

from stellarstream_core.errors import SourceError, StellarStreamError, SyncInterruptedError
from stellarstream_core.hookspecs import Sink
from stellarstream_core.ranges import FIRST_LEDGER, LedgerRange, RangeSet
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.sources import Reach, Reason, Source, Unserved
from stellarstream_core.storage import Storage, SyncState
from stellarstream_core.sync.bounds import resolve
from stellarstream_core.sync.engine import SyncEngine
from stellarstream_core.sync.findings import Findings
from stellarstream_core.sync.follow import Follower
from stellarstream_core.sync.leading import keep_leading, leading
from stellarstream_core.sync.opening import open_sources
from stellarstream_core.sync.progress import Progress
from stellarstream_core.sync.report import SyncReport, read_coverage
from stellarstream_core.sync.retention import endangered
from stellarstream_core.sync.upgrade import Upgrade
from stellarstream_core.sync.verify import Verifier

if TYPE_CHECKING:
    from stellarstream_core.projection.running import Projectors

REOPEN_SECONDS = 60.0
"""How often a follower tries to open a source again that did not answer at the start."""


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """What was asked: ``first`` and ``last`` as ``bounds.parse_bound`` returns them.

    ``verify``: what is covered without proof is read again from the run's ``provers``, behind the tip.
    """

    first: int | None
    last: int | None
    scope: Scope
    follow: bool = False
    workers: int = 1
    start_ledger: int | None = None
    verify: bool = False


@dataclass(frozen=True, slots=True)
class _Course:
    """What will be gone through: ``reported`` is what the report is about, ``begin`` where following begins."""

    reported: LedgerRange
    begin: int
    empty: bool = False
    ledger_seconds: float | None = None


@dataclass(slots=True)
class SyncRun:
    """A sync with everything it needs. ``execute`` runs it; setting ``stop`` ends it early and cleanly.

    ``provers`` are sources of their own for verifying, in order of preference. ``projectors`` fold what is
    committed beside the sync, and to its end before a sync that was not stopped ends. With ``stand_by`` a follower
    waits for another process that follows to end, and tells it when that begins and is over (``leading``); ``heard``
    hears of a follower's tip whenever it is told.
    """

    request: SyncRequest
    storage: Storage
    sources: Sequence[Source]
    passphrase: str
    progress: Progress
    sinks: Sequence[Sink] = ()
    provers: Sequence[Source] = ()
    projectors: Projectors | None = None
    stand_by: Callable[[bool], None] | None = None
    heard: Callable[[Reach], None] = lambda _: None
    _still_leading: Callable[[], None] = field(default=lambda: None, init=False)
    _left_out: list[Source] = field(default_factory=list, init=False)
    _reaches: dict[str, Reach] = field(default_factory=dict, init=False)

    async def execute(self, stop: asyncio.Event) -> SyncReport:
        """Run to the end, or until ``stop`` is set, and report on what was asked.

        A window in flight is finished or dropped, never half committed. Raises ``UsageError``
        subclasses for what cannot work, ``SourceError`` where no source tells its tip and the
        range needs it; ``LeadershipError`` where another process follows, or does so by now.
        """
        began = monotonic()
        # an SQLite commit that a power cut may take back is fetched again, unless somebody was told of it
        self.storage.durable = bool(self.sinks)
        engine = SyncEngine(self.storage, self.sources, self.sinks, self.progress, self.request.workers)
        try:
            async with AsyncExitStack() as held:
                if self.request.follow:
                    self._still_leading = await held.enter_async_context(leading(self.storage, stop, self.stand_by))
                course = await until_stopped(self._prepare(engine), stop)
                if course is None:
                    raise SyncInterruptedError("Stopped before any source had answered; nothing was changed.")
                await engine.learn_anchors()
                upgrade = (
                    Upgrade(engine, self.request.scope, partial(self._verifier, engine))
                    if self.request.verify
                    else None
                )
                gone_through = await self._work_and_project(engine, course, upgrade, stop)
            coverage = await engine.in_thread(
                lambda: read_coverage(self.storage, gone_through, self.request.scope, engine.reasons)
            )
        finally:
            engine.close()
        return SyncReport(coverage, engine.counts, monotonic() - began, upgrade.findings if upgrade else None)

    async def _prepare(self, engine: SyncEngine) -> _Course:
        """Open the sources and find out which ledgers are meant."""
        request = self.request
        await engine.in_thread(lambda: self.storage.bind_network(self.passphrase))
        try:
            opened = await open_sources(self.sources, self.passphrase, self.storage, engine.in_thread)
        except SourceError:
            if request.first is None or request.first < 0 or request.last is None or request.follow:
                raise  # without a tip nobody can tell which ledgers were meant
            opened = []
        engine.sources = [item.source for item in opened]
        self._left_out = [source for source in self.sources if source not in engine.sources]
        reach = _best([item.reach for item in opened]) if opened else Reach(0, request.last or 0)
        states = await engine.in_thread(lambda: self.storage.sync_states([*request.scope, EVERYTHING]))
        known = known_states(states, request.scope)
        start = request.start_ledger or min((state.start_ledger for state in known.values()), default=None)
        resume = await engine.in_thread(lambda: self._resume(known, start))
        wanted = resolve(request.first, request.last, resume=resume, reach=reach, follow=request.follow)
        course = _course(wanted, request, resume, reach)
        asked = course.begin if request.first is not None else None
        begin = request.start_ledger or asked or start or course.begin
        await engine.in_thread(lambda: self.storage.want(request.scope, begin))
        self._reaches = {item.source.name: item.reach for item in opened}
        return course

    async def _verifier(self, engine: SyncEngine, findings: Findings) -> Verifier:
        """Open the provers; raises what they raise where none can serve."""
        opened = await open_sources(self.provers, self.passphrase, self.storage, engine.in_thread, keep_tips=False)
        sources = [item.source for item in opened]
        return Verifier(engine, sources, self.request.scope, repair=True, findings=findings)

    def _resume(self, known: Mapping[str, SyncState], start: int | None) -> int | None:
        """Return the first ledger that some contract of the scope lacks; None where nothing tells where to begin."""
        behind: list[int] = []
        for contract in self.request.scope:
            state = known.get(contract)
            if state is None:
                if start is not None:
                    behind.append(start)
                continue
            behind.append(state.last_ledger_sequence + 1)
            if start is not None and start < state.start_ledger:  # start_ledger was lowered since
                earlier = LedgerRange(start, state.start_ledger - 1)
                behind.append(self.storage.coverage(contract, earlier).unbroken_from(start) + 1)
        return min(behind, default=None)

    async def _work_and_project(
        self, engine: SyncEngine, course: _Course, upgrade: Upgrade | None, stop: asyncio.Event
    ) -> LedgerRange:
        """Do the work with the projections beside it, and let them come to the end of it; return as ``_work`` does."""
        if self.projectors is None:
            return await self._work(engine, course, upgrade, stop)
        engine.committed = self.projectors.committed
        beside = asyncio.create_task(self.projectors.follow(follow_up=self.request.follow))
        beside.add_done_callback(_tell_failure)
        try:
            gone_through = await self._work(engine, course, upgrade, stop)
        finally:
            await _cancelled([beside])
        if not stop.is_set():
            await until_stopped(self.projectors.finish(self.progress.projecting), stop)
        return gone_through

    async def _work(
        self, engine: SyncEngine, course: _Course, upgrade: Upgrade | None, stop: asyncio.Event
    ) -> LedgerRange:
        """Fill, or follow where asked; return the range that was gone through."""
        reached = course.reported.last
        scope = self.request.scope

        def caught_up(ledger: int) -> None:
            nonlocal reached
            reached = max(reached, ledger)

        async def work() -> bool:
            if self.request.follow:
                follower = Follower(
                    engine, scope, course.begin, self.request.last, caught_up, course.ledger_seconds, heard=self.heard
                )
                beside = [
                    asyncio.create_task(self._join_late(engine)),
                    asyncio.create_task(keep_leading(self._still_leading, engine.in_thread)),
                ]
                if upgrade is not None:
                    beside.append(asyncio.create_task(upgrade.keep_up(lambda: LedgerRange(course.begin, reached))))
                try:
                    await _with_helpers(follower.run(), beside)
                finally:
                    await _cancelled(beside)
            elif not course.empty:
                await engine.fill(RangeSet([course.reported]), scope)
                await self._warn_of_retention(engine, course.reported)
            if upgrade is not None and not course.empty:
                await upgrade.run(LedgerRange(course.begin, max(reached, course.begin)))
            return True

        if await until_stopped(work(), stop) is None:
            logger.info("stopped; what was committed is kept")
            engine.reasons.suppose(
                Unserved(course.reported, scope, Reason.INTERRUPTED, "stopped before it was fetched")
            )
        return LedgerRange(course.reported.first, reached)

    async def _warn_of_retention(self, engine: SyncEngine, wanted: LedgerRange) -> None:
        """Say that what is still missing will soon be out of every source's retention, if it will."""
        missing = RangeSet(task.range for task in await engine.missing(RangeSet([wanted]), self.request.scope))
        if (warning := endangered(missing, self._reaches)) is not None:
            logger.warning("{}", warning)

    async def _join_late(self, engine: SyncEngine) -> None:
        """Try again, now and then, to open the sources that did not answer at the start."""
        while self._left_out:
            await asyncio.sleep(REOPEN_SECONDS)
            for source in list(self._left_out):
                try:
                    await open_sources([source], self.passphrase, self.storage, engine.in_thread)
                except StellarStreamError as error:
                    logger.debug("source {} is still left out: {}", source.name, error)
                    continue
                self._left_out.remove(source)
                engine.sources = [one for one in self.sources if one not in self._left_out]
                engine.reasons.forget([Reason.OUT_OF_RETENTION, Reason.UNSUPPORTED])  # of the others: it may have them
                logger.info("source {} answers now and is used", source.name)


async def _with_helpers(work: Coroutine[Any, Any, None], beside: Sequence[asyncio.Task[None]]) -> None:
    """Run ``work`` to its end; raise at once what one of the tasks beside it raises."""
    main = asyncio.ensure_future(work)
    try:
        waiting = {main, *beside}
        while not main.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {main}:
                task.result()
        main.result()
    finally:
        await _cancelled([main])


def _tell_failure(projecting: asyncio.Task[None]) -> None:
    """Log what ended the projections before the sync: it would not be noticed otherwise."""
    if not projecting.cancelled() and (error := projecting.exception()) is not None:
        logger.opt(exception=error).error("projections stopped: {}; 'stellarstream project' goes on with them", error)


async def _cancelled(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def known_states(states: Mapping[str, SyncState], scope: Scope) -> dict[str, SyncState]:
    """Return the state of each contract of the scope: its own, else that of everything."""
    whole = states.get(EVERYTHING)
    found = {contract: states.get(contract, whole) for contract in scope}
    return {contract: state for contract, state in found.items() if state is not None}


def _course(wanted: LedgerRange | None, request: SyncRequest, resume: int | None, reach: Reach) -> _Course:
    if wanted is not None:
        return _Course(wanted, wanted.first, ledger_seconds=reach.ledger_seconds)
    if request.first is not None and request.first > 0:  # it is yet to close: only following gets there
        there = LedgerRange(request.first, request.first)
        return _Course(there, request.first, empty=True, ledger_seconds=reach.ledger_seconds)
    begin = resume or FIRST_LEDGER
    last = min(begin - 1, reach.latest if request.last is None else request.last)
    upto = max(last, FIRST_LEDGER)  # everything asked for is there: the report is about its last ledger
    return _Course(LedgerRange(upto, upto), begin, empty=True, ledger_seconds=reach.ledger_seconds)


def _best(reaches: Sequence[Reach]) -> Reach:
    """Return the widest reach: ranges beyond one source's are another's business."""
    newest = max(reaches, key=lambda reach: reach.latest)
    return Reach(min(r.oldest for r in reaches), newest.latest, newest.latest_closed_at, newest.ledger_seconds)


async def until_stopped(work: Coroutine[Any, Any, Any], stop: asyncio.Event) -> Any:
    """Return what ``work`` returns, or None where ``stop`` came first; then the work was cancelled and has ended."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    return None if task.cancelled() else task.result()
