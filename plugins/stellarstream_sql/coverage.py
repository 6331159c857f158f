"""Coverage as runs: windows of one contract set and kind that touch, joined as they are committed.

``windows`` keeps one row for each commit for ever: years of following are millions of rows of one
ledger. Runs say the same in as many rows as there are breaks, so that reading coverage, comparing
a window with it and moving a watermark cost little however long the history is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush

from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import EVERYTHING
from stellarstream_core.sources import Evidence
from stellarstream_core.storage import CoveredRange
from stellarstream_sql import statements
from stellarstream_sql.backend import Transaction

STRENGTH: Mapping[str, int] = {Evidence.SCANNED: 0, Evidence.PROVEN: 1}
"""Evidence by how much it proves."""

Sets = Mapping[int, frozenset[str]]
"""The members of each contract set, by its id."""

RunKey = tuple[int, str, str, str]
"""Contract set, evidence, source, flavour: what windows must share to be one run."""

OverlapRow = tuple[int, int, int, str]
"""Contract set, first ledger, last ledger, evidence."""

CoverageRow = tuple[int, int, int, str, str, str]
"""First ledger, last ledger, window id, evidence, source, flavour."""


def sets_of(contract: str, sets: Sets) -> tuple[int, ...]:
    """Return the contract sets whose windows cover a contract: those that hold it, and ``*``."""
    return tuple(sorted(key for key, members in sets.items() if contract in members or EVERYTHING in members))


def join(transaction: Transaction, key: RunKey, piece: LedgerRange, window_id: int) -> None:
    """Add a window's ledgers to the runs of its kind; runs that touch it become one with it."""
    values = (*key, piece.first, piece.first - 1, *key, piece.first, piece.last + 1)
    touching = transaction.all(statements.RUNS_TOUCHING, values)
    last = max([piece.last, *(run[1] for run in touching)])
    if len(touching) == 1 and touching[0][0] < piece.first:
        if last > touching[0][1]:
            transaction.run(statements.EXTEND_RUN, (last, *key, touching[0][0]))
        return
    first = min([piece.first, *(run[0] for run in touching)])
    oldest = min([window_id, *(run[2] for run in touching)])
    transaction.many(statements.DELETE_RUN, [(*key, run[0]) for run in touching])
    transaction.run(statements.INSERT_RUN, (*key, first, last, oldest))


def covered_for_all(members: Sequence[str], sets: Sets, rows: Iterable[OverlapRow], evidence: Evidence) -> RangeSet:
    """Return the ledgers that runs cover for each of ``members``, with at least that evidence.

    Contracts that lie in the same sets are looked at once.
    """
    by_set: dict[int, list[tuple[int, int]]] = {}
    for set_id, first, last, known in rows:
        if STRENGTH[known] >= STRENGTH[evidence]:
            by_set.setdefault(set_id, []).append((first, last))
    if not by_set:
        return RangeSet()
    common: RangeSet | None = None
    for holding in {tuple(key for key in sets_of(member, sets) if key in by_set) for member in members}:
        covered = RangeSet([found for key in holding for found in by_set[key]])
        common = covered if common is None else common & covered
        if not common:
            break
    return common or RangeSet()


def merge(rows: Iterable[CoverageRow], within: LedgerRange) -> list[CoveredRange]:
    """Return runs as disjoint ranges with the strongest evidence for each, neighbours that agree merged.

    Among equally strong ones the run that began to be covered first counts.
    """
    runs = sorted((max(row[0], within.first), min(row[1], within.last), *row[2:]) for row in rows)
    out: list[CoveredRange] = []
    heap: list[tuple[int, int, int, tuple[str, str, str]]] = []
    at, ledger = 0, within.first
    while at < len(runs) or heap:
        if not heap:
            ledger = max(ledger, runs[at][0])
        while at < len(runs) and runs[at][0] <= ledger:
            _, last, window, *kind = runs[at]
            heappush(heap, (*_rank(kind[0], window), last, (kind[0], kind[1], kind[2])))
            at += 1
        while heap and heap[0][2] < ledger:
            heappop(heap)
        if not heap:
            continue
        strength, window, until, kind_of_best = heap[0]
        for first, _, other, evidence, *_ in _upcoming(runs, at, until):
            if _rank(evidence, other) < (strength, window):
                until = first - 1
                break
        _append(out, LedgerRange(ledger, until), kind_of_best)
        ledger = until + 1
    return out


def _rank(evidence: str, window_id: int) -> tuple[int, int]:
    return -STRENGTH[evidence], window_id


def _upcoming(runs: Sequence[CoverageRow], at: int, until: int) -> Iterator[CoverageRow]:
    while at < len(runs) and runs[at][0] <= until:
        yield runs[at]
        at += 1


def _append(out: list[CoveredRange], found: LedgerRange, kind: tuple[str, str, str]) -> None:
    evidence, source, flavour = kind
    if out and out[-1].range.last + 1 == found.first:
        before = out[-1]
        if (before.evidence, before.source, before.flavour) == kind:
            out[-1] = CoveredRange(LedgerRange(before.range.first, found.last), before.evidence, source, flavour)
            return
    out.append(CoveredRange(found, Evidence(evidence), source, flavour))
