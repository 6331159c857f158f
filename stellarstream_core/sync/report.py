"""What a sync did and what is still missing, for people, programs and the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stellarstream_core.errors import ExitCode, UsageError
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER, LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Reason
from stellarstream_core.storage import CoveredRange, Storage
from stellarstream_core.sync.engine import Counts
from stellarstream_core.sync.plan import Task, plan
from stellarstream_core.sync.reasons import Reasons

if TYPE_CHECKING:
    from stellarstream_core.sync.findings import Findings

MOST_SHOWN = 1_000
"""Unproven ranges listed in a sync's report; 'verify' lists more."""

NEVER_FETCHED = "not-fetched"


@dataclass(frozen=True, slots=True)
class Gap:
    """Ledgers that are not covered, and why. ``contracts`` is empty where all asked ones lack them."""

    range: LedgerRange
    reason: str
    detail: str = ""
    contracts: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the gap as the promised JSON object."""
        body: dict[str, Any] = {"from": self.range.first, "to": self.range.last, "reason": self.reason}
        if self.detail:
            body["detail"] = self.detail
        if self.contracts:
            body["contracts"] = list(self.contracts)
        return body

    def __str__(self) -> str:
        some = f" for {len(self.contracts)} of the contracts" if self.contracts else ""
        return f"{self.range}{some}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Part:
    """Ledgers covered alike. ``contracts`` is empty where that is so for all asked ones."""

    range: LedgerRange
    evidence: Evidence
    source: str
    flavour: str
    contracts: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the part as a JSON object."""
        body: dict[str, Any] = {
            "from": self.range.first,
            "to": self.range.last,
            "evidence": self.evidence.value,
            "source": self.source,
            "flavour": self.flavour or None,
        }
        if self.contracts:
            body["contracts"] = list(self.contracts)
        return body

    def __str__(self) -> str:
        some = f" for {len(self.contracts)} of the contracts" if self.contracts else ""
        flavour = f", {self.flavour}" if self.flavour else ""
        return f"{self.evidence.value} {self.range}{some} ({self.source}{flavour})"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How a range is covered: ``covered`` is what every asked contract has."""

    wanted: LedgerRange
    covered: RangeSet
    gaps: tuple[Gap, ...]
    sources: dict[str, RangeSet]
    proven: RangeSet
    parts: tuple[Part, ...] = ()

    @property
    def scanned(self) -> RangeSet:
        """What is covered without proof for some contract."""
        return self.covered - self.proven


def read_coverage(storage: Storage, wanted: LedgerRange, scope: Scope, reasons: Reasons | None = None) -> Coverage:
    """Read from the database how ``wanted`` is covered; why ledgers are missing comes from ``reasons``."""
    found = {contract: storage.covered_ranges(contract, wanted) for contract in scope}
    return coverage_of(found, wanted, reasons)


def coverage_of(
    found: Mapping[str, Sequence[CoveredRange]], wanted: LedgerRange, reasons: Reasons | None = None
) -> Coverage:
    """Return how ``wanted`` is covered, from what of it is covered for each contract."""
    whole = RangeSet([wanted])
    sources: dict[str, list[LedgerRange]] = {}
    alike: dict[CoveredRange, list[str]] = {}
    for contract, parts in found.items():
        for part in parts:
            alike.setdefault(part, []).append(contract)
            sources.setdefault(part.source, []).append(part.range)
    return Coverage(
        wanted,
        whole & for_all(found),
        _gaps({contract: whole - RangeSet(part.range for part in parts) for contract, parts in found.items()}, reasons),
        {name: RangeSet(ranges) for name, ranges in sources.items()},
        whole & for_all(found, proven=True),
        _parts(alike, len(found)),
    )


def for_all(found: Mapping[str, Sequence[CoveredRange]], *, proven: bool = False) -> RangeSet:
    """Return the ledgers that every contract has, or those that are proven for every one."""
    common = RangeSet([(FIRST_LEDGER, LAST_LEDGER)])
    for parts in found.values():
        common &= RangeSet(part.range for part in parts if not proven or part.evidence is Evidence.PROVEN)
    return common


def _parts(alike: Mapping[CoveredRange, Sequence[str]], contracts: int) -> tuple[Part, ...]:
    """Return how ledgers are covered, those that are so for every contract without naming them."""
    parts = [
        Part(part.range, part.evidence, part.source, part.flavour, () if len(some) == contracts else tuple(some))
        for part, some in alike.items()
    ]
    return tuple(sorted(parts, key=lambda part: (part.range, part.contracts)))


def read_gaps(storage: Storage, wanted: LedgerRange, scope: Scope) -> tuple[Gap, ...]:
    """Return what the scope lacks of ``wanted``, without asking why."""
    whole = RangeSet([wanted])
    return _gaps({contract: whole - storage.coverage(contract, wanted) for contract in scope}, None)


def _gaps(lacking: Mapping[str, RangeSet], reasons: Reasons | None) -> tuple[Gap, ...]:
    gaps: list[Gap] = []
    for task in plan(lacking):
        some = () if len(task.scope) == len(lacking) else task.scope.members
        gaps.extend(_explain(task, some, reasons))
    return tuple(gaps)


def _explain(task: Task, contracts: tuple[str, ...], reasons: Reasons | None) -> Iterable[Gap]:
    """Split missing ledgers by what is known of why they are missing."""
    known = list(reasons.explain(task.range, task.scope)) if reasons is not None else []
    gaps = [Gap(item.range, item.reason.value, item.detail, contracts) for item in known]
    rest = RangeSet([task.range]) - RangeSet(item.range for item in known)
    gaps.extend(Gap(part, NEVER_FETCHED, "", contracts) for part in rest)
    return _joined(sorted(gaps, key=lambda gap: gap.range))


def _joined(gaps: Iterable[Gap]) -> Iterable[Gap]:
    """Merge neighbours that are missing for the same reason."""
    last: Gap | None = None
    for gap in gaps:
        same = last is not None and (last.reason, last.detail, last.contracts) == (
            gap.reason,
            gap.detail,
            gap.contracts,
        )
        if last is not None and same and gap.range.first == last.range.last + 1:
            last = Gap(LedgerRange(last.range.first, gap.range.last), gap.reason, gap.detail, gap.contracts)
            continue
        if last is not None:
            yield last
        last = gap
    if last is not None:
        yield last


@dataclass(frozen=True, slots=True)
class SyncReport:
    """The result of one ``sync``."""

    coverage: Coverage
    counts: Counts
    seconds: float
    findings: Findings | None = None

    @property
    def exit_code(self) -> ExitCode:
        """0 the whole range is covered, 4 a conflict, else 3."""
        if self.findings is not None and self.findings.contradicts:
            return ExitCode.CONFLICT
        if self.counts.conflicts or any(gap.reason == Reason.CONFLICT for gap in self.coverage.gaps):
            return ExitCode.CONFLICT
        return ExitCode.INCOMPLETE if self.coverage.gaps else ExitCode.OK

    def to_json(self) -> dict[str, Any]:
        """Return the promised JSON object."""
        coverage = self.coverage
        body: dict[str, Any] = {
            "from": coverage.wanted.first,
            "to": coverage.wanted.last,
            "covered": coverage.covered.to_json(),
            "gaps": [gap.to_json() for gap in coverage.gaps],
            "events": {"new": self.counts.new, "known": self.counts.known, "conflicts": self.counts.conflicts},
            "sources": {name: ranges.to_json() for name, ranges in sorted(coverage.sources.items())},
            "evidence": {"proven": coverage.proven.to_json(), "scanned": coverage.scanned.to_json()},
            "seconds": round(self.seconds, 3),
        }
        if self.findings is not None:
            body["verified"] = {
                **self.findings.counts(),
                "broken": self.findings.broken_json(),
                "unproven": [item.to_json() for item in self.findings.unproven[:MOST_SHOWN]],
            }
        return body


def stored_bounds(storage: Storage, scope: Scope) -> LedgerRange:
    """Return the first ledger that was ever wanted or covered, and the last covered one, of the scope.

    So ledgers fetched from before the first wanted one, and a hole between, are not left out of what
    looks at everything. Raises ``UsageError`` where nothing was ever synced.
    """
    everything = LedgerRange(FIRST_LEDGER, LAST_LEDGER)
    states = storage.sync_states(scope)
    covered = [bounds for contract in scope if (bounds := storage.coverage(contract, everything).bounds)]
    first = min(
        [*(state.start_ledger for state in states.values()), *(bounds.first for bounds in covered)], default=None
    )
    if first is None:
        raise never_synced(scope)
    return LedgerRange(first, max([first, *(bounds.last for bounds in covered)]))


def never_synced(scope: Scope) -> UsageError:
    """Return the error of who asks for what is not there."""
    return UsageError(f"Nothing was ever synced for {scope}.", help="Run 'stellarstream sync' for it first.")
