"""What ``/sync`` answers, and how it is made from what was read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from stellarstream_core.api.models import Represented
from stellarstream_core.api.sources import SourceState
from stellarstream_core.events import format_close_time
from stellarstream_core.projection.status import ProjectionState
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reach
from stellarstream_core.storage import Totals
from stellarstream_core.sync.report import Gap, Part
from stellarstream_core.sync.state import State

MOST_RANGES = 1_000
"""Gaps and ranges of coverage in one answer; more are counted."""


class CoverageModel(Represented):
    """Ledgers covered alike."""

    from_: Annotated[int, Field(alias="from")]
    to: int
    evidence: Literal["proven", "scanned"]
    source: str
    flavour: Annotated[str | None, Field(description="how the node that made the ledgers was run, where that is told")]
    contracts: Annotated[list[str] | None, Field(description="null: of all contracts asked for")]


class GapModel(Represented):
    """Ledgers that are missing."""

    from_: Annotated[int, Field(alias="from")]
    to: int
    reason: str
    contracts: Annotated[list[str] | None, Field(description="null: of all contracts asked for")]


class EvidenceModel(Represented):
    """How many ledgers are covered, by how well that is known."""

    proven_ledgers: int
    scanned_ledgers: int


class SourceModel(Represented):
    """A ledger source as this worker sees it."""

    name: str
    summary: str
    state: Annotated[Literal["up", "down", "unknown"], Field(description="unknown: not asked yet")]
    oldest: int | None
    latest: int | None
    covered_ledgers: Annotated[int, Field(description="ledgers in the database that came from it")]
    trouble: Annotated[str | None, Field(description="why it is down")]


class UnknownShapeModel(Represented):
    """Events of one contract whose shape a projection does not know."""

    contract: str
    shape: Annotated[str, Field(description="types of topics and shape of the value")]
    count: int
    last_event_id: str


class UnknownModel(Represented):
    """What a projection had to leave out."""

    events: int
    shapes: Annotated[list[UnknownShapeModel], Field(description="the most frequent ones")]


class FoldingModel(Represented):
    """How far what is folded from events is."""

    name: str
    position: Annotated[int, Field(description="commits up to this position are folded")]
    behind: Annotated[int, Field(description="commits that are not folded yet")]
    as_of_ledger: Annotated[int | None, Field(description="all of its contracts are folded up to this ledger")]
    complete: Annotated[bool, Field(description="whether none of its contracts has a gap below asOfLedger")]
    rebuilding: bool
    trouble: Annotated[str | None, Field(description="why it stopped")]
    updated_at: str
    unknown: UnknownModel


class SyncModel(Represented):
    """How far the database is."""

    network: str
    contracts: Annotated[
        list[str] | None,
        Field(description="what this is about; null: every contract. Empty: none is configured, and none was synced"),
    ]
    start_ledger: Annotated[int | None, Field(description="first wanted ledger; null where nothing was ever synced")]
    watermark: Annotated[int | None, Field(description="up to here nothing is missing from startLedger on")]
    held_back_by: Annotated[list[str], Field(description="contracts that hold the watermark back, where others are on")]
    last_covered_ledger: int | None
    tip: Annotated[int | None, Field(description="the network's last ledger, as the sources tell it")]
    tip_closed_at: str | None
    lag: Annotated[int | None, Field(description="ledgers from the watermark to the tip")]
    lag_seconds: Annotated[float | None, Field(description="about how long those ledgers took to close")]
    as_of_ledger: int
    complete: Annotated[bool, Field(description="whether nothing is missing from startLedger to lastCoveredLedger")]
    coverage: list[CoverageModel]
    gaps: list[GapModel]
    more_ranges: Annotated[int, Field(description="ranges of coverage and gaps left out of this answer")]
    evidence: EvidenceModel
    sources: list[SourceModel]
    projections: Annotated[list[FoldingModel], Field(default_factory=list)]
    events: int
    conflicts: int
    position: Annotated[int, Field(description="of the last commit; grows by one with each")]
    live_position: Annotated[
        str | None,
        Field(
            description="where a live stream that begins now begins: 'since' of /events/live. All that comes before it "
            "is in the lists that are read after this answer. Null while this worker has not found the commits"
        ),
    ] = None


def sync_model(
    *,
    network: str,
    scope: Scope | None,
    state: State | None,
    totals: Totals,
    sources: Iterable[SourceState],
    reach: Reach | None,
    live_position: str | None,
    projections: Iterable[ProjectionState] = (),
) -> SyncModel:
    """Return what ``/sync`` answers.

    ``scope`` is None where there is none to speak of, ``state`` where nothing of it was ever synced.
    """
    coverage = state.coverage if state else None
    parts = coverage.parts if coverage else ()
    gaps = coverage.gaps if coverage else ()
    from_sources = coverage.sources if coverage else {}
    lag = state.lag(reach) if state else None
    pace = reach.ledger_seconds if reach else None
    return SyncModel(
        network=network,
        contracts=None if scope and scope.everything else list(scope or ()),
        start_ledger=state.start if state else None,
        watermark=state.watermark if state else None,
        held_back_by=state.held_back_by if state else [],
        last_covered_ledger=state.last if state else None,
        tip=reach.latest if reach else None,
        tip_closed_at=format_close_time(reach.latest_closed_at) if reach and reach.latest_closed_at else None,
        lag=lag,
        lag_seconds=round(lag * pace, 1) if lag is not None and pace else None,
        as_of_ledger=state.as_of if state else 0,
        complete=coverage is not None and not gaps,
        coverage=[_covered(part) for part in parts[-MOST_RANGES:]],
        gaps=[_gap(gap) for gap in gaps[-MOST_RANGES:]],
        more_ranges=max(len(parts) - MOST_RANGES, 0) + max(len(gaps) - MOST_RANGES, 0),
        evidence=EvidenceModel(
            proven_ledgers=coverage.proven.size if coverage else 0,
            scanned_ledgers=coverage.scanned.size if coverage else 0,
        ),
        sources=[
            source_model(one, from_sources[one.name].size if one.name in from_sources else 0, _late(one, state, reach))
            for one in sources
        ],
        projections=[projection_model(one) for one in projections],
        events=totals.events,
        conflicts=totals.conflicts,
        position=totals.position,
        live_position=live_position,
    )


def source_model(state: SourceState, covered_ledgers: int = 0, remark: str | None = None) -> SourceModel:
    """Return a source's state with the number of ledgers that came from it, and a remark where it is up."""
    return SourceModel(
        name=state.name,
        summary=state.summary,
        state=state.word,
        oldest=state.reach.oldest if state.reach else None,
        latest=state.reach.latest if state.reach else None,
        covered_ledgers=covered_ledgers,
        trouble=state.trouble or remark,
    )


def _late(source: SourceState, state: State | None, reach: Reach | None) -> str | None:
    """Return that a source is behind what is stored, where the highest tip of all sources is.

    One that is behind others is none to speak of, and a tip that was told a while ago says nothing.
    """
    if state is None or not source.is_recent or not state.ahead_of(reach):
        return None
    late = state.ahead_of(source.reach)
    return (
        f"its tip is {late:,} ledgers behind what is stored; 'stellarstream doctor' compares the two" if late else None
    )


def projection_model(state: ProjectionState) -> FoldingModel:
    """Return how far a projection is."""
    shapes = [
        UnknownShapeModel(contract=one.contract, shape=one.shape, count=one.count, last_event_id=one.last_event_id)
        for one in state.shapes
    ]
    return FoldingModel(
        name=state.name,
        position=state.position,
        behind=state.behind,
        as_of_ledger=state.as_of_ledger,
        complete=state.complete,
        rebuilding=state.rebuilding,
        trouble=state.trouble,
        updated_at=format_close_time(state.updated_at),
        unknown=UnknownModel(events=state.unknown_events, shapes=shapes),
    )


def _covered(part: Part) -> CoverageModel:
    return CoverageModel(
        from_=part.range.first,
        to=part.range.last,
        evidence=part.evidence.value,
        source=part.source,
        flavour=part.flavour or None,
        contracts=list(part.contracts) or None,
    )


def _gap(gap: Gap) -> GapModel:
    return GapModel(from_=gap.range.first, to=gap.range.last, reason=gap.reason, contracts=list(gap.contracts) or None)
