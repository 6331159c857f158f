"""``/sync``: how far the database is, how far behind the network, and what is missing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stellarstream_core.api.models import Nothing, Parameters, Represented
from stellarstream_core.api.resources.events import ContractId
from stellarstream_core.api.routes import NO_CACHE, Answer, Call, Route
from stellarstream_core.api.service import ApiService
from stellarstream_core.api.sources import SourceState
from stellarstream_core.errors import UsageError
from stellarstream_core.events import format_close_time
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.storage import Storage, Totals
from stellarstream_core.sync.report import Coverage, Gap, Part, read_coverage, stored_bounds
from stellarstream_core.sync.state import read_marks

MOST_RANGES = 1_000
"""Gaps and ranges of coverage in one answer; more are counted."""


class SyncQuery(Parameters):
    """What ``GET /sync`` takes."""

    contract: Annotated[
        tuple[ContractId, ...], Field(max_length=25, description="contracts to look at; none: all that are indexed")
    ] = ()


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


class SyncModel(Represented):
    """How far the database is."""

    network: str
    contracts: Annotated[list[str] | None, Field(description="what is indexed; null: every contract")]
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


async def read_sync(api: ApiService, contracts: tuple[str, ...] = ()) -> SyncModel:
    """Return what ``GET /sync`` answers. Raises what the database raises."""
    states = await api.sources.look()
    found = await api.database.run(_read, api.database.storage, contracts)
    return _model(api, found, states)


async def sync(call: Call[Nothing, SyncQuery, Nothing]) -> Answer:
    """Answer ``GET /sync``."""
    return Answer(await read_sync(call.api, tuple(sorted(set(call.query.contract)))), cache=NO_CACHE)


class _Found:
    """What one reading found; ``scope`` None where nothing was ever synced."""

    def __init__(self, storage: Storage, contracts: tuple[str, ...]) -> None:
        self.totals: Totals = storage.totals()
        self.scope: Scope | None = None
        self.start = 0
        self.marks: dict[str, int] = {}
        self.coverage: Coverage | None = None
        members = contracts or tuple(sorted(storage.sync_states()))
        if not members:
            return
        scope = Scope.of(members)
        try:
            earliest = stored_bounds(storage, scope)
        except UsageError:  # these contracts were never synced
            return
        bounds, self.marks = read_marks(storage, scope, earliest)
        self.scope, self.start = scope, bounds.first
        self.coverage = read_coverage(storage, LedgerRange(earliest.first, bounds.last), scope)


def _read(storage: Storage, contracts: tuple[str, ...]) -> _Found:
    return _Found(storage, contracts)


def _model(api: ApiService, found: _Found, states: tuple[SourceState, ...]) -> SyncModel:
    coverage, reach = found.coverage, api.sources.tip.reach
    watermark = min(found.marks.values()) if found.marks else None
    ahead = max(found.marks.values()) if found.marks else None
    parts = coverage.parts if coverage else ()
    gaps = coverage.gaps if coverage else ()
    lag = max(reach.latest - watermark, 0) if reach and watermark is not None else None
    pace = reach.ledger_seconds if reach else None
    from_sources = coverage.sources if coverage else {}
    return SyncModel(
        network=api.settings.network,
        contracts=None if found.scope and found.scope.everything else list(found.scope or ()),
        start_ledger=found.start or None,
        watermark=watermark,
        held_back_by=sorted(c for c, mark in found.marks.items() if mark == watermark) if ahead != watermark else [],
        last_covered_ledger=coverage.wanted.last if coverage else None,
        tip=reach.latest if reach else None,
        tip_closed_at=format_close_time(reach.latest_closed_at) if reach and reach.latest_closed_at else None,
        lag=lag,
        lag_seconds=round(lag * pace, 1) if lag is not None and pace else None,
        as_of_ledger=max(watermark or 0, 0),
        complete=coverage is not None and not gaps,
        coverage=[_covered(part) for part in parts[-MOST_RANGES:]],
        gaps=[_gap(gap) for gap in gaps[-MOST_RANGES:]],
        more_ranges=max(len(parts) - MOST_RANGES, 0) + max(len(gaps) - MOST_RANGES, 0),
        evidence=EvidenceModel(
            proven_ledgers=coverage.proven.size if coverage else 0,
            scanned_ledgers=coverage.scanned.size if coverage else 0,
        ),
        sources=[
            source_model(state, from_sources[state.name].size if state.name in from_sources else 0) for state in states
        ],
        events=found.totals.events,
        conflicts=found.totals.conflicts,
        position=found.totals.position,
        live_position=None if api.feed.now is None else str(api.feed.now),
    )


def source_model(state: SourceState, covered_ledgers: int = 0) -> SourceModel:
    """Return a source's state with the number of ledgers that came from it."""
    return SourceModel(
        name=state.name,
        summary=state.summary,
        state=state.word,
        oldest=state.reach.oldest if state.reach else None,
        latest=state.reach.latest if state.reach else None,
        covered_ledgers=covered_ledgers,
        trouble=state.trouble,
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


ROUTES = (
    Route(
        method="GET",
        path="/sync",
        handler=sync,
        query=SyncQuery,
        answer=SyncModel,
        tag="sync",
        summary="How far the database is",
        description=(
            "Watermark, tip and lag; which ledgers are covered, by which source and with what evidence; which are "
            "missing. A ledger is 'proven' where hashes were checked from its header down to each event."
        ),
    ),
)
