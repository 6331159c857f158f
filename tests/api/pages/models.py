"""Made models: what the API would know, without an API."""

from __future__ import annotations

from typing import Any

from stellarstream_core.api.pages.dashboard import Facts
from stellarstream_core.api.resources.health import Check, Readiness
from stellarstream_core.api.sync_model import (
    CoverageModel,
    EvidenceModel,
    GapModel,
    SourceModel,
    SyncModel,
)
from stellarstream_core.plugins import Plugin
from stellarstream_core.ranges import RangeSet

NOW = 1_800_000_000.0


def part(first: int, last: int, evidence: str = "proven", contracts: list[str] | None = None) -> CoverageModel:
    return CoverageModel(
        from_=first, to=last, evidence=evidence, source="soroban-rpc", flavour=None, contracts=contracts
    )


def gap(first: int, last: int, reason: str = "not-fetched", contracts: list[str] | None = None) -> GapModel:
    return GapModel(from_=first, to=last, reason=reason, contracts=contracts)


def source(state: str = "up", name: str = "soroban-rpc", trouble: str | None = None) -> SourceModel:
    up = state == "up"
    return SourceModel(
        name=name,
        summary="a source",
        state=state,
        oldest=1 if up else None,
        latest=1_000 if up else None,
        covered_ledgers=100,
        trouble=trouble,
    )


def sync_model(**changes: Any) -> SyncModel:
    """Return a database that is complete and at the tip, with changes."""
    parts = changes.get("coverage", [part(100, 1_000)])
    whole = RangeSet((one.from_, one.to) for one in parts)
    proven = RangeSet((one.from_, one.to) for one in parts if one.evidence == "proven")
    found: dict[str, Any] = {
        "network": "testnet",
        "contracts": ["C" * 56],
        "start_ledger": 100,
        "watermark": 1_000,
        "held_back_by": [],
        "last_covered_ledger": max((one.to for one in parts), default=None),
        "tip": 1_000,
        "tip_closed_at": "2027-01-15T08:00:00Z",
        "lag": 0,
        "lag_seconds": 0.0,
        "as_of_ledger": 1_000,
        "complete": True,
        "coverage": parts,
        "gaps": [],
        "more_ranges": 0,
        "evidence": EvidenceModel(proven_ledgers=proven.size, scanned_ledgers=(whole - proven).size),
        "sources": [source()],
        "events": 12_345,
        "conflicts": 0,
        "position": 42,
    }
    return SyncModel(**{**found, **changes})


def nothing_synced() -> SyncModel:
    return sync_model(
        contracts=[],
        start_ledger=None,
        watermark=None,
        last_covered_ledger=None,
        lag=None,
        lag_seconds=None,
        coverage=[],
        as_of_ledger=0,
        complete=False,
        events=0,
        position=0,
    )


def facts(**changes: Any) -> Facts:
    """Return the facts of a service that is well, with changes."""
    ready = Readiness(status="ready", checks=[Check(name="database", ok=True, detail="fine", required=False)])
    found: dict[str, Any] = {
        "network": "testnet",
        "database": "SQLite",
        "contracts": [],
        "plugins": [Plugin("sql", "stellarstream", "0.1.0")],
        "now": NOW,
        "sync": sync_model(),
        "readiness": ready,
    }
    return Facts(**{**found, **changes})
