"""What a verification finds, and the verdict it comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

_PENDING = 1_000

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


class Ledgers:
    """A growing set of ledgers: adding to it costs little however many holes it has."""

    def __init__(self) -> None:
        self._known = RangeSet()
        self._new: list[LedgerRange] = []

    def add(self, ledgers: Iterable[LedgerRange]) -> None:
        """Take ledgers in."""
        self._new.extend(ledgers)
        if len(self._new) > _PENDING + len(self._known):
            self.all  # noqa: B018 - normalises

    @property
    def all(self) -> RangeSet:
        """All of them."""
        if self._new:
            self._known |= RangeSet(self._new)
            self._new = []
        return self._known


@dataclass(slots=True)
class EventList:
    """Ids of events, the first of them by name; ``count`` is exact where no event is found twice beyond those."""

    named: dict[str, None] = field(default_factory=dict)
    count: int = 0

    def add(self, ids: Iterable[str]) -> None:
        """Take more ids in."""
        for event_id in ids:
            if event_id in self.named:
                continue
            self.count += 1
            if len(self.named) < MOST_NAMED:
                self.named[event_id] = None

    @property
    def ids(self) -> list[str]:
        """Those that are named, in id order."""
        return sorted(self.named)

    def __bool__(self) -> bool:
        return bool(self.count)


@dataclass(slots=True)
class Findings:
    """What a verification found so far.

    ``missing`` events are in the ledgers and not stored, ``extra`` ones the other way round,
    ``different`` ones are stored with other bytes. ``refused`` counts events that a repair could not
    add, because what is stored contradicts them. ``broken`` are ledgers whose hashes did not hold at
    some source.
    """

    missing: EventList = field(default_factory=EventList)
    extra: EventList = field(default_factory=EventList)
    different: EventList = field(default_factory=EventList)
    added: EventList = field(default_factory=EventList)
    refused: int = 0
    broken: dict[int, str] = field(default_factory=dict)
    sources: dict[str, Ledgers] = field(default_factory=dict)
    _broken: Ledgers = field(default_factory=Ledgers)
    _read: dict[str, Ledgers] = field(default_factory=dict)
    _checked: dict[str, Ledgers] = field(default_factory=dict)
    _unequal: Ledgers = field(default_factory=Ledgers)
    _doubted: dict[tuple[str, str], Ledgers] = field(default_factory=dict)
    _flavours: dict[tuple[str, str], Ledgers] = field(default_factory=dict)

    # --- taking in --------------------------------------------------------------------------

    def take(self, window: Window) -> None:
        """Note the ledgers of a window that was compared."""
        proven = window.evidence is Evidence.PROVEN
        for contract in window.scope:
            self._read.setdefault(contract, Ledgers()).add([window.range])
            if proven:
                self._checked.setdefault(contract, Ledgers()).add([window.range])
        self.sources.setdefault(window.source, Ledgers()).add([window.range])

    def doubt(self, ledgers: RangeSet, reason: str, detail: str = "") -> None:
        """Note why ledgers are unproven."""
        self._doubted.setdefault((reason, detail), Ledgers()).add(ledgers)

    def differs(self, ledgers: RangeSet) -> None:
        """Note ledgers that hold a difference."""
        self._unequal.add(ledgers)

    def made_as(self, ledgers: RangeSet, stored: str, read: str) -> None:
        """Note ledgers that hold a difference and were stored from meta of another flavour."""
        self._flavours.setdefault((stored, read), Ledgers()).add(ledgers)

    def breaks(self, ledgers: LedgerRange, reason: str) -> None:
        """Note ledgers whose hashes do not hold."""
        self._broken.add([ledgers])
        for ledger in range(ledgers.first, min(ledgers.last, ledgers.first + MOST_BROKEN) + 1):
            if len(self.broken) < MOST_BROKEN:
                self.broken.setdefault(ledger, reason)

    # --- giving out -------------------------------------------------------------------------

    def read(self, scope: Scope) -> RangeSet:
        """Return the ledgers that were read again for every contract of a scope."""
        return _common(self._read, scope)

    def proven(self, scope: Scope) -> RangeSet:
        """Return the ledgers whose every hash was checked for every contract, and that hold no difference."""
        return _common(self._checked, scope) - self._unequal.all

    @property
    def unproven(self) -> list[Unproven]:
        """The ledgers that were not proven, or not wholly, in order; neighbours with one reason are one."""
        return sorted(Unproven(r, *why) for why, ledgers in self._doubted.items() for r in ledgers.all)

    @property
    def flavours(self) -> list[Unproven]:
        """Ledgers that hold a difference which their flavours explain."""
        return sorted(
            Unproven(r, "flavour", f"stored from {stored}, read again as {read}")
            for (stored, read), ledgers in self._flavours.items()
            for r in ledgers.all
        )

    @property
    def broken_count(self) -> int:
        """How many ledgers are broken."""
        return self._broken.all.size

    @property
    def contradicts(self) -> bool:
        """Whether something stored, or a source, is not what the hashes or the ledgers say."""
        return bool(self.different or self.extra or self.refused or self.broken_count)

    def broken_json(self) -> list[dict[str, Any]]:
        """Return the broken ledgers as the promised JSON list."""
        return [{"ledger": ledger, "reason": reason} for ledger, reason in sorted(self.broken.items())]

    def counts(self) -> dict[str, int]:
        """Return how many events and ledgers are in each list, whether named or not."""
        return {
            "missing": self.missing.count,
            "extra": self.extra.count,
            "different": self.different.count,
            "refused": self.refused,
            "added": self.added.count,
            "broken": self.broken_count,
            "unproven": len(self.unproven),
        }

    @property
    def summary(self) -> str:
        """What contradicts, in a few words."""
        counts = (
            (self.broken_count, "with hashes that do not hold"),
            (self.different.count, "events stored with other bytes"),
            (self.extra.count, "events stored that the ledgers do not have"),
            (self.refused, "events that cannot be added beside those stored"),
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
        if found.missing or self.gaps or whole - found.read(self.scope):
            return Verdict.INCOMPLETE
        return Verdict.MATCHING if whole - self.proven else Verdict.PROVEN

    @property
    def proven(self) -> RangeSet:
        """The ledgers that were proven for every contract of the scope, are covered, and hold no difference."""
        return (self.findings.proven(self.scope) & RangeSet([self.wanted])) - RangeSet(gap.range for gap in self.gaps)

    def to_json(self) -> dict[str, Any]:
        """Return the promised JSON object."""
        found = self.findings
        return {
            "from": self.wanted.first,
            "to": self.wanted.last,
            "verdict": self.verdict.value,
            "proven": self.proven.to_json(),
            "unproven": [item.to_json() for item in found.unproven[:MOST_NAMED]],
            "missing": found.missing.ids,
            "extra": found.extra.ids,
            "different": found.different.ids,
            "broken": found.broken_json(),
            "digest": self.digest,
            "counts": found.counts(),
            "added": found.added.ids,
            "flavours": [item.to_json() for item in found.flavours[:MOST_NAMED]],
            "gaps": [gap.to_json() for gap in self.gaps],
            "sources": {name: ledgers.all.to_json() for name, ledgers in sorted(found.sources.items())},
            "seconds": round(self.seconds, 3),
        }


def _common(ledgers: Mapping[str, Ledgers], scope: Scope) -> RangeSet:
    common: RangeSet | None = None
    for contract in scope:
        own = ledgers[contract].all if contract in ledgers else RangeSet()
        common = own if common is None else common & own
    return common or RangeSet()
