"""The engine: fills ledgers from sources into a storage, and keeps count of what it did.

Coverage in the database is the only truth: before each source the plan is made from what is stored,
so a crashed, repeated or concurrent run needs no state of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar

from loguru import logger

from stellarstream_core.errors import (
    InvalidEventError,
    ProtocolUpgradeNeededError,
    SourceError,
    SourceMisbehavedError,
    SourceUnusableError,
    StellarStreamError,
    XdrError,
)
from stellarstream_core.hookspecs import CommittedBatch, Sink
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reach, Reason, Source, Unserved, Window
from stellarstream_core.storage import CommitResult, Storage
from stellarstream_core.sync.known import KnownLedgers
from stellarstream_core.sync.plan import Task, clip, plan, spread
from stellarstream_core.sync.progress import Progress, Silence
from stellarstream_core.sync.reasons import Reasons

T = TypeVar("T")

_MOST_ANCHORS = 100_000
"""Anchors read at the start: those of seventy years, one every 4,096 ledgers."""

_FROM_A_SOURCE = (SourceError, SourceUnusableError, XdrError, InvalidEventError)


@dataclass(slots=True)
class Counts:
    """Events by what became of them."""

    new: int = 0
    known: int = 0
    conflicts: int = 0


@dataclass(slots=True)
class SyncEngine:
    """Fills ledgers from ``sources`` (in order of preference) into ``storage``.

    ``workers`` ranges are fetched side by side; commits are made one at a time, in one thread.
    """

    storage: Storage
    sources: Sequence[Source]
    sinks: Sequence[Sink] = ()
    progress: Progress = field(default_factory=Silence)
    workers: int = 1
    counts: Counts = field(default_factory=Counts)
    reasons: Reasons = field(default_factory=Reasons)
    sink_failures: dict[str, int] = field(default_factory=dict)
    known_ledgers: KnownLedgers = field(default_factory=KnownLedgers)
    _next_source: str | None = field(default=None, init=False)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="storage"), init=False
    )

    async def fill(self, wanted: RangeSet, scope: Scope, reaches: dict[str, Reach] | None = None) -> None:
        """Fetch and commit what ``scope`` lacks of ``wanted``; why the rest is missing is in ``reasons``.

        ``reaches`` holds what is known of sources' reach by name; others are asked. Raises
        ``StorageError`` where the database fails; what a source does wrong raises nothing.
        """
        known = {} if reaches is None else dict(reaches)
        tasks = await self.missing(wanted, scope)
        if (bounds := wanted.bounds) is not None:
            self.progress.planned(bounds, RangeSet(task.range for task in tasks).size)
        if not self.sources:
            self._give_up(tasks, Reason.UNAVAILABLE, "no source answered")
        for number, source in enumerate(self.sources):
            if number:
                tasks = await self.missing(wanted, scope)
            if not tasks:
                return
            self._next_source = self.sources[number + 1].name if number + 1 < len(self.sources) else None
            try:
                reach = known.get(source.name) or await source.reach()
            except _FROM_A_SOURCE as error:
                self._give_up(tasks, _reason(error), str(error))
                continue
            within = LedgerRange(reach.oldest, reach.latest) if reach.oldest <= reach.latest else None
            inside, outside = clip(tasks, within)
            self._note_outside(outside, source, reach, first=not number)
            await self._fetch(source, inside)

    async def learn_anchors(self) -> None:
        """Read the database's anchors, so that every certificate is held against them."""
        anchors = await self.in_thread(lambda: self.storage.anchors(limit=_MOST_ANCHORS))
        self.known_ledgers = KnownLedgers(anchors)

    async def missing(self, wanted: RangeSet, scope: Scope) -> list[Task]:
        """Return the tasks that would complete ``wanted``."""
        bounds = wanted.bounds
        if bounds is None:
            return []

        def read() -> list[Task]:
            return plan({contract: wanted - self.storage.coverage(contract, bounds) for contract in scope})

        return await self.in_thread(read)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run a storage call in the storage thread.

        Once begun it is waited for, even when cancelled, and its own error wins over the cancellation.
        """
        running = asyncio.get_running_loop().run_in_executor(self._thread, call)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            if (error := running.exception()) is not None:
                raise error from None
            raise

    def close(self) -> None:
        """Let the storage thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _fetch(self, source: Source, tasks: Sequence[Task]) -> None:
        if not tasks:
            return
        pieces = spread(tasks, self.workers)
        todo = iter(pieces)

        async def work() -> None:
            for task in todo:
                await self._run(source, task)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.workers, len(pieces))):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _run(self, source: Source, task: Task) -> None:
        async with aclosing(items_of(source, task)) as items:
            while (item := await self._next(items, source, task)) is not None:
                if isinstance(item, Unserved):
                    self._unserved(item)
                    continue
                try:
                    _check(item, task, source)
                    if (contradiction := self.known_ledgers.contradiction(item.certificates)) is not None:
                        self._unserved(Unserved(item.range, item.scope, Reason.PROOF_FAILED, contradiction))
                        continue
                    await self._commit(item, task)
                except _FROM_A_SOURCE as error:
                    self._give_up([task], _reason(error), str(error))
                    return

    async def _next(
        self, items: AsyncIterator[Window | Unserved], source: Source, task: Task
    ) -> Window | Unserved | None:
        """Return what the source yields next; None at its end, or where it failed and the task is given up."""
        try:
            return await anext(items, None)
        except _FROM_A_SOURCE as error:
            self._give_up([task], _reason(error), str(error))
        except Exception as error:  # a source is a plugin: whatever it raises is a failure of its range
            logger.opt(exception=error).error("source {} failed over ledgers {}", source.name, task.range)
            self._give_up([task], Reason.MISBEHAVED, f"{source.name} raised {type(error).__name__}")
        return None

    async def _commit(self, window: Window, task: Task) -> None:
        def commit() -> CommitResult:
            result = self.storage.commit(window)
            for anchor in self.known_ledgers.note(window.certificates):
                self.storage.add_anchor(anchor)
            self.publish(result)
            return result

        running = asyncio.get_running_loop().run_in_executor(self._thread, commit)
        try:
            await asyncio.wait([running])
        finally:  # a commit that has begun counts, even when the sync is stopped meanwhile
            await asyncio.wait([running])
            self._account(window, task, running.result())

    def _account(self, window: Window, task: Task, result: CommitResult) -> None:
        self.counts.new += len(result.new)
        self.counts.known += result.known
        self.counts.conflicts += result.conflicting
        for conflict in result.conflicts:
            detail = f"{window.source} has other events than those stored"
            self._unserved(Unserved(conflict, window.scope, Reason.CONFLICT, detail))
        logger.debug(
            "ledgers {} of {}: {} new events, {} known", window.range, window.scope, len(result.new), result.known
        )
        share = window.range.size * len(window.scope) / len(task.scope)
        self.progress.committed(window.range, share, len(result.new))

    def publish(self, result: CommitResult) -> None:
        """Tell the sinks of a commit, if it changed anything. Called in the storage thread."""
        if result.commit is None:
            return
        batch = CommittedBatch(result.commit, result.new)
        for sink in self.sinks:
            try:
                sink.publish(batch)
            except (Exception, SystemExit) as error:  # a sink is a plugin: what it raises must not stop the sync
                name = str(getattr(sink, "name", type(sink).__name__))
                first = name not in self.sink_failures
                self.sink_failures[name] = self.sink_failures.get(name, 0) + 1
                if first:
                    logger.opt(exception=error).error(
                        "sink {} failed at position {}; it is not told again and has to catch up by position",
                        name,
                        batch.commit.position,
                    )

    def _note_outside(self, tasks: Iterable[Task], source: Source, reach: Reach, *, first: bool) -> None:
        """Note what a source does not reach; of several the first one's word counts, unless waiting helps."""
        for task in tasks:
            for part in RangeSet([task.range]) - RangeSet([(reach.oldest, max(reach.oldest, reach.latest))]):
                if part.last < reach.oldest:
                    detail = f"{source.name} keeps ledgers from {reach.oldest} on"
                    item = Unserved(part, task.scope, Reason.OUT_OF_RETENTION, detail)
                else:
                    detail = f"{source.name} is at ledger {reach.latest}"
                    item = Unserved(part, task.scope, Reason.BEYOND_TIP, detail)
                if first:
                    self._unserved(item)
                    continue
                if item.reason is Reason.BEYOND_TIP:  # it will have what others no longer keep
                    gone = self.reasons.ledgers([Reason.OUT_OF_RETENTION]) & RangeSet([part])
                    for later in gone:
                        self.reasons.note(Unserved(later, task.scope, item.reason, detail))
                self.reasons.suppose(item)

    def _give_up(self, tasks: Iterable[Task], reason: Reason, detail: str) -> None:
        for task in tasks:
            self._unserved(Unserved(task.range, task.scope, reason, detail))

    def _unserved(self, item: Unserved) -> None:
        self.reasons.note(item)
        self.progress.unserved(item, self._next_source)


async def items_of(source: Source, task: Task) -> AsyncGenerator[Window | Unserved, None]:
    """Yield what the source yields, so that whatever calling it raises comes out of iterating as well."""
    async with aclosing(source.windows(task.range, task.scope)) as items:
        async for item in items:
            yield item


def _reason(error: StellarStreamError) -> Reason:
    if isinstance(error, (ProtocolUpgradeNeededError, SourceUnusableError)):
        return Reason.UNSUPPORTED
    if isinstance(error, (SourceMisbehavedError, XdrError, InvalidEventError)):
        return Reason.MISBEHAVED
    return Reason.UNAVAILABLE


def _check(window: Window, task: Task, source: Source) -> None:
    inside = task.range.first <= window.range.first <= window.range.last <= task.range.last
    if not inside or not set(window.scope).issubset(task.scope):
        raise SourceMisbehavedError(
            f"{source.name} handed over ledgers {window.range} of {window.scope} when asked for "
            f"{task.range} of {task.scope}"
        )
