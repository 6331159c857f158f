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
from itertools import pairwise
from typing import TypeVar

from loguru import logger

from stellarstream_core.errors import (
    InvalidEventError,
    ProofFailedError,
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
from stellarstream_core.sources import Evidence, Reach, Reason, Source, Unserved, Window
from stellarstream_core.storage import CommitResult, Storage
from stellarstream_core.sync import reached
from stellarstream_core.sync.asking import reach_of
from stellarstream_core.sync.known import KnownLedgers
from stellarstream_core.sync.plan import Task, clip, plan, spread
from stellarstream_core.sync.progress import Progress, Silence
from stellarstream_core.sync.reasons import FINAL, Reasons

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
    committed: Callable[[], None] = lambda: None
    """Called in the storage thread after each commit that changed something, before the sinks hear of it."""
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="storage"), init=False
    )

    async def fill(self, wanted: RangeSet, scope: Scope, reaches: dict[str, Reach] | None = None) -> None:
        """Fetch and commit what ``scope`` lacks of ``wanted``; why the rest is missing is in ``reasons``.

        ``reaches`` holds each source's reach by name, a source that is not in it being silent now;
        without it every source is asked. Raises ``StorageError`` where the database fails; what a
        source does wrong raises nothing.
        """
        sources = tuple(self.sources)
        tasks = await self.missing(wanted, scope)
        if (bounds := wanted.bounds) is not None:
            self.progress.planned(bounds, RangeSet(task.range for task in tasks).size)
        if not sources:
            _Turn(self, None).give_up(tasks, Reason.UNAVAILABLE, "no source answered")
        for number, source in enumerate(sources):
            if number:
                tasks = await self.missing(wanted, scope)
            if not tasks:
                return
            turn = _Turn(self, sources[number + 1].name if number + 1 < len(sources) else None, first=not number)
            try:
                reach = await reach_of(source) if reaches is None else reaches.get(source.name)
            except _FROM_A_SOURCE as error:
                turn.give_up(tasks, _reason(error), str(error))
                continue
            if reach is None:
                turn.give_up(tasks, Reason.UNAVAILABLE, f"{source.name} does not answer")
                continue
            within = LedgerRange(reach.oldest, reach.latest) if reach.oldest <= reach.latest else None
            inside, outside = clip(tasks, within)
            turn.note_outside(outside, source, reach)
            await self._fetch(source, inside, turn)

    async def learn_anchors(self) -> None:
        """Read the hashes that the database knows, so that every certificate is held against them."""
        anchors = await self.in_thread(lambda: [*self.storage.open_ends(), *self.storage.anchors(limit=_MOST_ANCHORS)])
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

    async def _fetch(self, source: Source, tasks: Sequence[Task], turn: _Turn) -> None:
        if not tasks:
            return
        pieces = spread(tasks, self.workers)
        todo = iter(pieces)

        async def work() -> None:
            for task in todo:
                await self._run(source, task, turn)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.workers, len(pieces))):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _run(self, source: Source, task: Task, turn: _Turn) -> None:
        async with aclosing(items_of(source, task)) as items:
            while (item := await self._next(items, source, task, turn)) is not None:
                if isinstance(item, Unserved):
                    turn.unserved(item)
                    continue
                try:
                    check_window(item, task, source)
                    await self._commit(item, task, turn)
                except _FROM_A_SOURCE as error:
                    turn.give_up([task], _reason(error), str(error))
                    return

    async def _next(
        self, items: AsyncIterator[Window | Unserved], source: Source, task: Task, turn: _Turn
    ) -> Window | Unserved | None:
        """Return what the source yields next; None at its end, or where it failed and the task is given up."""
        try:
            return await anext(items, None)
        except _FROM_A_SOURCE as error:
            turn.give_up([task], _reason(error), str(error))
        except Exception as error:  # a source is a plugin: whatever it raises is a failure of its range
            logger.opt(exception=error).error("source {} failed over ledgers {}", source.name, task.range)
            turn.give_up([task], Reason.MISBEHAVED, f"{source.name} raised {type(error).__name__}")
        return None

    def commit(self, window: Window) -> CommitResult | str:
        """Store a window and tell the sinks; return why instead where it contradicts ledgers that are known.

        Called in the storage thread, so that no other window comes between the look and the commit.
        """
        if (contradiction := self.known_ledgers.contradiction(window.certificates)) is not None:
            self.known_ledgers.refuse(window.certificates)
            return contradiction
        try:
            result = self.storage.commit(window)
        except ProofFailedError as error:
            self.known_ledgers.refuse(window.certificates)
            return error.message
        anchors = self.known_ledgers.note(window.certificates)
        self.publish(result)
        for anchor in anchors:
            self.storage.add_anchor(anchor)
        return result

    async def _commit(self, window: Window, task: Task, turn: _Turn) -> None:
        running = asyncio.get_running_loop().run_in_executor(self._thread, self.commit, window)
        try:
            await asyncio.wait([running])
        finally:  # a commit that has begun counts, even when the sync is stopped meanwhile
            await asyncio.wait([running])
            result = running.result()
            if isinstance(result, str):
                turn.unserved(Unserved(window.range, window.scope, Reason.PROOF_FAILED, result))
            else:
                self._account(window, task, result, turn)

    def _account(self, window: Window, task: Task, result: CommitResult, turn: _Turn) -> None:
        reached.note(window.range.last)
        self.counts.new += len(result.new)
        self.counts.known += result.known
        self.counts.conflicts += result.conflicting
        for conflict in result.conflicts:
            detail = f"{window.source} has other events than those stored"
            turn.conflict(Unserved(conflict, window.scope, Reason.CONFLICT, detail))
        logger.debug(
            "ledgers {} of {}: {} new events, {} known", window.range, window.scope, len(result.new), result.known
        )
        share = window.range.size * len(window.scope) / len(task.scope)
        self.progress.committed(window.range, share, len(result.new))

    def publish(self, result: CommitResult) -> None:
        """Tell the sinks of a commit, if it changed anything. Called in the storage thread."""
        if result.commit is None:
            return
        self.committed()
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


@dataclass(frozen=True, slots=True)
class _Turn:
    """One source's turn at what is missing: where its reasons go, and who is asked after it.

    Of several sources the first one's reason counts, and a later one's where waiting may help: what
    is final at one source is not final while another may still serve it.
    """

    engine: SyncEngine
    next_source: str | None
    first: bool = True

    def unserved(self, item: Unserved) -> None:
        """Note that the source gave up a range."""
        reasons = self.engine.reasons
        (reasons.note if self.first or item.reason not in FINAL else reasons.suppose)(item)
        self.engine.progress.unserved(item, self.next_source)

    def conflict(self, item: Unserved) -> None:
        """Note ledgers that differ from what is stored: no source's turn changes that."""
        self.engine.reasons.note(item)
        self.engine.progress.unserved(item)

    def give_up(self, tasks: Iterable[Task], reason: Reason, detail: str) -> None:
        """Note that the source gives up whole tasks."""
        for task in tasks:
            self.unserved(Unserved(task.range, task.scope, reason, detail))

    def note_outside(self, tasks: Iterable[Task], source: Source, reach: Reach) -> None:
        """Note what the source does not reach."""
        for task in tasks:
            held = RangeSet([(reach.oldest, reach.latest)] if reach.oldest <= reach.latest else [])
            for part in RangeSet([task.range]) - held:
                if part.last < reach.oldest:
                    detail = f"{source.name} keeps ledgers from {reach.oldest} on"
                    item = Unserved(part, task.scope, Reason.OUT_OF_RETENTION, detail)
                else:
                    detail = f"{source.name} is at ledger {reach.latest}"
                    item = Unserved(part, task.scope, Reason.BEYOND_TIP, detail)
                if self.first:
                    self.unserved(item)
                elif item.reason is Reason.BEYOND_TIP:  # it will have what others no longer keep
                    self.engine.reasons.replace(item, Reason.OUT_OF_RETENTION)
                else:
                    self.engine.reasons.suppose(item)


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


def check_window(window: Window, task: Task, source: Source) -> None:
    """Raise ``SourceMisbehavedError`` where a window is not of its task, or is called proven without certificates."""
    inside = task.range.first <= window.range.first <= window.range.last <= task.range.last
    if not inside or not set(window.scope).issubset(task.scope):
        raise SourceMisbehavedError(
            f"{source.name} handed over ledgers {window.range} of {window.scope} when asked for "
            f"{task.range} of {task.scope}"
        )
    certified = [certificate.sequence for certificate in window.certificates]
    if (certified or window.evidence is Evidence.PROVEN) and certified != list(
        range(window.range.first, window.range.last + 1)
    ):
        raise SourceMisbehavedError(f"{source.name} has not one certificate for each of the ledgers {window.range}")
    if window.evidence is Evidence.PROVEN and not all(certificate.proven for certificate in window.certificates):
        raise SourceMisbehavedError(f"{source.name} calls ledgers {window.range} proven that are not")
    for before, after in pairwise(window.certificates):
        if after.previous_hash != before.hash:
            raise SourceMisbehavedError(f"{source.name} has ledgers in {window.range} that do not follow on each other")
