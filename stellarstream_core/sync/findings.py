"""What a verification finds, and the verdict it comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from stellarstream_core.errors import ExitCode
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Window
from stellarstream_core.sync.report import Gap

MOST_NAMED = 10_000
"""Events named in each list of a verdict; the counts beside them are exact."""

MOST_BROKEN = 1_000
"""Broken ledgers named one by one; the count is exact."""


class Verdict(StrEnum):
    """What a verification came to."""

    PROVEN = "proven"
    """Every ledger was read again, its hashes hold, and what is stored is equal."""
    MATCHING = "matching"
    """Every ledger was read again and what is stored is equal; some of it could not be proven."""
    INCOMPLETE = "incomplete"
    """Events or ledgers are missing, or some ledgers could not be read again."""
    DIFFERENT = "different"
    """Something stored is not what the ledgers say, or a source's hashes do not hold."""

    @property
    def exit_code(self) -> ExitCode:
        """0 for equal, 3 for incomplete, 4 for different."""
        if self is Verdict.DIFFERENT:
            return ExitCode.CONFLICT
        return ExitCode.INCOMPLETE if self is Verdict.INCOMPLETE else ExitCode.OK


class Unproven(NamedTuple):
    """Ledgers that were not proven, or not wholly, and why."""

    range: LedgerRange
    reason: str
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the promised JSON object."""
        body: dict[str, Any] = {"from": self.range.first, "to": self.range.last, "reason": self.reason}
        return {**body, "detail": self.detail} if self.detail else body


@dataclass(slots=True)
class EventList:
    """Ids of events, the first of them by name; ``count`` is exact."""

    ids: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, ids: Sequence[str]) -> None:
        """Take more ids in."""
        self.count += len(ids)
        self.ids.extend(ids[: max(0, MOST_NAMED - len(self.ids))])

    def __bool__(self) -> bool:
        return bool(self.count)


@dataclass(slots=True)
class Findings:
    """What a verification found so far.

    ``read`` maps each contract to what was read again for it, ``checked`` to those ledgers of it
    whose every hash was checked. ``missing`` events are in the ledgers and not stored, ``extra`` ones
    the other way round, ``different`` ones are stored with other bytes; ``unequal`` are their ledgers.
    ``broken`` are ledgers whose hashes did not hold at some source, ``flavours`` where differing
    ledgers were made differently.
    """

    read: dict[str, RangeSet] = field(default_factory=dict)
    checked: dict[str, RangeSet] = field(default_factory=dict)
    _doubted: dict[tuple[str, str], RangeSet] = field(default_factory=dict)
    missing: EventList = field(default_factory=EventList)
    extra: EventList = field(default_factory=EventList)
    different: EventList = field(default_factory=EventList)
    broken: dict[int, str] = field(default_factory=dict)
    broken_count: int = 0
    flavours: list[Unproven] = field(default_factory=list)
    added: EventList = field(default_factory=EventList)
    sources: dict[str, RangeSet] = field(default_factory=dict)
    unequal: RangeSet = field(default_factory=RangeSet)

    def take(self, window: Window) -> None:
        """Note the ledgers of a window that was compared."""
        whole = RangeSet([window.range])
        proven = window.evidence is Evidence.PROVEN
        for contract in window.scope:
            for ledgers in (self.read, self.checked) if proven else (self.read,):
                ledgers[contract] = ledgers.get(contract, RangeSet()) | whole
        self.sources[window.source] = self.sources.get(window.source, RangeSet()) | whole

    def doubt(self, ledgers: RangeSet, reason: str, detail: str = "") -> None:
        """Note why ledgers are unproven."""
        self._doubted[reason, detail] = self._doubted.get((reason, detail), RangeSet()) | ledgers

    @property
    def unproven(self) -> list[Unproven]:
        """The ledgers that were not proven, or not wholly, in order; neighbours with one reason are one."""
        return sorted(Unproven(r, *why) for why, ledgers in self._doubted.items() for r in ledgers)

    @property
    def contradicts(self) -> bool:
        """Whether something stored, or a source, is not what the hashes or the ledgers say."""
        return bool(self.different or self.extra or self.broken_count)

    def breaks(self, ledgers: LedgerRange, reason: str) -> None:
        """Note ledgers whose hashes do not hold."""
        self.broken_count += ledgers.size
        for ledger in range(ledgers.first, min(ledgers.last, ledgers.first + MOST_BROKEN) + 1):
            if len(self.broken) < MOST_BROKEN:
                self.broken.setdefault(ledger, reason)

    def broken_json(self) -> list[dict[str, Any]]:
        """Return the broken ledgers as the promised JSON list."""
        return [{"ledger": ledger, "reason": reason} for ledger, reason in sorted(self.broken.items())]

    def counts(self) -> dict[str, int]:
        """Return how many events and ledgers are in each list, exactly."""
        return {
            "missing": self.missing.count,
            "extra": self.extra.count,
            "different": self.different.count,
            "added": self.added.count,
            "broken": self.broken_count,
        }

    @property
    def summary(self) -> str:
        """What contradicts, in a few words."""
        counts = (
            (self.broken_count, "with hashes that do not hold"),
            (self.different.count, "events stored with other bytes"),
            (self.extra.count, "events stored that the ledgers do not have"),
        )
        return ", ".join(f"{count:,} {what}" for count, what in counts if count) or "nothing"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """A verification's result for ``wanted``. ``digest`` is that of the stored events (``digest_events``)."""

    wanted: LedgerRange
    scope: Scope
    findings: Findings
    gaps: tuple[Gap, ...]
    digest: str
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """What it came to."""
        found = self.findings
        if found.contradicts:
            return Verdict.DIFFERENT
        whole = RangeSet([self.wanted])
        if found.missing or self.gaps or whole - self._common(found.read):
            return Verdict.INCOMPLETE
        return Verdict.MATCHING if whole - self.proven else Verdict.PROVEN

    @property
    def proven(self) -> RangeSet:
        """The ledgers that were proven for every contract of the scope and hold no difference."""
        return self._common(self.findings.checked) - self.findings.unequal

    def _common(self, ledgers: Mapping[str, RangeSet]) -> RangeSet:
        common = RangeSet([self.wanted])
        for contract in self.scope:
            common &= ledgers.get(contract, RangeSet())
        return common

    def to_json(self) -> dict[str, Any]:
        """Return the promised JSON object."""
        found = self.findings
        return {
            "from": self.wanted.first,
            "to": self.wanted.last,
            "verdict": self.verdict.value,
            "proven": self.proven.to_json(),
            "unproven": [item.to_json() for item in found.unproven],
            "missing": sorted(found.missing.ids),
            "extra": sorted(found.extra.ids),
            "different": sorted(found.different.ids),
            "broken": found.broken_json(),
            "digest": self.digest,
            "counts": found.counts(),
            "added": sorted(found.added.ids),
            "flavours": [item.to_json() for item in sorted(found.flavours)],
            "gaps": [gap.to_json() for gap in self.gaps],
            "sources": {name: ranges.to_json() for name, ranges in sorted(found.sources.items())},
            "seconds": round(self.seconds, 3),
        }
