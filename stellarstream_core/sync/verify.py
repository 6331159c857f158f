"""Verifying: read a range again from a source that can prove it, and compare with what is stored.

Nothing is written unless asked for. A repair adds events that are missing and upgrades evidence; it
goes through the same commit as everything else, so it neither overwrites nor stores anything twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from loguru import logger

from stellarstream_core.digest import digest_events
from stellarstream_core.errors import ProtocolUpgradeNeededError, StellarStreamError, StorageError
from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason, Source, Unserved, Window
from stellarstream_core.storage import CommitResult, Storage
from stellarstream_core.sync.engine import items_of
from stellarstream_core.sync.findings import Findings, Unproven, VerifyReport
from stellarstream_core.sync.known import KnownLedgers
from stellarstream_core.sync.plan import Task, clip, plan
from stellarstream_core.sync.progress import Progress, Silence
from stellarstream_core.sync.report import read_gaps

T = TypeVar("T")

PAGE = 5_000
"""Stored events read at a time."""

NOT_PROVABLE = "not-provable"
"""Why a ledger is unproven that was read again and is equal: its source has no hashes to check."""


class Difference(NamedTuple):
    """Ids of events by how stored ones differ from those read again."""

    missing: list[str]
    extra: list[str]
    different: list[str]


def compare(stored: Iterable[ContractEvent], read: Iterable[ContractEvent]) -> Difference:
    """Compare stored events with those read again; both in id order."""
    missing: list[str] = []
    extra: list[str] = []
    different: list[str] = []
    ours = iter(stored)
    mine = next(ours, None)
    for event in read:
        while mine is not None and mine.id < event.id:
            extra.append(mine.id)
            mine = next(ours, None)
        if mine is None or mine.id != event.id:
            missing.append(event.id)
            continue
        if mine != event:
            different.append(event.id)
        mine = next(ours, None)
    while mine is not None:
        extra.append(mine.id)
        mine = next(ours, None)
    return Difference(missing, extra, different)


class InThread(Protocol):
    """Runs a storage call off the event loop."""

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Return what the call returns."""
        ...


@dataclass(slots=True)
class Verifier:
    """Verifies ranges of ``scope`` against ``sources``, in order of preference, and collects ``findings``.

    ``in_thread`` runs storage calls; ``repair`` commits what was read where it adds to what is stored,
    and ``publish`` is told of each such commit, in the same thread.
    """

    storage: Storage
    sources: Sequence[Source]
    scope: Scope
    in_thread: InThread
    repair: bool = False
    known: KnownLedgers = field(default_factory=KnownLedgers)
    progress: Progress = field(default_factory=Silence)
    findings: Findings = field(default_factory=Findings)
    publish: Callable[[CommitResult], None] = lambda _: None

    async def verify(self, within: LedgerRange) -> None:
        """Read a range again and compare it; raises ``StorageError`` where the database fails."""
        tasks = [Task(within, self.scope)]
        self.progress.planned(within, within.size)
        left: list[Unserved] = []
        for number, source in enumerate(self.sources):
            following = self.sources[number + 1].name if number + 1 < len(self.sources) else None
            left = await self._read_again(source, tasks)
            for item in left:
                self.progress.unserved(item, following)
            tasks = [Task(item.range, item.scope) for item in left]
            if not tasks:
                break
        for item in left:
            self.findings.doubt(RangeSet([item.range]), item.reason.value, item.detail)

    async def _read_again(self, source: Source, tasks: Sequence[Task]) -> list[Unserved]:
        """Return what the source did not serve."""
        left: list[Unserved] = []
        try:
            reach = await source.reach()
        except StellarStreamError as error:
            return [Unserved(task.range, task.scope, Reason.UNAVAILABLE, str(error)) for task in tasks]
        within = LedgerRange(reach.oldest, reach.latest) if 0 < reach.oldest <= reach.latest else None
        inside, outside = clip(tasks, within)
        for task in outside:
            gone = task.range.last < reach.oldest
            detail = f"{source.name} has ledgers {reach.oldest} to {reach.latest}"
            left.append(
                Unserved(task.range, task.scope, Reason.OUT_OF_RETENTION if gone else Reason.BEYOND_TIP, detail)
            )
        for task in inside:
            try:
                async with aclosing(items_of(source, task)) as items:
                    async for item in items:
                        refused = item if isinstance(item, Unserved) else await self._compare(item)
                        if refused is not None:
                            left.append(self._given_up(refused, source))
            except StorageError:
                raise
            except StellarStreamError as error:
                reason = Reason.UNSUPPORTED if isinstance(error, ProtocolUpgradeNeededError) else Reason.UNAVAILABLE
                left += self._rest(task, left, reason, str(error))
            except Exception as error:  # a source is a plugin: whatever it raises is a failure of its range
                logger.opt(exception=error).error("source {} failed over ledgers {}", source.name, task.range)
                left += self._rest(task, left, Reason.MISBEHAVED, f"{source.name} raised {type(error).__name__}")
        return left

    def _rest(self, task: Task, left: Sequence[Unserved], reason: Reason, detail: str) -> list[Unserved]:
        """Return what of a task a source neither handed over nor gave up before it failed."""
        lacking = {
            contract: RangeSet([task.range])
            - self.findings.read.get(contract, RangeSet())
            - RangeSet(item.range for item in left if contract in item.scope.members)
            for contract in task.scope
        }
        return [Unserved(piece.range, piece.scope, reason, detail) for piece in plan(lacking)]

    def _given_up(self, item: Unserved, source: Source) -> Unserved:
        if item.reason is Reason.PROOF_FAILED:
            self.findings.breaks(item.range, f"{item.detail} ({source.name})")
        return item

    async def _compare(self, window: Window) -> Unserved | None:
        """Compare one window; return it as given up where it contradicts what is known of its ledgers."""
        if (contradiction := self.known.contradiction(window.certificates)) is not None:
            return Unserved(window.range, window.scope, Reason.PROOF_FAILED, contradiction)
        difference = await self.in_thread(
            lambda: compare(stored_events(self.storage, window.range, window.scope), window.events)
        )
        found = self.findings
        found.take(window)
        found.extra.add(difference.extra)
        found.different.add(difference.different)
        found.unequal |= _ledgers_of([*difference.extra, *difference.different])
        for reason, ledgers in _doubts(window).items():
            found.doubt(ledgers, reason)
        if difference.different or difference.extra:
            await self._name_flavours(window)
        if self.repair:
            await self._repair(window, difference)
        else:
            found.missing.add(difference.missing)
            found.unequal |= _ledgers_of(difference.missing)
        self.known.note(window.certificates)
        self.progress.committed(window.range, window.range.size * len(window.scope) / len(self.scope), 0)
        return None

    async def _repair(self, window: Window, difference: Difference) -> None:
        """Commit the window, less the ledgers that hold stored events it does not have."""
        bad = _ledgers_of(difference.extra)
        for piece in RangeSet([window.range]) - bad:
            part = replace(
                window,
                range=piece,
                events=[event for event in window.events if piece.first <= event.ledger <= piece.last],
                certificates=tuple(c for c in window.certificates if piece.first <= c.sequence <= piece.last),
            )
            result = await self.in_thread(partial(self._commit, part))
            self.findings.added.add([event.id for event in result.new])
        self.findings.missing.add([i for i in difference.missing if int(i[:19]) >> 32 in bad])

    def _commit(self, part: Window) -> CommitResult:
        result = self.storage.commit(part)
        for anchor in self.known.note(part.certificates):
            self.storage.add_anchor(anchor)
        self.publish(result)
        return result

    async def _name_flavours(self, window: Window) -> None:
        """Note where the ledgers were stored from meta of another flavour: that is what the difference is."""

        def read() -> list[Unproven]:
            return [
                Unproven(part.range, "flavour", f"stored from {part.flavour}, read again as {window.flavour}")
                for contract in window.scope
                for part in self.storage.covered_ranges(contract, window.range)
                if part.flavour and window.flavour and part.flavour != window.flavour
            ]

        self.findings.flavours.extend(item for item in await self.in_thread(read) if item not in self.findings.flavours)


def stored_events(storage: Storage, within: LedgerRange, scope: Scope) -> Iterator[ContractEvent]:
    """Yield the stored events of a range in id order, a page at a time."""
    after = ""
    while True:
        page = storage.events(within, scope, after=after, limit=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].id


def read_result(
    storage: Storage, wanted: LedgerRange, scope: Scope, findings: Findings, seconds: float
) -> VerifyReport:
    """Read from the database what a report holds beside the findings."""
    digest = digest_events(stored_events(storage, wanted, scope))
    return VerifyReport(wanted, scope, findings, read_gaps(storage, wanted, scope), digest, seconds)


def _doubts(window: Window) -> dict[str, RangeSet]:
    """Return what of a window could not be proven, ledger by ledger where certificates tell."""
    if not window.certificates:
        return {NOT_PROVABLE: RangeSet([window.range])}
    doubted: dict[str, list[tuple[int, int]]] = {}
    for certificate in window.certificates:
        reasons = [doubt.value for doubt in certificate.doubts]
        if not certificate.proven and not reasons:
            reasons = [NOT_PROVABLE]
        for reason in reasons:
            doubted.setdefault(reason, []).append((certificate.sequence, certificate.sequence))
    return {reason: RangeSet(ledgers) for reason, ledgers in doubted.items()}


def _ledgers_of(event_ids: Iterable[str]) -> RangeSet:
    return RangeSet([(ledger, ledger) for ledger in {int(event_id[:19]) >> 32 for event_id in event_ids}])
