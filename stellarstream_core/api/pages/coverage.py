"""The coverage bar: which ledgers are proven, scanned, missing or not closed long enough to be here, as boxes.

Places are percent of the bar's width, so that it fits every screen. A gap is never too small to be
seen: one ledger of a million is drawn as wide as the eye needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stellarstream_core.api.pages.text import ledgers, number, plural
from stellarstream_core.api.sync_model import CoverageModel, SyncModel
from stellarstream_core.ranges import LedgerRange, RangeSet

LEAST_GAP = 0.5
"""Percent of the bar that a gap takes at least."""
JOINED = 0.1
"""Percent of the bar below which neighbours of one kind are drawn as one box."""


@dataclass(frozen=True, slots=True)
class Box:
    """A piece of the bar. ``kind`` is ``proven``, ``scanned``, ``gap`` or ``ahead``; x and width are percent."""

    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the legend, the text that says the same as the bar."""

    kind: str
    word: str
    ledgers: int
    share: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar from ``first`` to ``last``; ``mark`` is the watermark's place in percent, None before ``first``."""

    first: int
    last: int
    boxes: Sequence[Box]
    kinds: Sequence[Kind]
    mark: float | None
    watermark: int
    summary: str


def coverage_bar(sync: SyncModel) -> Bar | None:
    """Return the bar, None where nothing was ever synced."""
    if sync.start_ledger is None or sync.watermark is None:
        return None
    gaps = RangeSet((gap.from_, gap.to) for gap in sync.gaps)
    drawn = [*((part.from_, part.to) for part in sync.coverage), *gaps]
    reached = sync.last_covered_ledger or sync.start_ledger
    first = min([sync.start_ledger, *(one[0] for one in drawn)])
    last = max([reached, sync.tip or 0, first])
    whole = RangeSet([(first, last)])
    covered, proven = _for_all(sync)
    covered = (covered - gaps) & whole
    proven = proven & covered
    begun = max([first - 1, *(one[1] for one in drawn)])
    ahead = RangeSet([(begun + 1, last)]) if begun < last else RangeSet()
    scanned = covered - proven
    scale = 100 / (last - first + 1)
    boxes = [
        *_boxes("ahead", ahead, first, scale),
        *_boxes("scanned", scanned, first, scale),
        *_boxes("proven", proven, first, scale),
        *_boxes("gap", gaps & whole, first, scale),
    ]
    # the lists of a long history are cut short, these counts are not
    known = sync.evidence
    missing = max(begun - first + 1 - known.proven_ledgers - known.scanned_ledgers, 0)
    kinds = _kinds(known.proven_ledgers, known.scanned_ledgers, missing, ahead.size)
    mark = round((sync.watermark - first + 1) * scale, 3) if first <= sync.watermark <= last else None
    return Bar(first, last, boxes, kinds, mark, sync.watermark, _summary(first, last, sync, kinds))


def _for_all(sync: SyncModel) -> tuple[RangeSet, RangeSet]:
    """Return what every contract has, and what is proven for every contract."""
    named: dict[str, list[CoverageModel]] = {}
    common: list[CoverageModel] = []
    for part in sync.coverage:
        if part.contracts is None:
            common.append(part)
        for contract in part.contracts or ():
            named.setdefault(contract, []).append(part)
    bases = [[*common, *parts] for parts in named.values()]
    if not named or len(named) < len(sync.contracts or ()):
        bases.append(common)  # there are contracts that have nothing of their own
    return _common(bases), _common([[part for part in base if part.evidence == "proven"] for base in bases])


def _common(bases: Sequence[Iterable[CoverageModel]]) -> RangeSet:
    sets = [RangeSet((part.from_, part.to) for part in base) for base in bases]
    found = sets[0]
    for other in sets[1:]:
        found &= other
    return found


def _boxes(kind: str, ranges: RangeSet, first: int, scale: float) -> Iterable[Box]:
    joined: list[LedgerRange] = []
    counts: list[int] = []
    for one in ranges:
        if joined and (one.first - joined[-1].last - 1) * scale < JOINED:
            joined[-1] = LedgerRange(joined[-1].first, one.last)
            counts[-1] += one.size
        else:
            joined.append(one)
            counts.append(one.size)
    for one, count in zip(joined, counts, strict=True):
        x, width = (one.first - first) * scale, one.size * scale
        if kind == "gap" and width < LEAST_GAP:
            x = min(max(x - (LEAST_GAP - width) / 2, 0), 100 - LEAST_GAP)
            width = LEAST_GAP
        yield Box(kind, round(x, 3), round(width, 3), _title(kind, one, count))


def _title(kind: str, drawn: LedgerRange, count: int) -> str:
    word = {"proven": "proven", "scanned": "scanned", "gap": "missing", "ahead": "to come"}[kind]
    inside = "" if count == drawn.size else f": {plural(count, 'ledger')} of it"
    return f"{word} {ledgers(drawn.first, drawn.last)}{inside}"


def _kinds(proven: int, scanned: int, gaps: int, ahead: int) -> list[Kind]:
    total = max(proven + scanned + gaps + ahead, 1)
    return [
        Kind("proven", "Proven", proven, _share(proven, total), "hashes checked from the ledger header to each event"),
        Kind("scanned", "Scanned", scanned, _share(scanned, total), "the source says that it looked at every event"),
        Kind("gap", "Missing", gaps, _share(gaps, total), "between ledgers that are here"),
        Kind("ahead", "To come", ahead, _share(ahead, total), "after the last ledger that is here, up to the tip"),
    ]


def _share(count: int, total: int) -> str:
    """Return a share in percent; one that is not all or nothing never reads as 0 % or 100 %."""
    share = 100 * count / total
    if count and share < 0.1:
        return "< 0.1 %"
    if count < total and share > 99.9:
        return "> 99.9 %"
    return f"{share:.1f} %" if 0 < count < total else f"{share:.0f} %"


def _summary(first: int, last: int, sync: SyncModel, kinds: Sequence[Kind]) -> str:
    parts = ", ".join(f"{kind.word.lower()} {number(kind.ledgers)}" for kind in kinds if kind.ledgers)
    where = "before the first ledger" if (sync.watermark or 0) < first else f"at ledger {number(sync.watermark or 0)}"
    return f"Ledgers {number(first)} to {number(last)}: {parts}. The watermark stands {where}."
