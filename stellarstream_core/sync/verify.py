"""Verifying: read a range again from a source that can prove it, and compare with what is stored.

Nothing is written unless asked for. A repair adds events that are missing and upgrades evidence; it
goes through the same commit as everything else, so it neither overwrites nor stores anything twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import NamedTuple, TypeVar

from loguru import logger

from stellarstream_core.digest import event_frame
from stellarstream_core.errors import NetworkResetError, ProtocolUpgradeNeededError, StellarStreamError, StorageError
from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason, Source, Unserved, Window
from stellarstream_core.storage import Storage
from stellarstream_core.sync.asking import reach_of
from stellarstream_core.sync.engine import SyncEngine, check_window, items_of
from stellarstream_core.sync.findings import Findings
from stellarstream_core.sync.plan import Task, clip, plan
from stellarstream_core.sync.progress import Progress, Silence

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


@dataclass(slots=True)
class Verifier:
    """Verifies ranges of ``scope`` against ``sources``, in order of preference, and collects ``findings``.

    ``repair`` commits what was read where it adds to what is stored, through the engine.
    """

    engine: SyncEngine
    sources: Sequence[Source]
    scope: Scope
    repair: bool = False
    progress: Progress = field(default_factory=Silence)
    findings: Findings = field(default_factory=Findings)

    @property
    def storage(self) -> Storage:
        """The database; call it through :meth:`in_thread`."""
        return self.engine.storage

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run a storage call in the engine's storage thread."""
        return await self.engine.in_thread(call)

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
            gaps: dict[str, list[LedgerRange]] = {}
            for item in left:
                for contract in item.scope:
                    gaps.setdefault(contract, []).append(item.range)
            tasks = plan({contract: RangeSet(ranges) for contract, ranges in gaps.items()})
            if not tasks:
                break
        for item in left:
            self.findings.doubt(RangeSet([item.range]), item.reason.value, item.detail)

    async def _read_again(self, source: Source, tasks: Sequence[Task]) -> list[Unserved]:
        """Return what the source did not serve."""
        try:
            reach = await reach_of(source)
        except StellarStreamError as error:
            return [Unserved(task.range, task.scope, Reason.UNAVAILABLE, str(error)) for task in tasks]
        within = LedgerRange(reach.oldest, reach.latest) if 0 < reach.oldest <= reach.latest else None
        inside, outside = clip(tasks, within)
        left: list[Unserved] = []
        for task in outside:
            gone = task.range.last < reach.oldest
            detail = f"{source.name} has ledgers {reach.oldest} to {reach.latest}"
            left.append(
                Unserved(task.range, task.scope, Reason.OUT_OF_RETENTION if gone else Reason.BEYOND_TIP, detail)
            )
        for task in inside:
            left += await self._read_task(source, task)
        return left

    async def _read_task(self, source: Source, task: Task) -> list[Unserved]:
        left: list[Unserved] = []
        done: dict[str, list[LedgerRange]] = {contract: [] for contract in task.scope}
        reason, detail = Reason.MISBEHAVED, f"{source.name} said nothing of them"
        try:
            async with aclosing(items_of(source, task)) as items:
                async for item in items:
                    if isinstance(item, Unserved):
                        refused: Unserved | None = item
                    else:
                        check_window(item, task, source)
                        refused = await self._compare(item)
                    if refused is not None:
                        left.append(self._given_up(refused, source))
                    for contract in item.scope:
                        done.setdefault(contract, []).append(item.range)
        except (StorageError, NetworkResetError):
            raise
        except StellarStreamError as error:
            reason = Reason.UNSUPPORTED if isinstance(error, ProtocolUpgradeNeededError) else Reason.UNAVAILABLE
            detail = str(error)
        except Exception as error:  # a source is a plugin: whatever it raises is a failure of its range
            logger.opt(exception=error).error("source {} failed over ledgers {}", source.name, task.range)
            detail = f"{source.name} raised {type(error).__name__}"
        lacking = {contract: RangeSet([task.range]) - RangeSet(done[contract]) for contract in task.scope}
        return [*left, *(Unserved(piece.range, piece.scope, reason, detail) for piece in plan(lacking))]

    def _given_up(self, item: Unserved, source: Source) -> Unserved:
        if item.reason is Reason.PROOF_FAILED:
            self.findings.breaks(item.range, f"{item.detail} ({source.name})")
        return item

    async def _compare(self, window: Window) -> Unserved | None:
        """Compare one window, and repair what it can; return it as given up where it contradicts what is known."""

        def look() -> Difference | str:
            if (contradiction := self.engine.known_ledgers.contradiction(window.certificates)) is not None:
                return contradiction
            return compare(stored_events(self.storage, window.range, window.scope), window.events)

        difference = await self.in_thread(look)
        if isinstance(difference, str):
            return Unserved(window.range, window.scope, Reason.PROOF_FAILED, difference)
        refused = RangeSet()
        if self.repair:
            repaired = await self._repair(window, difference)
            if isinstance(repaired, str):
                return Unserved(window.range, window.scope, Reason.PROOF_FAILED, repaired)
            refused = repaired
        else:
            self.engine.known_ledgers.note(window.certificates)
        found = self.findings
        found.take(window)
        found.extra.add(difference.extra)
        found.different.add(difference.different)
        for reason, ledgers in _doubts(window).items():
            found.doubt(ledgers, reason)
        lost = [i for i in difference.missing if not self.repair or int(i[:19]) >> 32 in refused]
        found.missing.add(lost)
        unequal = _ledgers_of([*difference.extra, *difference.different, *lost]) | refused
        if unequal:
            found.differs(unequal)
        if difference.different or difference.extra:
            await self._name_flavours(window)
        self.progress.committed(window.range, window.range.size * len(window.scope) / len(self.scope), 0)
        return None

    async def _repair(self, window: Window, difference: Difference) -> RangeSet | str:
        """Commit the window, less the ledgers that hold stored events it does not have.

        Returns the ledgers that stay as they are: those, and those that the commit refused.
        """
        refused = _ledgers_of(difference.extra)
        for piece in RangeSet([window.range]) - refused:
            part = replace(
                window,
                range=piece,
                events=[event for event in window.events if piece.first <= event.ledger <= piece.last],
                certificates=tuple(c for c in window.certificates if piece.first <= c.sequence <= piece.last),
            )
            result = await self.in_thread(partial(self.engine.commit, part))
            if isinstance(result, str):
                return result
            self.findings.added.add([event.id for event in result.new])
            if result.conflicts:
                self.findings.refused += result.conflicting
                refused |= result.conflicts
        return refused

    async def _name_flavours(self, window: Window) -> None:
        """Note where the ledgers were stored from meta of another flavour: that is what the difference is."""

        def read() -> set[tuple[LedgerRange, str]]:
            parts = (p for contract in window.scope for p in self.storage.covered_ranges(contract, window.range))
            return {(part.range, part.flavour) for part in parts if part.flavour not in {"", window.flavour}}

        if window.flavour:
            for ledgers, flavour in await self.in_thread(read):
                self.findings.made_as(RangeSet([ledgers]), flavour, window.flavour)


def stored_events(storage: Storage, within: LedgerRange, scope: Scope) -> Iterator[ContractEvent]:
    """Yield the stored events of a range in id order, a page at a time."""
    after = ""
    while True:
        page = storage.events(within, scope, after=after, limit=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].id


async def digest_stored(engine: SyncEngine, wanted: LedgerRange, scope: Scope) -> str:
    """Return the digest of a range's stored events (:mod:`stellarstream_core.digest`), read page by page."""
    digest, after = sha256(), ""
    while True:
        page = await engine.in_thread(partial(engine.storage.events, wanted, scope, after=after, limit=PAGE))
        for event in page:
            digest.update(event_frame(event))
        if len(page) < PAGE:
            return digest.hexdigest()
        after = page[-1].id


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
